"""Questions to the store; answers are plain dictionaries, which `--json` prints and tables are made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from msgspec import msgpack

from gatepost.values import EndCode
from gatepost_audit import records
from gatepost_audit.render import when
from gatepost_audit.store import Store

_STATEMENTS: Final = """
SELECT s.session || '/' || s.number AS id, s.session, s.number, s.sequence, s.time,
    n.identity, n.acting_for, n.roles, n.client, n.target, n.user, n.database, n.application,
    s.text, s.original, s.binds, s.attributes, s.preparation, s.verdict, s.plugin, s.rule, s.reason,
    s.effect, s.facts, s.risk, s.risks,
    o.ran, o.complete, o.time AS ended, o.duration, o.rows, o.size AS bytes, o.received, o.masked,
    o.tag, o.error, o.message, o.start, o.stop
FROM statements s LEFT JOIN sessions n ON n.session = s.session
    LEFT JOIN outcomes o ON o.session = s.session AND o.number = s.number
"""
_SESSIONS: Final = """
SELECT n.session AS id, n.sequence, n.time, n.identity, n.acting_for, n.roles, n.issuer, n.method, n.client, n.protocol,
    n.target, n.user, n.database, n.application, n.tls, e.time AS ended, e.code AS ending, e.text AS reason,
    (SELECT count(*) FROM statements s WHERE s.session = n.session) AS statements
FROM sessions n LEFT JOIN ends e ON e.session = n.session
"""
_EVENTS: Final = "SELECT sequence, time, kind, who, detail FROM events"
_CHANGES: Final = "SELECT sequence, time, who, action, name, detail, is_done AS done FROM changes"

_STATEMENT_FILTERS: Final = {
    "session": "s.session = :session",
    "number": "s.number = :number",
    "identity": "(n.identity = :identity OR n.acting_for = :identity)",
    "target": "n.target = :target",
    "since": "s.time >= :since",
    "until": "s.time < :until",
    "effect": "s.effect = :effect",
    "verdict": "s.verdict = :verdict",
    "risk": "s.risk >= :risk",
    "text": "instr(lower(s.text), lower(:text)) > 0",
    "after": "s.sequence > :after",
}
_SESSION_FILTERS: Final = {
    "session": "n.session = :session",
    "identity": "(n.identity = :identity OR n.acting_for = :identity)",
    "target": "n.target = :target",
    "since": "n.time >= :since",
    "until": "n.time < :until",
    "failed": "(n.identity = '') = :failed",
}
_EVENT_FILTERS: Final = {"kind": "kind = :kind", "since": "time >= :since", "until": "time < :until"}
CHANGE_FILTERS: Final = {
    "identity": "name = :identity",
    "since": "time >= :since",
    "until": "time < :until",
    "text": "instr(lower(action || ' ' || name || ' ' || detail || ' ' || who), lower(:text)) > 0",
    "after": "sequence > :after",
}

Found = dict[str, Any]


def statements(store: Store, filters: Mapping[str, Any], limit: int | None = None) -> list[Found]:
    """The latest statements that pass all filters whose value is not None, the oldest first."""
    return _ask(store, _STATEMENTS, _STATEMENT_FILTERS, "s.sequence", filters, limit)


def sessions(store: Store, filters: Mapping[str, Any], limit: int | None = None) -> list[Found]:
    """The latest sessions and failed logins that pass, the oldest first."""
    return _ask(store, _SESSIONS, _SESSION_FILTERS, "n.sequence", filters, limit)


def events(store: Store, filters: Mapping[str, Any], limit: int | None = None) -> list[Found]:
    """The latest events of the record itself that pass, the oldest first."""
    return _ask(store, _EVENTS, _EVENT_FILTERS, "sequence", filters, limit)


def changes(store: Store, filters: Mapping[str, Any], limit: int | None = None) -> list[Found]:
    """The latest changes of the gate itself that pass, the oldest first."""
    return _ask(store, _CHANGES, CHANGE_FILTERS, "sequence", filters, limit)


def _ask(
    store: Store, select: str, conditions: Mapping[str, str], order: str, filters: Mapping[str, Any], limit: int | None
) -> list[Found]:
    given = {name: value for name, value in filters.items() if value is not None}
    where = " AND ".join(conditions[name] for name in given)
    cursor = store.connection.execute(
        f"{select} {'WHERE ' + where if where else ''} ORDER BY {order} DESC LIMIT :limit",
        {**given, "limit": -1 if limit is None else limit},
    )
    cursor.row_factory = sqlite3.Row
    return [_plain(row) for row in reversed(cursor.fetchall())]


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
