"""What a policy is told of a statement: its `input`.

    {
      "identity": {
        "name": "reporter", "roles": ["reader"], "issuer": "agents", "method": "scram-sha-256",
        "acting_for": "kim@example.com", "claims": {}
      },
      "session": {
        "client": "10.0.0.7", "target": "shop", "protocol": "postgres", "database": "shop",
        "application": "psql", "tls": true
      },
      "statement": {
        "length": 38, "is_preparation": false, "has_parameters": false, "is_rewritten": false,
        "risk": {"score": 40, "reasons": ["reads every row"]}
      },
      "facts": {
        "effect": "read", "statements": 1, "verbs": ["select"],
        "objects": [{"verb": "select", "name": "public.cards", "columns": ["id", "pan"], "is_bounded": true}],
        "functions": [], "columns": ["id", "pan"], "outputs": [], "settings": [["search_path", "public"]],
        ...
      },
      "time": {"unix": 1767225600.0, "date": "2026-01-01", "hour": 0, "minute": 0, "weekday": "thursday"}
    }

`facts` are those of `gatepost.Facts`, field by field; null means "not known", and a policy should take it for the
worst. `statement.risk` is null where no plugin before this one has found one. `time` is in UTC, and absent where
decisions are kept (`cache`). `statement.text` is there with `send_text` alone.

Every text that a client can choose has passed `Gateway.redact`, so that no card number reaches a policy, its server or
its decision log. Parameters and rows are never told.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from gatepost import Facts, Session, Statement

Redact: TypeAlias = Callable[[str], str]

FACTS = 256
"""How many statements' facts to keep as they are told: most statements have been seen before."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Describer:
    """Tells a policy of statements.

    Args:
        redact: the text as it may be told.
        send_text: tell the statement's text too.
    """

    def __init__(self, redact: Redact, *, send_text: bool) -> None:
        self._redact = redact
        self._send_text = send_text
        self._encoder = msgspec.json.Encoder()
        self._facts = lru_cache(maxsize=FACTS)(self._encoded)

    def describe(self, session: Session, statement: Statement, now: float | None) -> bytes:
        """The input for a statement, in JSON. `now` is in Unix seconds; None leaves the time out."""
        document = {
            "identity": _identity(session),
            "session": _redacted(_session(session), self._redact),
            "statement": _redacted(_statement(statement, self._send_text), self._redact),
            "facts": self._facts(statement.facts),
        }
        return self._encoder.encode(document if now is None else document | {"time": _time(now)})

    def _encoded(self, facts: Facts) -> msgspec.Raw:
        told = _redacted(msgspec.to_builtins(facts, order="deterministic"), self._redact)
        return msgspec.Raw(self._encoder.encode(told))


def _identity(session: Session) -> dict[str, Any] | None:
    identity = session.identity
    if identity is None:
        return None
    return {
        "name": identity.name,
        "roles": identity.roles,
        "issuer": identity.issuer,
        "method": identity.method,
        "acting_for": identity.acting_for,
        "claims": dict(sorted(identity.claims.items())),
    }


def _session(session: Session) -> dict[str, Any]:
    return {
        # Without the port, which is another one each time.
        "client": session.client.rpartition(":")[0].strip("[]"),
        "target": session.target,
        "protocol": session.protocol,
        "database": session.database,
        "application": session.application,
        "tls": bool(session.tls),
    }


def _statement(statement: Statement, send_text: bool) -> dict[str, Any]:
    told = {
        "length": len(statement.text),
        "is_preparation": statement.is_preparation,
        "has_parameters": bool(statement.parameters),
        "is_rewritten": statement.original is not None,
        "risk": msgspec.to_builtins(statement.risk),
    }
    return told | {"text": statement.text} if send_text else told


def _time(now: float) -> dict[str, Any]:
    at = datetime.fromtimestamp(now, UTC)
    return {
        "unix": now,
        "date": f"{at:%Y-%m-%d}",
        "hour": at.hour,
        "minute": at.minute,
        "weekday": WEEKDAYS[at.weekday()],
    }


def _redacted(value: Any, redact: Redact) -> Any:
    """The value with each of its texts as it may rest. Keys are ours."""
    match value:
        case str():
            return redact(value)
        case dict():
            return {key: _redacted(each, redact) for key, each in value.items()}
        case list() | tuple():
            return [_redacted(each, redact) for each in value]
    return value
