"""A limit on a statement's rows: where one is too many, the server is made to fail behind the statement.

So the transaction, what is behind in the batch, and the order of answers come out as after any error. It takes that
nothing but a Sync was sent behind the statement (`Mode.LIMITED`, `Mode.HELD`).
"""

from __future__ import annotations

from msgspec.structs import replace

from gatepost.values import Deny, Limit
from gatepost_postgres import denial
from gatepost_postgres.ledger import Ledger, Mode
from gatepost_postgres.owed import SYNC_OWED, Owed, Run, State


def stop_at(limit: Limit, head: Owed, run: Run, ledger: Ledger) -> bytes:
    """The answer to `head` is not shown from here on. Returns what to send: the client is told in its error's place.

    Where the server will say ReadyForQuery by itself that is swallowed, for the one behind the error is the client's.
    """
    head.run = run
    head.deny = Deny(
        reason=f"the statement has more than {limit.rows} rows; no more of them are shown",
        rule=limit.rule,
        hint=limit.hint,
        plugin=limit.plugin,
    )
    run.error, run.message = denial.INSUFFICIENT_PRIVILEGE, head.deny.reason
    owed, denied = ledger.owed, Owed(State.DENIED, deny=head.deny)
    if not head.is_query and len(owed) == 1:
        head.state = State.STOPPED
        owed.append(denied)
        ledger.mode = Mode.SKIPPING
        return denial.FAILING_PARSE
    if head.is_query:
        head.state = State.QUERY_STOPPED
    else:
        head.state, owed[1] = State.STOPPED, Owed(State.SYNC, is_own=True)
    owed += (denied, SYNC_OWED)
    ledger.batch += 1
    return denial.FAILING_PARSE + denial.SYNC


def limit_fetch(run: Run, ledger: Ledger) -> None:
    """Let a statement that fetches from a cursor show no more than is left for cursors."""
    limit = run.statement.limit
    if ledger.cursors is not None and (limit is None or limit.rows >= ledger.cursors.rows - ledger.fetched):
        run.statement = replace(run.statement, limit=ledger.cursors)
        run.fetched = ledger.fetched


def note_cursors(run: Run, ledger: Ledger) -> None:
    """A limit on the rows of a DECLARE holds for all that is fetched, of whichever cursor."""
    limit, verbs = run.statement.limit, run.statement.facts.verbs
    if "declare" in verbs and limit is not None and (ledger.cursors is None or limit.rows <= ledger.cursors.rows):
        ledger.cursors, ledger.fetched = limit, 0
    if "fetch" in verbs:
        limit_fetch(run, ledger)
