"""The statements on record, as the values that hooks saw; the rest of a session is as it is recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from msgspec.msgpack import decode

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
from gatepost_audit import records
from gatepost_audit.commands import command_line
from gatepost_audit.noting import record_access
from gatepost_audit.paths import make_folder
from gatepost_audit.segment import Damage
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

    For `key` and `segment_bytes` see `gatepost_audit.noting`.

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
            facts=_facts(row["effect"], records.facts(row["facts"])),
            parameters=tuple(_parameter(bind) for bind in decode(row["binds"])),
            attributes=tuple((name, _parameter(value)) for name, value in decode(row["attributes"])),
            original=decode(row["original"]),
            risk=Risk(score=row["risk"], reasons=tuple(decode(row["risks"]))) if row["risk"] else None,
        ),
        verdict=row["verdict"],
        rule=row["rule"],
    )


def _session(row: sqlite3.Row) -> Session:
    identity = Identity(
        name=row["identity"],
        roles=tuple(decode(row["roles"])),
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


def _facts(effect: str, facts: records.FactsRecord) -> Facts:
    bounded = facts.bounded or (True,) * len(facts.objects)
    return Facts(
        effect=Effect(effect),
        statements=facts.statements,
        verbs=facts.verbs,
        objects=tuple(
            Use(verb=verb, name=name, columns=columns, is_bounded=is_bounded)
            for (verb, name, columns), is_bounded in zip(facts.objects, bounded, strict=True)
        ),
        functions=facts.functions,
        calls=facts.calls,
        apart=Effect(facts.apart) if facts.apart else None,
        columns=frozenset(facts.columns),
        outputs=tuple(
            Output(name=name, origins=_origins(origins), is_direct=is_direct)
            for name, origins, is_direct in facts.outputs
        ),
        predicates=_origins(facts.predicates),
        is_resolved=facts.resolved,
        depth=facts.depth,
        settings=facts.settings,
        fingerprint=facts.fingerprint,
        reason=facts.reason,
    )


def _origins(recorded: tuple[tuple[str, str], ...] | None) -> tuple[Origin, ...] | None:
    return None if recorded is None else tuple(Origin(*each) for each in recorded)
