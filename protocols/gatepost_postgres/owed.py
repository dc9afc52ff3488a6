"""What is under way: statements that run, and what the server still owes for each message that it was sent."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from gatepost.values import Deny, Facts, Limit, Outcome, Statement
from gatepost_postgres.results import Plan
from gatepost_sql import Context, weight

# What a statement may change besides rows, in a way that its text does not tell for sure: flags of `Run.unsettles`.
SETTINGS: Final = 1
PATH: Final = 2
CATALOGUE: Final = 4
NAMES: Final = 8


class Question(Struct):
    """What the server is asked before a COPY in binary format, whose answer does not tell types; see `asking`.

    Attributes:
        messages: the question.
        columns: names of those columns of the answer that are copied; () for all.
        answer: the body of a RowDescription, b"" as long as there is none.
    """

    messages: bytes
    columns: tuple[str, ...]
    answer: bytes = b""

    def __repr__(self) -> str:
        return f"Question({len(self.messages)} bytes)"


class Run(Struct, gc=False):
    """A statement that was allowed, and what has come of it so far.

    Attributes:
        is_over: its end was told.
        forgets: prepared statements that it removes (DEALLOCATE, DISCARD): one name, or b"" for all; None for none.
        forgets_portals: it opens or closes cursors by name, so portals may not be what they were.
        prepares: a statement that it prepares (PREPARE), and by which name; None for none.
        unsettles: what is not certain before it is answered, of `SETTINGS`, `PATH` (where names are looked up),
            `CATALOGUE` and `NAMES` (of prepared statements).
        turn: of `Ledger.turns` when it was bound, if its names are looked up when it is executed; else -1.
        fetched: rows of cursors that were shown before, where it fetches more of them; they count for its limit.
        question: what is asked before it is run, None for nothing.
    """

    statement: Statement
    rows: int = 0
    row_bytes: int = 0
    received: int = 0
    masked: int = 0
    tag: str = ""
    error: str = ""
    message: str = ""
    is_over: bool = False
    forgets: bytes | None = None
    forgets_portals: bool = False
    prepares: tuple[bytes, Prepared] | None = None
    unsettles: int = 0
    turn: int = -1
    fetched: int | None = None
    question: Question | None = None

    def left(self, limit: Limit) -> int:
        """How many rows it may still show."""
        return limit.rows - self.rows - (self.fetched or 0)

    def outcome(self, *, complete: bool = True) -> Outcome:
        if complete and not self.error and not self.masked and not self.received:
            return Outcome(rows=self.rows, bytes=self.row_bytes, tag=self.tag)
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
        types: its parameters' as declared, or as the server has described them.
        context: what its facts hold in.
        preparation: the PREPARE that made it, "" if a Parse did.
    """

    text: str
    facts: Facts
    original: str | None
    types: tuple[int, ...]
    context: Context | None = None
    preparation: str = ""

    @property
    def size(self) -> int:
        return weight(self.preparation or self.text)

    def __repr__(self) -> str:
        return f"Prepared({len(self.text)} characters)"


class Portal(Struct, gc=False):
    """A prepared statement with its parameters.

    Attributes:
        run: the statement that it executes.
        plan: what to do with its rows; None until the server has described them.
        is_described: its description was asked for since it was bound.
        size: roughly how many bytes its parameters take.
    """

    run: Run
    plan: Plan | None = None
    is_described: bool = False
    size: int = 0


class State:
    """What the server's next answer is about. Plain numbers, for an enumeration's members are slow to reach."""

    NOTHING: Final = 0
    PARSE: Final = 1
    BIND: Final = 2
    CLOSE: Final = 3
    PARAMETERS: Final = 4
    COLUMNS: Final = 5
    EXECUTE: Final = 6
    EXECUTE_ROWS: Final = 7
    QUERY: Final = 8
    QUERY_ROWS: Final = 9
    QUERY_NEXT: Final = 10
    QUERY_FAILED: Final = 11
    COPY_OUT: Final = 12
    COPY_OUT_DONE: Final = 13
    COPY_IN: Final = 14
    COPY_IN_ENDED: Final = 15
    DENIED: Final = 16
    SYNC: Final = 17
    STOPPED: Final = 18
    QUERY_STOPPED: Final = 19

    ALL: Final = range(20)


class Owed(Struct, gc=False):
    """What the server owes for one message.

    Attributes:
        state: what must come next.
        name: of the prepared statement or portal that the message is about.
        portal: what is bound; of an Execute or Describe, only where no Bind has made it.
        is_portal: `name` is a portal's.
        run: the statement that the answer belongs to, once that is known.
        is_query: the message is a Query: what it owes ends in ReadyForQuery, and an error skips nothing.
        is_own: the session asked by itself; the client does not see the answer.
        plan: what to do with the rows that come.
        prepared: what is prepared.
        deny, sqlstate: what the client is told in the error's place.
    """

    state: int
    name: bytes = b""
    portal: Portal | None = None
    is_portal: bool = False
    run: Run | None = None
    is_query: bool = False
    is_own: bool = False
    plan: Plan | None = None
    prepared: Prepared | None = None
    deny: Deny | None = None
    sqlstate: str = ""


# What is never written to can be owed many times over.
SYNC_OWED: Final = Owed(State.SYNC)
UNNAMED_COLUMNS_OWED: Final = Owed(State.COLUMNS, b"", None, True)
