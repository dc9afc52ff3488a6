"""Questions to the store; answers are plain dictionaries, which `--json` prints and tables are made of."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct, msgpack

from gatepost.values import EndCode
from gatepost_audit import records
from gatepost_audit.render import when
from gatepost_audit.store import Store


class Question(Struct, frozen=True):
    """What can be asked: `SELECT columns FROM source`, with conditions by their names, in the order of `sequence`."""

    columns: str
    source: str
    sequence: str
    conditions: Mapping[str, str]


_PERSON: Final = "(n.identity = :identity OR n.acting_for = :identity)"
_CLIENT: Final = "(n.client = :client OR substr(n.client, 1, length(:client) + 1) = :client || ':')"

_STATEMENTS: Final = Question(
    """s.session || '/' || s.number AS id, s.session, s.number, s.sequence, s.time,
    n.identity, n.acting_for, n.roles, n.client, n.target, n.user, n.database, n.application,
    s.text, s.original, s.binds, s.attributes, s.preparation, s.verdict, s.plugin, s.rule, s.reason,
    s.effect, s.facts, s.risk, s.risks,
    o.ran, o.complete, o.time AS ended, o.duration, o.rows, o.size AS bytes, o.received, o.masked,
    o.tag, o.error, o.message, o.start, o.stop""",
    """statements s LEFT JOIN sessions n ON n.session = s.session
    LEFT JOIN outcomes o ON o.session = s.session AND o.number = s.number""",
    "s.sequence",
    {
        "session": "s.session = :session",
        "number": "s.number = :number",
        "identity": _PERSON,
        "client": _CLIENT,
        "target": "n.target = :target",
        "since": "s.time >= :since",
        "until": "s.time < :until",
        "effect": "s.effect = :effect",
        "verdict": "s.verdict = :verdict",
        "risk": "s.risk >= :risk",
        "text": "instr(lower(s.text), lower(:text)) > 0",
        "table": "touches(s.facts, :table)",
        "after": "s.sequence > :after",
    },
)
_SESSIONS: Final = Question(
    """n.session AS id, n.sequence, n.time, n.identity, n.acting_for, n.roles, n.issuer, n.method, n.client, n.protocol,
    n.target, n.user, n.database, n.application, n.tls, e.time AS ended, e.code AS ending, e.text AS reason,
    (SELECT count(*) FROM statements s WHERE s.session = n.session) AS statements""",
    "sessions n LEFT JOIN ends e ON e.session = n.session",
    "n.sequence",
    {
        "session": "n.session = :session",
        "identity": _PERSON,
        "client": _CLIENT,
        "target": "n.target = :target",
        "since": "n.time >= :since",
        "until": "n.time < :until",
        "failed": "(n.identity = '') = :failed",
    },
)
_EVENTS: Final = Question(
    "sequence, time, kind, who, detail",
    "events",
    "sequence",
    {"kind": "kind = :kind", "since": "time >= :since", "until": "time < :until"},
)
_CHANGES: Final = Question(
    "sequence, time, who, action, name, detail, is_done AS done",
    "changes",
    "sequence",
    {
        "identity": "name = :identity",
        "since": "time >= :since",
        "until": "time < :until",
        "text": "instr(lower(action || ' ' || name || ' ' || detail || ' ' || who), lower(:text)) > 0",
        "after": "sequence > :after",
    },
)
CHANGE_FILTERS: Final = _CHANGES.conditions
_TABLE: Final = re.compile(r"([^()]+)(?:\(([^()]+)\))?")
"""A table, or a column of it in parentheses."""

Found = dict[str, Any]


class Answer(Struct, frozen=True):
    """What was found, the oldest first, read as it is asked for; `is_cut` where there is more before it."""

    found: Iterator[Found]
    is_cut: bool = False


def statements(store: Store, filters: Mapping[str, Any], limit: int | None = None) -> Answer:
    """The latest statements that pass all filters whose value is not None."""
    return _ask(store, _STATEMENTS, filters, limit)


def sessions(store: Store, filters: Mapping[str, Any], limit: int | None = None) -> Answer:
    """The latest sessions and failed logins that pass."""
    return _ask(store, _SESSIONS, filters, limit)


def events(store: Store, filters: Mapping[str, Any], limit: int | None = None) -> Answer:
    """The latest events of the record itself that pass."""
    return _ask(store, _EVENTS, filters, limit)


def changes(store: Store, filters: Mapping[str, Any], limit: int | None = None) -> Answer:
    """The latest changes of the gate itself that pass."""
    return _ask(store, _CHANGES, filters, limit)


def _ask(store: Store, question: Question, filters: Mapping[str, Any], limit: int | None) -> Answer:
    given = {name: value for name, value in filters.items() if value is not None}
    conditions = [question.conditions[name] for name in given]
    source = f"FROM {question.source} WHERE {' AND '.join(conditions or ['true'])}"
    sequence = question.sequence
    store.connection.create_function("touches", 2, touches, deterministic=True)
    first, is_cut = 0, False
    if limit is not None:
        latest = f"SELECT {sequence} AS latest {source} ORDER BY {sequence} DESC LIMIT :limit"
        first, count = store.connection.execute(
            f"SELECT min(latest), count(*) FROM ({latest})",  # noqa: S608
            {**given, "limit": limit + 1},
        ).fetchone()
        if not count:
            return Answer(iter(()))
        is_cut = count > limit
    cursor = store.connection.execute(
        f"SELECT {question.columns} {source} AND {sequence} >= :first ORDER BY {sequence}",
        {**given, "first": first + is_cut},
    )
    cursor.row_factory = sqlite3.Row
    return Answer(map(_plain, cursor), is_cut)


def table_pattern(text: str) -> str:
    """A table, as `touches` understands it. Raises ValueError where it is none."""
    if not _TABLE.fullmatch(text.strip()):
        raise ValueError('expected a table such as "cards", "public.cards" or "cards(pan)"')
    return text.strip().lower()


@lru_cache(maxsize=4096)
def touches(encoded: bytes, pattern: str) -> bool:
    """Whether what a text means touches a table, or may touch a column of it. `*` stands for any characters.

    Args:
        encoded: a `records.FactsRecord`.
        pattern: "table", "schema.table" or "table(column)", in lower case.
    """
    matched = _TABLE.fullmatch(pattern)
    assert matched is not None
    table, column = matched.groups()
    for _, name, columns in records.facts(encoded).objects:
        if not (_is_like(name, table) or _is_like(name, f"*.{table}")):
            continue
        if column is None or columns is None or any(_is_like(each, column) for each in columns):
            return True
    return False


def _is_like(name: str, pattern: str) -> bool:
    return bool(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name.lower(), re.DOTALL))


def _plain(row: sqlite3.Row) -> Found:
    """Times as text, what is encoded as what it stands for, flags as such."""
    found: Found = {}
    for name in row.keys():  # noqa: SIM118 - a Row iterates over its values
        value = row[name]
        if name == "facts":
            facts = records.facts(value)
            found["judgement"] = facts.reason
            found |= {each: getattr(facts, each) for each in ("verbs", "objects", "functions", "fingerprint")}
            continue
        if isinstance(value, bytes):
            value = msgpack.decode(value)
        elif name in ("time", "ended") and value is not None:
            value = when(value)
        elif name in ("preparation", "ran", "complete", "done") and value is not None:
            value = bool(value)
        elif name == "ending" and value is not None:
            value = EndCode(value).name.lower() if value in set(EndCode) else str(value)
        found[name] = value
    return found
