"""What is under way: statements that run, and what the server still owes for each message that it was sent."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from gatepost.values import Deny, Facts, Outcome, Statement
from gatepost_postgres.results import Plan


class Run(Struct):
    """A statement that was allowed, and what has come of it so far.

    Attributes:
        forgets: prepared statements that it removes (DEALLOCATE, DISCARD): one name, or b"" for all; None for none.
        forgets_portals: it opens or closes cursors by name, so portals may not be what they were.
    """

    statement: Statement
    rows: int = 0
    bytes: int = 0
    received: int = 0
    masked: int = 0
    tag: str = ""
    error: str = ""
    message: str = ""
    forgets: bytes | None = None
    forgets_portals: bool = False

    def outcome(self, *, complete: bool = True) -> Outcome:
        return Outcome(
            rows=self.rows,
            bytes=self.bytes,
            received=self.received,
            tag=self.tag,
            error=self.error,
            message=self.message,
            masked=self.masked,
            complete=complete,
        )


class Prepared(Struct):
    """A prepared statement. `types` are its parameters' as declared, or as the server has described them."""

    text: str
    facts: Facts
    original: str | None
    types: tuple[int, ...]


class Portal(Struct):
    """A prepared statement with its parameters.

    Attributes:
        run: the statement that it executes.
        plan: what to do with its rows; None until the server has described them.
        is_described: its description was asked for since it was bound.
    """

    run: Run
    plan: Plan | None = None
    is_described: bool = False


class State(IntEnum):
    """What the server's next answer is about."""

    NOTHING = 0
    PARSE = 1
    BIND = 2
    CLOSE = 3
    PARAMETERS = 4
    COLUMNS = 5
    EXECUTE = 6
    EXECUTE_ROWS = 7
    QUERY = 8
    QUERY_ROWS = 9
    QUERY_NEXT = 10
    QUERY_FAILED = 11
    COPY_OUT = 12
    COPY_OUT_DONE = 13
    COPY_IN = 14
    COPY_IN_ENDED = 15
    DENIED = 16
    SYNC = 17


class Owed(Struct):
    """What the server owes for one message.

    Attributes:
        state: what must come next.
        name: of the prepared statement or portal that the message is about.
        run: the statement that its answer belongs to.
        is_query: the message is a Query: what it owes ends in ReadyForQuery, and an error skips nothing.
        is_portal: `name` is a portal's.
        is_own: the session asked by itself; the client does not see the answer.
    """

    state: State
    name: bytes = b""
    run: Run | None = None
    plan: Plan | None = None
    prepared: Prepared | None = None
    portal: Portal | None = None
    deny: Deny | None = None
    sqlstate: str = ""
    is_query: bool = False
    is_portal: bool = False
    is_own: bool = False
