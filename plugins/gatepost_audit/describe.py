"""What hooks see, as records: every text redacted on its way, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

import msgspec

from gatepost import Deny, Facts, Kind, Origin, Outcome, Reason, Rewrite, Scalar, Session, Statement, Verdict
from gatepost_audit import records

KNOWN = 4096
"""How many texts, and how many facts, to remember."""
KNOWN_LENGTH = 1024
"""Characters of the longest text to remember."""


class Known:
    """Facts that were recorded before: what is the same in each record of them.

    Attributes:
        facts: the facts.
        effect, record: theirs, the record already encoded.
        text: the latest text with these facts that is fit to rest as it is.
    """

    __slots__ = ("effect", "facts", "record", "text")

    def __init__(self, facts: Facts, record: records.FactsRecord) -> None:
        self.facts = facts
        self.effect = facts.effect.value
        self.record = record
        self.text = ""


class Describer:
    """Makes records of values.

    It remembers texts that are fit to rest as they are, and facts, since an application asks the same again.

    Args:
        redact: `Gateway.redact`.
        worker: this worker's index.
    """

    def __init__(self, redact: Callable[[str], str], worker: int) -> None:
        self._redact = redact
        self._worker = worker
        self._clean: set[str] = set()
        self._facts: dict[str, Known] = {}

    def text(self, text: str) -> str:
        """The text as it may rest."""
        if text in self._clean:
            return text
        redacted = self._redact(text)
        if redacted == text and len(text) <= KNOWN_LENGTH:
            if len(self._clean) >= KNOWN:
                self._clean.clear()
            self._clean.add(text)
        return redacted

    def asked(self, session: Session, statement: Statement, verdict: Verdict) -> records.Asked:
        facts = statement.facts
        known = self._facts.get(facts.fingerprint)
        if known is None or (known.facts is not facts and known.facts != facts):
            known = self._learn(facts)
        text = statement.text
        if text != known.text:
            redacted = self._redact(text)
            if redacted == text and len(text) <= KNOWN_LENGTH:
                known.text = text
            text = redacted
        name, plugin, rule, reason = "allow", "", "", ""
        if isinstance(verdict, Deny):
            name, plugin, rule, reason = "deny", verdict.plugin, self.text(verdict.rule), self.text(verdict.reason)
        elif isinstance(verdict, Rewrite):
            name, plugin, reason = "rewrite", verdict.plugin, self.text(verdict.reason)
        original = statement.original
        risk = statement.risk
        return records.Asked(
            time.time_ns(),
            session.id,
            statement.number,
            self._worker,
            text,
            None if original is None else self.text(original),
            self.binds(statement.parameters) if statement.parameters else (),
            statement.is_preparation,
            name,
            plugin,
            rule,
            reason,
            known.effect,
            known.record,
            0 if risk is None else risk.score,
            () if risk is None else tuple(map(self.text, risk.reasons)),
            self._attributes(statement.attributes) if statement.attributes else (),
        )

    def _learn(self, facts: Facts) -> Known:
        text = self.text
        described = records.FactsRecord(
            facts.verbs,
            tuple(
                (use.verb, text(use.name), None if use.columns is None else tuple(map(text, use.columns)))
                for use in facts.objects
            ),
            tuple(map(text, facts.functions)),
            facts.fingerprint,
            text(facts.reason),
            facts.statements,
            tuple(use.is_bounded for use in facts.objects),
            tuple(map(text, sorted(facts.columns))),
            tuple(map(text, facts.calls)),
            "" if facts.apart is None else facts.apart.value,
            tuple((text(name), None if value is None else text(value)) for name, value in facts.settings),
            self._origins(facts.predicates),
            facts.depth,
            facts.is_resolved,
            tuple((text(each.name), self._origins(each.origins), each.is_direct) for each in facts.outputs),
        )
        raw = cast(records.FactsRecord, msgspec.Raw(records.encode(described)))
        if len(self._facts) >= KNOWN:
            self._facts.clear()
        known = self._facts[facts.fingerprint] = Known(facts, raw)
        return known

    def _origins(self, origins: tuple[Origin, ...] | None) -> tuple[tuple[str, str], ...] | None:
        if origins is None:
            return None
        return tuple((self.text(each.relation), self.text(each.column)) for each in origins)

    def binds(self, parameters: tuple[tuple[Scalar, ...] | None, ...]) -> tuple[tuple[str, ...] | None, ...]:
        redact = self._redact
        found: list[tuple[str, ...] | None] = []
        for scalars in parameters:
            if scalars is None:
                found.append(None)
            elif len(scalars) == 1 and scalars[0].kind is not Kind.BYTES:
                found.append((redact(scalars[0].text),))
            else:
                found.append(self._bind(scalars))
        return tuple(found)

    def _attributes(
        self, attributes: tuple[tuple[str, tuple[Scalar, ...] | None], ...]
    ) -> tuple[tuple[str, tuple[str, ...] | None], ...]:
        names = (self.text(name) for name, _ in attributes)
        return tuple(zip(names, self.binds(tuple(value for _, value in attributes)), strict=True))

    def _bind(self, scalars: tuple[Scalar, ...]) -> tuple[str, ...]:
        """The scalars of one parameter, looked at together: an array may hold a secret in pieces."""
        texts = tuple(scalar.text for scalar in scalars)
        joined = " ".join(readable(scalar) for scalar in scalars)
        redacted = self._redact(joined)
        return texts if redacted == joined else (redacted,)

    def ended(
        self, session: Session, statement: Statement, outcome: Outcome, start: int, offset: int, output: bytes
    ) -> records.Ended:
        tag = outcome.tag
        return records.Ended(
            time.time_ns(),
            session.id,
            statement.number,
            outcome.rows,
            outcome.bytes,
            outcome.received,
            outcome.duration,
            tag if tag in self._clean else self.text(tag),
            outcome.error,
            self.text(outcome.message) if outcome.message else "",
            outcome.masked,
            outcome.complete,
            start,
            offset,
            output,
        )

    def withdrawn(self, session: str, number: int, message: str) -> records.Ended:
        return records.Ended(
            time.time_ns(), session, number, 0, 0, 0, 0.0, "", "", message, 0, False, 0, 0, b"", ran=False
        )

    def started(self, session: Session) -> records.SessionStart:
        identity = session.identity
        text = self.text
        return records.SessionStart(
            time.time_ns(),
            session.id,
            self._worker,
            session.client,
            session.protocol,
            session.target,
            text(session.user),
            text(session.database),
            text(session.application),
            session.tls,
            text(identity.name) if identity else "",
            identity.roles if identity else (),
            identity.issuer if identity else "",
            identity.method if identity else "",
            text(identity.acting_for) if identity else "",
        )

    def left(self, session: Session, reason: Reason) -> records.SessionEnd:
        return records.SessionEnd(time.time_ns(), session.id, int(reason.code), self.text(reason.text))


def readable(scalar: Scalar) -> str:
    """A scalar's text, with bytes as the characters that they may be."""
    if scalar.kind is not Kind.BYTES:
        return scalar.text
    return bytes.fromhex(scalar.text).decode("latin-1")
