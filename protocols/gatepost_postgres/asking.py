"""Which types a COPY in binary format sends, which its answer does not tell: the server is asked right before it.

A query with the same columns is prepared, described and forgotten. No Sync stands between that and the COPY, so one
transaction does both: it sees the same definitions, and holds the locks that keep the tables' columns as they are.
The client sees nothing of it, but for the error that the COPY would end in as well.

Source: PostgreSQL 18 documentation, 54.2.3; src/backend/tcop/postgres.c, exec_simple_query, which goes on with a
transaction that is under way.
"""

from __future__ import annotations

from typing import Final

from gatepost.values import Statement
from gatepost_postgres import denial, messages, requests
from gatepost_postgres.ledger import Ledger
from gatepost_postgres.owed import Owed, Question, Run, State
from gatepost_sql import copied

COPY_TO_BINARY: Final = "copy_to_binary"

_FORGET: Final = messages.message(messages.CLOSE, b"S" + denial.PRIVATE_NAME + b"\0")
_DESCRIBE: Final = messages.message(messages.DESCRIBE, b"S" + denial.PRIVATE_NAME + b"\0")


def question(statement: Statement) -> Question | None:
    """What to ask before a statement is run, if it is a COPY TO STDOUT in binary format and nothing else."""
    if COPY_TO_BINARY not in statement.facts.verbs:
        return None
    found = copied(statement.text)
    if found is None:
        return None
    prepare = requests.Parse(denial.PRIVATE_NAME, b"", b"\0\0").encode(found.query)
    return Question(_FORGET + prepare + _DESCRIBE + _FORGET, found.columns)


def ask(ledger: Ledger, run: Run, asked: Question) -> bytes:
    """Send a question; owe the client none of the answers."""
    ledger.owed.extend(
        Owed(state, denial.PRIVATE_NAME, run=run, is_own=True)
        for state in (State.CLOSE, State.PARSE, State.PARAMETERS, State.CLOSE)
    )
    return asked.messages


def ask_before_query(ledger: Ledger, run: Run, asked: Question, query: bytes) -> bytes:
    """Send a question, and a Query behind it. If the question fails, the Query is skipped up to the Sync behind it."""
    before = ask(ledger, run, asked)
    ledger.owed.append(Owed(State.QUERY, run=run, is_query=True))
    ledger.owed.append(Owed(State.SYNC, is_own=True))
    ledger.batch += 2
    return before + query + denial.SYNC
