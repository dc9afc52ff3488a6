"""The plugin: what each session may do, decided once for each statement that it has not asked before."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

import click

from gatepost import (
    Deny,
    Facts,
    Gateway,
    Identity,
    Limit,
    PluginFault,
    Reason,
    Restriction,
    Risk,
    Session,
    Statement,
    Target,
    hookimpl,
)
from gatepost_policy import commands
from gatepost_policy.config import PolicyConfig
from gatepost_policy.denial import deny
from gatepost_policy.judge import Standings, standings
from gatepost_policy.risk import Scale
from gatepost_policy.roles import Role
from gatepost_policy.seen import FILE, Seen
from gatepost_policy.when import peer_address

KNOWN: Final = 256
"""How many facts to remember in a session."""
KNOWN_SIZE: Final = 256
"""Names in the largest facts to remember."""
MINUTE: Final = 60.0
"""Seconds after which hours are looked at again; they begin and end on a minute."""

Answer: TypeAlias = Deny | tuple[Risk | Limit, ...] | None


class Known(NamedTuple):
    """What came of facts that a session has asked before."""

    facts: Facts
    answer: Answer


class Watch:
    """What a session may do at the moment.

    Attributes:
        standings: its roles, and the rules that hold.
        is_late: it is outside the hours of work.
        minute: the minute for which that is so.
        longest: characters of the longest text to which no role objects.
        known: what came of facts, by their identity. They are kept here, so that it stays theirs.
    """

    __slots__ = ("is_late", "known", "longest", "minute", "standings")

    def __init__(self) -> None:
        self.known: dict[int, Known] = {}
        self.standings = Standings(())
        self.is_late = False

    def turn(self, standings: Standings, is_late: bool, minute: int) -> None:
        """Go on with what holds in another minute; what was known holds as long as that is the same."""
        if (standings, is_late) != (self.standings, self.is_late):
            self.known.clear()
        self.standings = standings
        self.is_late = is_late
        self.minute = minute
        lengths = (each.role.max_length for each in standings.each)
        self.longest = min((length for length in lengths if length is not None), default=1 << 62)

    def keep(self, known: Known) -> None:
        facts = known.facts
        if len(facts.columns) + len(facts.objects) + len(facts.functions) + len(facts.verbs) > KNOWN_SIZE:
            return
        if len(self.known) >= KNOWN:
            self.known.clear()
        self.known[id(known.facts)] = known


class Policy:
    """Least privilege: what no rule of an identity's roles allows is denied."""

    Config = PolicyConfig

    def __init__(self, config: PolicyConfig) -> None:
        self._config = config
        self._roles: Mapping[str, Role] = {name: Role(name, role) for name, role in config.roles.items()}
        self._scale = Scale(config.risk)
        self._seen: Seen | None = None
        self._watches: dict[str, Watch] = {}

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        if gateway.worker >= 0:
            file = gateway.state / FILE
            try:
                self._seen = Seen(file)
            except (OSError, sqlite3.Error) as error:
                raise PluginFault(f"what was run before, in {file}, cannot be read: {error}") from error

    @hookimpl
    def on_stop(self, gateway: Gateway) -> None:
        if self._seen is not None:
            self._seen.close()

    @hookimpl
    def add_commands(self, cli: click.Group, gateway: Gateway) -> None:
        cli.add_command(commands.group(gateway, self._config))

    @hookimpl
    def on_connect(self, session: Session, target: Target) -> Restriction | None:
        watch = self._watches[session.id] = Watch()
        self._turn(watch, session, time.time())
        is_read_only = all(each.role.is_read_only(session.target) for each in watch.standings.each)
        return Restriction(read_only=True) if is_read_only else None

    @hookimpl
    def on_session_end(self, session: Session, reason: Reason) -> None:
        self._watches.pop(session.id, None)

    @hookimpl
    def on_statement(self, session: Session, statement: Statement) -> Answer:
        watch = self._watches[session.id]
        now = time.time()
        if now // MINUTE != watch.minute:
            self._turn(watch, session, now)
        facts = statement.facts
        known = watch.known.get(id(facts))
        if known is not None and known.facts is facts and len(statement.text) <= watch.longest:
            return known.answer
        return self._decide(watch, session, statement)

    def _decide(self, watch: Watch, session: Session, statement: Statement) -> Answer:
        facts = statement.facts
        ruling = watch.standings.judge(facts, len(statement.text))
        if ruling.refused is not None:
            denial = deny(ruling.refused, watch.standings, facts)
            if len(statement.text) <= watch.longest:
                watch.keep(Known(facts, denial))
            return denial
        is_first = self._is_first(session.identity, statement)
        risk = self._scale.risk(facts, is_first=is_first, is_late=watch.is_late)
        answer = tuple(note for note in (risk, ruling.limit) if note is not None) or None
        if not is_first:
            watch.keep(Known(facts, answer))
        return answer

    def _is_first(self, identity: Identity | None, statement: Statement) -> bool:
        """Whether the identity has not run such a statement yet. An execution is remembered."""
        fingerprint = statement.facts.fingerprint
        if self._seen is None or identity is None or self._seen.has(identity.name, fingerprint):
            return False
        if not statement.is_preparation:
            self._seen.add(identity.name, fingerprint)
        return True

    def _turn(self, watch: Watch, session: Session, now: float) -> None:
        names = session.identity.roles if session.identity else ()
        holding = standings(self._roles, names, session.target, peer_address(session.client), now)
        watch.turn(holding, self._scale.is_late(now), int(now // MINUTE))
