"""What is under way, and what the server knows by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gatepost.values import Deny, Facts, Limit, Outcome, Statement
from gatepost_mysql.results import Plan
from gatepost_sql import Context, weight

# What it takes to keep a message besides its own bytes.
_OBJECT_BYTES: Final = 64
# Of a COM_STMT_SEND_LONG_DATA: where the parameter's number and its value begin.
_PARAMETER: Final = 5
_DATA: Final = 7


class Run(Struct, gc=False):
    """A statement that was allowed, and what has come of it so far.

    Attributes:
        limit: how many rows it may show.
        before: how many of them its cursor has shown before.
        received: bytes of the client's file that have come for it.
        is_guarded: it is undone where one row is too many, and the client is told then.
    """

    statement: Statement
    rows: int = 0
    row_bytes: int = 0
    masked: int = 0
    tag: str = ""
    error: str = ""
    message: str = ""
    limit: Limit | None = None
    before: int = 0
    received: int = 0
    is_guarded: bool = False

    @property
    def left(self) -> int | None:
        """How many rows it may still show; None for any number."""
        return None if self.limit is None else max(self.limit.rows - self.before - self.rows, 0)

    def excess(self, consequence: str = "") -> Deny:
        """One row is too many: the denial that ends the answer, and what becomes of what was changed."""
        assert self.limit is not None
        return Deny(
            reason=f"the statement has more than {self.limit.rows} rows; no more of them are shown{consequence}",
            rule=self.limit.rule,
            hint=self.limit.hint,
            plugin=self.limit.plugin,
        )

    def outcome(self, *, complete: bool = True) -> Outcome:
        return Outcome(
            rows=self.rows,
            bytes=self.row_bytes,
            received=self.received,
            tag=self.tag,
            error=self.error,
            message=self.message,
            masked=self.masked,
            complete=complete,
        )


class Prepared(Struct):
    """A prepared statement.

    Attributes:
        parameters: how many it takes.
        types: of its parameters, code and flags in one, as they were last bound; None before they were.
        is_told: the server knows these types, too.
        held: messages with values of parameters that came ahead of the execution; it is held until that is allowed.
        held_bytes: roughly how many bytes those take.
        cursor: what its open cursor gives the rows of.
        plan: what to do with them.
        limit, fetched: how many rows that cursor may show, and has shown.
        search_path: where its names are looked up, now and later.
        context: in which its facts hold.
        definitions: of its columns, as they have come last; kept where an execution may leave them out.
        size: roughly how many bytes it takes to know it.
    """

    text: str
    facts: Facts
    original: str | None
    parameters: int
    types: tuple[int, ...] | None = None
    is_told: bool = True
    held: list[bytes] = []
    held_bytes: int = 0
    cursor: Statement | None = None
    plan: Plan | None = None
    limit: Limit | None = None
    fetched: int = 0
    search_path: tuple[str, ...] | None = None
    context: Context | None = None
    definitions: tuple[bytes, ...] = ()
    size: int = 0

    def __post_init__(self) -> None:
        self.size = weight(self.text)

    def __repr__(self) -> str:
        return f"Prepared({len(self.text)} characters)"

    def describe(self, definitions: Sequence[bytes]) -> None:
        """Keep what its columns are. If they have not changed, they stay the same object."""
        if self.definitions == (told := tuple(definitions)):
            return
        self.definitions = told
        self.size = weight(self.text) + sum(map(len, definitions))

    def hold(self, message: bytes) -> int:
        """Keep a COM_STMT_SEND_LONG_DATA. Returns roughly how many bytes that takes."""
        size = len(message) + _OBJECT_BYTES
        self.held.append(message)
        self.held_bytes += size
        return size

    def long_data(self) -> dict[int, bytearray]:
        """What has come ahead, by parameters."""
        found: dict[int, bytearray] = {}
        for message in self.held:
            parameter = int.from_bytes(message[_PARAMETER:_DATA], "little")
            found.setdefault(parameter, bytearray()).extend(message[_DATA:])
        return found

    def forget_long_data(self) -> None:
        self.held = []
        self.held_bytes = 0
