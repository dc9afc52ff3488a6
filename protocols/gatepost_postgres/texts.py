"""What else the server says in words: read for the record, shown to plugins, written again if they changed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gatepost.adapter import Hooks
from gatepost.cache import Cache
from gatepost.errors import UpstreamFault
from gatepost.values import Notice, NoticeKind
from gatepost_postgres import messages

_CODES: Final[Mapping[str, str]] = {name: code for code, name in messages.FIELD_NAMES.items()}
_NUL: Final = b"\0"


class Texts:
    """The texts of a session. Each method returns the message to send instead, or None to send it as it came."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._wants_notices = hooks.wants_notices
        self._tags: Cache[bytes, tuple[str, bytes | None]] = Cache()
        self.get_tag = self._tags.get

    def error(self, body: bytes) -> tuple[dict[str, str], bytes | None]:
        """An ErrorResponse: its fields by name, as the client will see them."""
        fields = _fields(body)
        return fields, self._fields_message(messages.ERROR, NoticeKind.ERROR, fields, body)

    def notice(self, body: bytes) -> bytes | None:
        if not self._wants_notices:
            return None
        return self._fields_message(messages.NOTICE, NoticeKind.NOTICE, _fields(body), body)

    def notification(self, body: bytes) -> bytes | None:
        if not self._wants_notices:
            return None
        sender, texts = body[:4], _strings(body[4:], 2)
        fields = {"channel": texts[0], "payload": texts[1]}
        self._hooks.notice(Notice(NoticeKind.NOTIFICATION, fields))
        return _changed(messages.NOTIFICATION, body, sender + _cstring(fields["channel"]) + _cstring(fields["payload"]))

    def parameter(self, body: bytes) -> tuple[str, str, bytes | None]:
        """A ParameterStatus: its name and value as the server means them."""
        name, value = _strings(body, 2)
        if not self._wants_notices:
            return name, value, None
        fields = {"name": name, "value": value}
        self._hooks.notice(Notice(NoticeKind.PARAMETER, fields))
        encoded = _cstring(fields["name"]) + _cstring(fields["value"])
        return name, value, _changed(messages.PARAMETER_STATUS, body, encoded)

    def tag(self, body: bytes) -> tuple[str, bytes | None]:
        """A CommandComplete: its tag as the client will see it."""
        known = self._tags.get(body)
        if known is not None:
            return known
        (tag,) = _strings(body, 1)
        if not self._wants_notices:
            return self._tags.put(body, (tag, None))
        fields = {"tag": tag}
        self._hooks.notice(Notice(NoticeKind.TAG, fields))
        encoded = _changed(messages.COMMAND_COMPLETE, body, _cstring(fields["tag"]))
        return self._tags.put(body, (fields["tag"], encoded))

    def _fields_message(self, kind: int, notice_kind: NoticeKind, fields: dict[str, str], body: bytes) -> bytes | None:
        if not self._wants_notices:
            return None
        # With a context, the position may be one in a text that the statement has made of values (`pan::regtype`).
        is_about_text = "position" in fields and "where" not in fields
        notice = Notice(notice_kind, fields, fields.get("code", ""), is_about_text=is_about_text)
        self._hooks.notice(notice)
        encoded = b"".join(_CODES.get(name, name).encode() + _cstring(text) for name, text in fields.items()) + _NUL
        return _changed(kind, body, encoded)


def _changed(kind: int, body: bytes, encoded: bytes) -> bytes | None:
    """The message, unless it is what came. What was no UTF-8 never is: plugins have not seen those bytes."""
    return None if encoded == body else messages.message(kind, encoded)


def _cstring(text: str) -> bytes:
    return messages.cstring(text.replace("\0", ""))


def _fields(body: bytes) -> dict[str, str]:
    if body != _NUL and not body.endswith(_NUL + _NUL):
        raise UpstreamFault("the server sent a malformed error or notice")
    texts = {}
    for part in body[:-2].split(_NUL) if len(body) > 1 else ():
        code = chr(part[0]) if part and part[0] < 0x80 else "?"
        texts[messages.FIELD_NAMES.get(code, code)] = part[1:].decode("utf-8", "replace")
    return texts


def _strings(body: bytes, count: int) -> list[str]:
    *parts, end = body.split(_NUL)
    if len(parts) != count or end:
        raise UpstreamFault("the server sent a malformed text")
    return [part.decode("utf-8", "replace") for part in parts]
