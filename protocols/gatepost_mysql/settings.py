"""The session settings that decide how a statement's bytes are read, and who may change them.

gatepost judges texts as UTF-8 in which backslashes escape and double quotes are strings', so the server must read them
as such. It is asked for its settings at the login, and again after each statement whose text does not tell whether it
has changed them.

Source: MySQL 9 manual, "Server SQL Modes" and "Connection Character Sets and Collations".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from gatepost.errors import FaultCode, UpstreamFault
from gatepost.values import Deny, Effect, Facts
from gatepost_mysql import charsets, messages
from gatepost_mysql.frames import Reader

CHECK: Final = b"SELECT @@sql_mode, @@character_set_client, @@character_set_results, DATABASE()"
READ_ONLY: Final = b"SET SESSION TRANSACTION READ ONLY"

# Modes in which a text means the same. Others bring ANSI_QUOTES or NO_BACKSLASH_ESCAPES along, or may.
_MODES: Final = frozenset(
    (
        "",
        "ALLOW_INVALID_DATES",
        "EMPTY_STRING_IS_NULL",
        "ERROR_FOR_DIVISION_BY_ZERO",
        "HIGH_NOT_PRECEDENCE",
        "IGNORE_SPACE",
        "NO_AUTO_CREATE_USER",
        "NO_AUTO_VALUE_ON_ZERO",
        "NO_DIR_IN_CREATE",
        "NO_ENGINE_SUBSTITUTION",
        "NO_UNSIGNED_SUBTRACTION",
        "NO_ZERO_DATE",
        "NO_ZERO_IN_DATE",
        "ONLY_FULL_GROUP_BY",
        "PAD_CHAR_TO_FULL_LENGTH",
        "PIPES_AS_CONCAT",
        "REAL_AS_FLOAT",
        "SIMULTANEOUS_ASSIGNMENT",
        "STRICT_ALL_TABLES",
        "STRICT_TRANS_TABLES",
        "TIME_ROUND_FRACTIONAL",
        "TIME_TRUNCATE_FRACTIONAL",
        "TRADITIONAL",
    )
)
_CHARSETS: Final = frozenset(("character_set_client", "character_set_results"))
_ACCESS: Final = frozenset(("transaction_read_only", "tx_read_only"))
# What a session that is read-only may do: nothing that could turn that off, or work around it.
_READING: Final = frozenset((Effect.READ, Effect.CONTROL))


def refusal(facts: Facts) -> Deny | None:
    """The denial of a statement that would change how later ones are read; else None."""
    for name, value in facts.settings:
        if name == "sql_mode" and (value is None or not _modes(value) <= _MODES):
            return _unchanged(name, "Set it to a constant without ANSI_QUOTES and NO_BACKSLASH_ESCAPES, or leave it.")
        if name in _CHARSETS and (value or "").lower() not in charsets.NAMES:
            return _unchanged(name, "Use SET NAMES utf8mb4, or leave it.")
        if name == "*":
            return _unchanged("a setting", "Name the setting, and give it a constant.")
    return None


def refusal_to_write(facts: Facts) -> Deny | None:
    """The denial of what would leave read-only transactions, or change something in spite of them; else None."""
    if facts.effect not in _READING or any(name in _ACCESS for name, _ in facts.settings):
        return Deny(
            reason="this session may only read",
            rule="gatepost: read-only session",
            hint="Use statements that only read, and leave the transaction's access mode as it is.",
        )
    return None


def may_change(facts: Facts) -> bool:
    """A statement may change settings in a way that its text does not tell."""
    return facts.effect is Effect.UNKNOWN


def check(values: Sequence[bytes | None]) -> None:
    """Take what the server answers to `CHECK`. Raises UpstreamFault if what was judged could be read otherwise."""
    if len(values) != 4:
        raise UpstreamFault("the server's settings cannot be read")
    mode, client, results = ("" if value is None else value.decode("ascii", "replace") for value in values[:3])
    # In another character set the other values come in it, too.
    for name, value in (("character_set_results", results), ("character_set_client", client)):
        if value not in charsets.NAMES:
            raise _unfit(name, "utf8mb4")
    if not _modes(mode) <= _MODES:
        raise _unfit("sql_mode", "without ANSI_QUOTES, NO_BACKSLASH_ESCAPES and what brings them along")


class Checking:
    """The answer to `CHECK`, message by message.

    Args:
        has_eof: an EOF stands between columns and rows.

    Attributes:
        database: the current one, or "".
    """

    class _State(Enum):
        COUNT = auto()
        COLUMNS = auto()
        EOF = auto()
        ROW = auto()
        END = auto()

    def __init__(self, *, has_eof: bool) -> None:
        self._has_eof = has_eof
        self._state = self._State.COUNT
        self._columns = 0
        self._values: list[bytes | None] = []
        self.database = ""

    def take(self, message: bytes) -> bool:
        """One more message; true with the last. Raises UpstreamFault unless the settings are as they must be."""
        states = self._State
        if message[:1] == b"\xff" or not message:
            raise UpstreamFault("the server does not tell its settings")
        if self._state is states.COUNT:
            self._columns = Reader(message).counted_number()
            self._state = states.COLUMNS
        elif self._state is states.COLUMNS:
            self._columns -= 1
            if self._columns <= 0:
                self._state = states.EOF if self._has_eof else states.ROW
        elif self._state is states.EOF:
            self._state = states.ROW
        elif self._state is states.ROW:
            reader = Reader(message)
            while reader.left:
                self._values.append(reader.nullable())
            check(self._values)
            self.database = (self._values[3] or b"").decode("utf-8", "replace")
            self._state = states.END
        elif message[0] == messages.EOF:
            return True
        else:
            raise UpstreamFault("the server's settings cannot be read")
        return False


class Upkeep:
    """gatepost's own commands between the client's, which see to it that settings are as they must be.

    Args:
        has_eof: as `Checking`'s.
        read_only: nothing may be changed in the session, and it may have forgotten that.

    Attributes:
        due: those that go before the client's next one.
        database: the current one, or "".
    """

    def __init__(self, *, has_eof: bool, read_only: bool) -> None:
        self._commands = (CHECK, READ_ONLY) if read_only else (CHECK,)
        self._has_eof = has_eof
        self._checking: Checking | None = None
        self.due: list[bytes] = []
        self.database = ""

    def ask(self) -> None:
        self.due += self._commands

    def begin(self) -> bytes:
        """The next command."""
        command = self.due.pop(0)
        self._checking = Checking(has_eof=self._has_eof) if command == CHECK else None
        return command

    def take(self, message: bytes) -> bool:
        """One more message of its answer; true with the last. Raises UpstreamFault."""
        if self._checking is None:
            if message[:1] != b"\x00":
                raise UpstreamFault("the database does not keep the session read-only", code=FaultCode.UPSTREAM_REFUSED)
            return True
        is_last = self._checking.take(message)
        self.database = self._checking.database
        return is_last


def _modes(value: str) -> frozenset[str]:
    return frozenset(part.strip().upper() for part in value.split(","))


def _unchanged(name: str, hint: str) -> Deny:
    return Deny(
        reason=f"{name} may not be changed so: what follows could mean something else than was judged",
        rule="gatepost: session state",
        hint=hint,
    )


def _unfit(name: str, needed: str) -> UpstreamFault:
    return UpstreamFault(
        f"the session's {name} is one under which statements cannot be judged",
        code=FaultCode.UNSUPPORTED,
        hint=f"Have {name} set to a value {needed}." if " " in needed else f"Have {name} set to {needed}.",
    )
