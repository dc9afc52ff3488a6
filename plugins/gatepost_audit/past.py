"""The statements on record, as the values that hooks saw; the rest of a session is as it is recorded."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from gatepost import (
    Effect,
    Facts,
    FaultCode,
    Gateway,
    Identity,
    Kind,
    Origin,
    Output,
    PastStatement,
    PluginFault,
    Risk,
    Scalar,
    Session,
    Statement,
    Use,
)
from gatepost_audit.access import record_access
from gatepost_audit.commands import command_line
from gatepost_audit.journal import Damage
from gatepost_audit.paths import make_folder
from gatepost_audit.store import Store

_LAST: Final = 2**63 - 1
_PAST: Final = """
SELECT s.*, n.time AS started, n.client, n.protocol, n.target, n.user, n.database, n.application, n.tls,
    n.identity, n.roles, n.issuer, n.method, n.acting_for
FROM statements s JOIN sessions n ON n.session = s.session
WHERE NOT s.preparation AND s.time >= ? AND s.time < ?
ORDER BY s.time, s.sequence
"""


def statements(gateway: Gateway, key: str, segment_bytes: int, since: float, until: float) -> Iterator[PastStatement]:
    """Executions between two times in Unix seconds, oldest first. That they are read is put on record first.

    For `key` and `segment_bytes` see `gatepost_audit.access`.

    Raises PluginFault where the record cannot be read, or that it is read cannot be recorded.
    """
    folder = make_folder(gateway)
    try:
        record_access(folder, key, segment_bytes, gateway.redact(command_line()))
        with Store(folder) as store:
            store.catch_up()
            cursor = store.connection.execute(_PAST, (_nanoseconds(since), _nanoseconds(until)))
            cursor.row_factory = sqlite3.Row
            yield from map(_past, cursor)
    except (OSError, sqlite3.Error, Damage) as error:
        raise PluginFault(
            f"the record cannot be read: {error}", code=FaultCode.RECORD, hint="`gatepost audit verify` says more."
        ) from error


def _nanoseconds(moment: float) -> int:
    """As they are recorded; what is out of reach is before or after all that is."""
    return max(0, min(int(moment * 1e9), _LAST))


def _past(row: sqlite3.Row) -> PastStatement:
    return PastStatement(
        at=row["time"] / 1e9,
        session=_session(row),
        statement=Statement(
            number=row["number"],
            text=row["text"],
            facts=_facts(row),
            parameters=tuple(_parameter(bind) for bind in json.loads(row["binds"])),
            attributes=tuple((name, _parameter(value)) for name, value in json.loads(row["attributes"])),
            original=row["original"],
            risk=Risk(score=row["risk"], reasons=tuple(json.loads(row["risks"]))) if row["risk"] else None,
        ),
        verdict=row["verdict"],
        rule=row["rule"],
    )


def _session(row: sqlite3.Row) -> Session:
    identity = Identity(
        name=row["identity"],
        roles=tuple(json.loads(row["roles"])),
        issuer=row["issuer"],
        method=row["method"],
        acting_for=row["acting_for"],
    )
    return Session(
        id=row["session"],
        number=0,
        protocol=row["protocol"],
        target=row["target"],
        client=row["client"],
        started_at=row["started"] / 1e9,
        tls=row["tls"],
        user=row["user"],
        database=row["database"],
        application=row["application"],
        identity=identity if identity.name else None,
    )


def _parameter(texts: list[str] | None) -> tuple[Scalar, ...] | None:
    """What a parameter's values were is not recorded, only their texts."""
    return None if texts is None else tuple(Scalar(Kind.TEXT, text) for text in texts)


def _facts(row: sqlite3.Row) -> Facts:
    objects: list[tuple[str, str, list[str] | None]] = json.loads(row["objects"])
    bounded: list[bool] = json.loads(row["bounded"]) or [True] * len(objects)
    return Facts(
        effect=Effect(row["effect"]),
        statements=row["count"],
        verbs=_tuple(row["verbs"]),
        objects=tuple(
            Use(verb=verb, name=name, columns=None if columns is None else tuple(columns), is_bounded=is_bounded)
            for (verb, name, columns), is_bounded in zip(objects, bounded, strict=True)
        ),
        functions=_tuple(row["functions"]),
        calls=_tuple(row["calls"]),
        apart=Effect(row["apart"]) if row["apart"] else None,
        columns=frozenset(json.loads(row["columns"])),
        outputs=tuple(
            Output(name=name, origins=_origins(origins), is_direct=is_direct)
            for name, origins, is_direct in json.loads(row["outputs"])
        ),
        predicates=_origins(json.loads(row["predicates"] or "null")),
        is_resolved=bool(row["resolved"]),
        depth=row["depth"],
        settings=tuple((name, value) for name, value in json.loads(row["settings"])),
        fingerprint=row["fingerprint"],
        reason=row["judgement"],
    )


def _origins(recorded: list[tuple[str, str]] | None) -> tuple[Origin, ...] | None:
    return None if recorded is None else tuple(Origin(*each) for each in recorded)


def _tuple(text: str) -> tuple[Any, ...]:
    return tuple(json.loads(text))
