"""The hooks: what must be on record, and what waits for it.

A statement that can change anything waits until its record is durable; a read goes upstream at once, and its answer
waits: a read that nobody saw is harmless, and the wait overlaps the database's own work.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import click
from msgspec import Meta, Struct
from msgspec.structs import replace

import gatepost
from gatepost import (
    Change,
    ConfigFault,
    Deny,
    Effect,
    FaultCode,
    FilePath,
    Gateway,
    Outcome,
    PastStatement,
    PluginFault,
    Reason,
    Seconds,
    Service,
    Session,
    Statement,
    Verdict,
)
from gatepost.values import Target
from gatepost_audit import commands, indexer, noting, past, recorder, records, wire
from gatepost_audit.client import Link
from gatepost_audit.describe import Describer
from gatepost_audit.paths import make_folder
from gatepost_audit.segment import Damage

YEAR = Seconds(365 * 86400)
READY = 10.0
"""Seconds that the recorder has to answer when a worker starts."""
PARTING = 5.0
"""Seconds that a worker waits for the last acknowledgements when it stops."""
PART = 64 << 10
"""Bytes of a recording to hand over at once."""
BULK = 4 << 10
"""Bytes from which a record is worth compressing."""
ROOM = 4 << 20
"""Bytes of recordings that may be on their way to the journal before those who make more of them wait."""
LOOSE = 1.0
"""Seconds that output which belongs to no statement may wait for one that ends."""

RESTATE = 86400.0
"""Seconds after which it is told anew who the sessions are: what they ask outlasts the segment in which they began."""

Durability = Literal["disk", "os"]


class AuditConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[plugins.audit]`.

    Attributes:
        reads: when a read's answer may leave: its record is on the "disk", or with the "os" (which survives a killed
            process, not a lost machine).
        writes: the same for when any other statement may run.
        retention: how long to keep the record, at least "365d" (PCI DSS 10.5.1); whole segments are dropped.
        segment_megabytes: the size of a segment.
        key: the file of an Ed25519 key in PEM that signs the checkpoints; "" makes one in the state folder.
    """

    reads: Durability = "disk"
    writes: Durability = "disk"
    retention: Seconds = YEAR
    segment_megabytes: Annotated[int, Meta(ge=1, le=4096)] = 64
    key: FilePath = FilePath("")

    def __post_init__(self) -> None:
        if self.retention < YEAR:
            raise ValueError('`retention` is less than "365d", which PCI DSS 10.5.1 asks for')


class Recorded:
    """What the record must know of a session while it lives.

    Attributes:
        output: chunks that were shown and are not handed over; `size` bytes, from `offset` of all that was shown.
        about: who the session is, as it was recorded.
        start: where in all that was shown the next statement's answer begins.
        running: statements that were allowed and have not ended.
        pending: the record for which the session's output has to wait.
        may_rest: what the session is shown may be kept.
    """

    __slots__ = ("about", "may_rest", "offset", "output", "pending", "running", "size", "start")

    def __init__(self, about: bytes, may_rest: bool) -> None:
        self.about = about
        self.may_rest = may_rest
        self.output: list[bytes] = []
        self.size = 0
        self.offset = 0
        self.start = 0
        self.running = 0
        self.pending: asyncio.Future[None] | None = None

    def take(self) -> bytes:
        """The output so far, which the caller hands over."""
        output = self.output[0] if len(self.output) == 1 else b"".join(self.output)
        self.output.clear()
        self.offset += self.size
        self.size = 0
        return output


class Audit:
    """The record of every session, statement and answer (PCI DSS 10.2).

    Of a session that is shown what may not rest (a plugin's `may_rest` says so), answers are counted but not kept.
    """

    Config = AuditConfig

    def __init__(self, config: AuditConfig) -> None:
        self._config = config
        self._read_flags = wire.DISK if config.reads == "disk" else 0
        self._write_flags = wire.DISK if config.writes == "disk" else 0
        self._sessions: dict[str, Recorded] = {}
        self._loose: dict[str, Recorded] = {}

    @gatepost.hookimpl
    def add_services(self, gateway: Gateway) -> Iterable[Service]:
        config = self._config
        folder = make_folder(gateway)
        record = partial(
            recorder.main,
            folder,
            config.key,
            config.segment_megabytes << 20,
            config.retention,
            configuration=configured_by(gateway.config_file),
        )
        return [Service(name="recorder", run=record), Service(name="indexer", run=partial(indexer.main, folder))]

    @gatepost.hookimpl
    def add_commands(self, cli: click.Group, gateway: Gateway) -> None:
        cli.add_command(commands.group(gateway, self._config.key, self._config.segment_megabytes << 20))

    @gatepost.hookimpl
    def past_statements(self, since: float, until: float) -> Iterable[PastStatement]:
        return past.statements(self._gateway, self._config.key, self._config.segment_megabytes << 20, since, until)

    @gatepost.hookimpl
    def on_change(self, change: Change) -> None:
        redact = self._gateway.redact
        kept = replace(change, name=redact(change.name), detail=redact(change.detail))
        try:
            noting.record_change(
                make_folder(self._gateway), self._config.key, self._config.segment_megabytes << 20, kept
            )
        except (OSError, Damage) as error:
            raise PluginFault(
                f"nothing is changed, for it cannot be put on record: {error}",
                code=FaultCode.RECORD,
                hint="`gatepost audit verify` says more; `gatepost run` mends what a crash has left behind.",
            ) from error

    @gatepost.hookimpl
    def on_start(self, gateway: Gateway) -> Awaitable[None] | None:
        self._gateway = gateway
        if gateway.worker < 0:
            return None
        folder = make_folder(gateway)
        self._may_rest = gateway.may_rest
        self._describe = Describer(gateway.redact, gateway.worker)
        self._records = Link(folder, ROOM)
        self._recordings = Link(folder, ROOM)
        return self._open()

    async def _open(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._records.open(READY)
        await self._recordings.open(READY)
        self._loop.call_later(RESTATE, self._restate)

    def _restate(self) -> None:
        for recorded in self._sessions.values():
            self._records.send(recorded.about)
        self._loop.call_later(RESTATE, self._restate)

    @gatepost.hookimpl
    async def on_stop(self, gateway: Gateway) -> None:
        if gateway.worker >= 0:
            self._hand_over_loose()
            await self._recordings.close(PARTING)
            await self._records.close(PARTING)

    @gatepost.hookimpl
    def on_connect(self, session: Session, target: Target) -> Awaitable[None]:
        about = records.encode(self._describe.started(session))
        waiter = self._records.confirm(about, self._write_flags)
        self._sessions[session.id] = Recorded(about, self._may_rest(session))
        return waiter

    @gatepost.hookimpl
    def on_verdict(self, session: Session, statement: Statement, verdict: Verdict) -> Awaitable[None] | None:
        recorded = self._sessions[session.id]
        is_denied = type(verdict) is Deny
        if statement.is_preparation and not is_denied:
            recorded.running += 1
            return None
        is_read = statement.facts.effect is Effect.READ
        payload = records.encode(self._describe.asked(session, statement, verdict))
        flags = self._read_flags if is_read else self._write_flags
        link = self._records
        waiter = link.share(payload, flags) if is_read or is_denied else link.confirm(payload, flags)
        if not recorded.running:
            recorded.start = recorded.offset + recorded.size
        if is_denied:
            recorded.pending = waiter
            return None
        recorded.running += 1
        if is_read:
            recorded.pending = waiter
            return None
        waiter.add_done_callback(partial(self._waited, recorded, session.id, statement.number))
        return waiter

    def _waited(self, recorded: Recorded, session: str, number: int, waiter: asyncio.Future[None]) -> None:
        """A statement whose record was not confirmed in time did not run, and nobody will tell of its end."""
        if waiter.cancelled():
            message = "cancelled before it ran"
        elif waiter.exception() is not None:
            message = "did not run: its record was not confirmed"
        else:
            return
        recorded.running -= 1
        self._records.send(records.encode(self._describe.withdrawn(session, number, message)))

    @gatepost.hookimpl
    def on_output(self, session: Session, chunk: bytes) -> Awaitable[None] | None:
        recorded = self._sessions[session.id]
        if recorded.may_rest:
            recorded.output.append(chunk)
            recorded.size += len(chunk)
            if recorded.size >= PART:
                self._hand_over(session.id, recorded)
            elif not recorded.running:
                self._hand_over_later(session.id, recorded)
        waiter = recorded.pending
        if waiter is not None:
            if not waiter.done():
                return waiter
            if waiter.cancelled() or waiter.exception() is not None:
                raise PluginFault("the statement's record was not confirmed", code=FaultCode.RECORD)
            recorded.pending = None
        return self._recordings.wait_for_room()

    @gatepost.hookimpl
    def on_statement_end(self, session: Session, statement: Statement, outcome: Outcome) -> None:
        recorded = self._sessions[session.id]
        recorded.running -= 1
        if statement.is_preparation:
            if not outcome.error:
                return
            asked = self._describe.asked(session, statement, gatepost.ALLOW)
            self._records.send(records.encode(asked))
        offset = recorded.offset
        output = recorded.take()
        payload = records.encode(self._describe.ended(session, statement, outcome, recorded.start, offset, output))
        recorded.start = recorded.offset
        self._send(payload)

    @gatepost.hookimpl
    def on_session_end(self, session: Session, reason: Reason) -> None:
        recorded = self._sessions.pop(session.id, None)
        if recorded is None:
            self._records.send(records.encode(self._describe.started(session)))
        elif recorded.size:
            self._hand_over(session.id, recorded)
        self._records.send(records.encode(self._describe.left(session, reason)), self._write_flags)

    def _send(self, payload: bytes) -> None:
        if len(payload) < BULK:
            self._records.send(payload)
        else:
            self._recordings.send(payload, wire.BULK)

    def _hand_over(self, session: str, recorded: Recorded) -> None:
        offset = recorded.offset
        self._send(records.encode(records.Part(time.time_ns(), session, offset, recorded.take())))

    def _hand_over_later(self, session: str, recorded: Recorded) -> None:
        """What belongs to no running statement (a denial, a notification) may yet share a record with the next one."""
        if not self._loose:
            self._loop.call_later(LOOSE, self._hand_over_loose)
        self._loose[session] = recorded

    def _hand_over_loose(self) -> None:
        loose, self._loose = self._loose, {}
        for session, recorded in loose.items():
            if recorded.size:
                self._hand_over(session, recorded)


def configured_by(file: Path | None) -> str:
    """The configuration file and its digest: with another one, what the gate does was changed (PCI DSS 10.2.1.2).

    Raises ConfigFault where the file cannot be read.
    """
    if file is None:
        return ""
    try:
        return f"{file} with SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()}"
    except OSError as error:
        raise ConfigFault(f"{file} cannot be read: {error.strerror}") from error
