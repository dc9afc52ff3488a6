"""What else the server says in words: read for the record, shown to plugins, written again if they changed it.

Source: MySQL internals manual, "OK_Packet", "ERR_Packet" and "Session State Information"; MariaDB Knowledge Base,
"ERR_Packet", whose progress has a number of texts besides, always 1 (MariaDB 10.11).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from gatepost.adapter import Hooks
from gatepost.cache import Cache
from gatepost.errors import UpstreamFault
from gatepost.values import Notice, NoticeKind
from gatepost_mysql import codes, messages
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.frames import Reader, counted, counted_number

_CACHED_BYTES: Final = 256
_EOF_BYTES: Final = 5
# The begin, how many texts there are, stage, stages, and how much of it is done.
_PROGRESS_BYTES: Final = 9

# Kinds of changes of a session's state, by what they are called here.
_VARIABLE: Final = 0
_SCHEMA: Final = 1
_STATE: Final = 2
_GTIDS: Final = 3
_NAMES: Final = {_SCHEMA: "schema", _GTIDS: "gtids", 4: "transaction", 5: "transaction_state"}


class Ok(Struct, frozen=True, kw_only=True):
    """An OK, as the client will see it.

    Attributes:
        tag: a summary of it.
        status: the status flags.
        message: it anew, or None if nobody has changed it.
    """

    tag: str
    status: int
    message: bytes | None = None


class Texts:
    """The texts of a session."""

    def __init__(self, hooks: Hooks, capabilities: Capability) -> None:
        self._hooks = hooks
        self._wants_notices = hooks.wants_notices
        self._oks: Cache[bytes, Ok] = Cache()
        self._tracks = bool(capabilities & Capability.SESSION_TRACK)

    def ok(self, message: bytes) -> Ok:
        """An OK, or an EOF in its form."""
        known = self._oks.get(message)
        if known is not None:
            return known
        ok = self._ok(message)
        return self._oks.put(message, ok) if len(message) <= _CACHED_BYTES else ok

    def _ok(self, message: bytes) -> Ok:
        reader = Reader(message)
        kind = reader.number(1)
        affected, last_id = reader.counted_number(), reader.counted_number()
        status, warnings = reader.number(2), reader.number(2)
        info = state = b""
        if self._tracks and reader.left:
            info = reader.counted()
            if status & messages.STATE_CHANGED:
                state = reader.counted()
            reader.end()
        else:
            info = reader.rest()
        tag = f"{affected} rows affected"
        if not self._wants_notices or not (info or state or last_id):
            return Ok(tag=tag, status=status)
        shown_id, shown_info, shown_state = self._last_id(last_id), self._tag(info), self._state(state)
        if (shown_id, shown_info, shown_state) == (last_id, info, state):
            return Ok(tag=tag, status=status)
        encoded = (
            bytes((kind,))
            + counted_number(affected)
            + counted_number(shown_id)
            + status.to_bytes(2, "little")
            + warnings.to_bytes(2, "little")
        )
        if self._tracks:
            encoded += counted(shown_info)
            if status & messages.STATE_CHANGED:
                encoded += counted(shown_state)
        else:
            encoded += shown_info
        return Ok(tag=tag, status=status, message=encoded)

    def error(self, message: bytes) -> tuple[str, str, bytes | None]:
        """An ERR: its number and text as the client will see it, and it anew, or None if nobody has changed it."""
        reader = Reader(message[1:])
        number = reader.number(2)
        text = reader.rest()
        state, text = (text[:6], text[6:]) if text[:1] == b"#" else (b"", text)
        fields = {"message": text.decode("utf-8", "replace")}
        notice = Notice(NoticeKind.ERROR, fields, str(number), is_about_text=number in codes.ABOUT_THE_TEXT)
        if self._wants_notices:
            self._hooks.notice(notice)
        shown = notice.fields["message"]
        # What was no UTF-8 is never sent on: plugins have not seen those bytes.
        encoded = shown.encode()
        return str(number), shown, None if encoded == text else message[:3] + state + encoded

    def progress(self, message: bytes) -> bytes:
        """How far a long statement is, as the client will see it."""
        reader = Reader(message)
        numbers, text = reader.take(_PROGRESS_BYTES), reader.counted()
        reader.end()
        if numbers[len(messages.PROGRESS)] != 1:
            raise reader.malformed()
        if not self._wants_notices:
            return message
        notice = Notice(NoticeKind.NOTICE, {"message": text.decode("utf-8", "replace")})
        self._hooks.notice(notice)
        return numbers + counted(notice.fields["message"].encode())

    def statistics(self, message: bytes) -> bytes | None:
        encoded = self._tag(message)
        return None if encoded == message else encoded

    def may_show(self, text: bytes) -> bool:
        """Whether a text leaves as it is."""
        return self._tag(text) == text

    def _tag(self, text: bytes) -> bytes:
        if not text or not self._wants_notices:
            return text
        notice = Notice(NoticeKind.TAG, {"tag": text.decode("utf-8", "replace")})
        self._hooks.notice(notice)
        return notice.fields["tag"].encode()

    def _last_id(self, number: int) -> int:
        """An id that was generated, or that LAST_INSERT_ID(…) has put there; 0, for none, if plugins object to it."""
        if not number:
            return 0
        notice = Notice(NoticeKind.TAG, {"last_insert_id": str(number)})
        self._hooks.notice(notice)
        return number if notice.fields["last_insert_id"] == str(number) else 0

    def _state(self, data: bytes) -> bytes:
        """What has changed in the session."""
        reader = Reader(data)
        parts = []
        while reader.left:
            kind = reader.number(1)
            parts.append(bytes((kind,)) + counted(self._change(kind, reader.counted())))
        return b"".join(parts)

    def _change(self, kind: int, data: bytes) -> bytes:
        reader = Reader(data)
        if kind == _VARIABLE:
            pairs = []
            while reader.left:
                name, value = reader.counted(), reader.counted()
                pairs += [counted(name), counted(self._value(name.decode("utf-8", "replace"), value))]
            return b"".join(pairs)
        if kind == _STATE:
            return data
        head = reader.take(1) if kind == _GTIDS else b""
        value = reader.counted()
        reader.end()
        if kind not in _NAMES:
            raise UpstreamFault("the server tells a change of the session that gatepost does not know")
        return head + counted(self._value(_NAMES[kind], value))

    def _value(self, name: str, value: bytes) -> bytes:
        notice = Notice(NoticeKind.PARAMETER, {"name": name, "value": value.decode("utf-8", "replace")})
        self._hooks.notice(notice)
        return notice.fields["value"].encode()


def eof_status(message: bytes) -> int:
    """The status flags of an EOF. Raises UpstreamFault if it is none."""
    if len(message) != _EOF_BYTES or message[0] != messages.EOF:
        raise UpstreamFault("the server sent a message that it does not owe")
    return int.from_bytes(message[3:5], "little")
