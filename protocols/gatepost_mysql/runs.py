"""What is under way, and what the server knows by number."""

from __future__ import annotations

from msgspec import Struct

from gatepost.values import Facts, Outcome, Statement
from gatepost_mysql.results import Plan


class Run(Struct, gc=False):
    """A statement that was allowed, and what has come of it so far."""

    statement: Statement
    rows: int = 0
    row_bytes: int = 0
    masked: int = 0
    tag: str = ""
    error: str = ""
    message: str = ""

    def outcome(self, *, complete: bool = True) -> Outcome:
        return Outcome(
            rows=self.rows,
            bytes=self.row_bytes,
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
        long_data: of parameters, what came ahead of the execution; it is held until that is allowed.
        held: the messages that it came in.
        held_bytes: how long those are.
        cursor: what its open cursor gives the rows of.
        plan: what to do with them.
    """

    text: str
    facts: Facts
    original: str | None
    parameters: int
    types: tuple[int, ...] | None = None
    long_data: dict[int, bytearray] = {}
    held: list[bytes] = []
    held_bytes: int = 0
    cursor: Statement | None = None
    plan: Plan | None = None

    def forget_long_data(self) -> None:
        self.long_data = {}
        self.held = []
        self.held_bytes = 0
