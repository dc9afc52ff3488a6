"""A worker: its listeners, the sessions that live in it, and their limits."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import logging
import os
import secrets
import signal
import socket
import struct
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from gatepost import tls
from gatepost.adapter import Limits, TlsPolicy, TlsTerms
from gatepost.calling import Steps, finish
from gatepost.catalogue import Keeper
from gatepost.config import Config, ListenTls, address
from gatepost.errors import ClientFault, Fault, FaultCode, describe
from gatepost.gateway import LocalGateway, find_adapter
from gatepost.listener import Listener
from gatepost.plugins import Plugins
from gatepost.relay import Relay
from gatepost.values import EndCode, Identity, Session, Target

log = logging.getLogger("gatepost.worker")

BACKLOG: Final = 1024
SWEEP_SECONDS: Final = 1.0

# A session's number is its worker's slot and a count, so that any worker knows whom a cancel request is for.
_COUNT_BITS: Final = 20
_SLOTS: Final = 1 << 31 - _COUNT_BITS

# What workers tell each other begins with one of these.
_CANCEL: Final = b"C"
_ANSWER: Final = b"A"
_REDEFINED: Final = b"R"
# A cancel: the session, who asks (a slot and its ticket for the answer), and whether it ends the session.
_cancel: Final = struct.Struct("!III?")
_answer: Final = struct.Struct("!I?")
_ANSWER_SECONDS: Final = 5.0
_MAILBOXES: Final = "workers"
_POST_AGAIN_SECONDS: Final = 0.02

# How long a worker's first client may wait for what the database says that it is.
_RECOGNISE_SECONDS: Final = 2.0

KILLED: Final = ClientFault("the session was ended by another one of the same agent", code=FaultCode.KILLED)
EXPIRED: Final = ClientFault(
    "the session's credentials have expired",
    code=FaultCode.AUTHENTICATION,
    hint="Stop, and ask the gateway's operator for new credentials.",
)

_LISTEN_POLICY: Final = {"off": TlsPolicy.OFF, "optional": TlsPolicy.OPTIONAL, "required": TlsPolicy.REQUIRED}


def listeners(config: Config, gateway: LocalGateway) -> list[Listener]:
    """What to listen for, certificates loaded.

    Raises:
        ConfigFault: a protocol is not installed, or a certificate cannot be used.
    """
    found = []
    for target in gateway.targets:
        each = config.targets[target.name]
        adapter = find_adapter(each.protocol)
        host, port = address(each.listen, adapter.default_port)
        terms = tls.upstream_terms(each.upstream_tls, adapter.alpn)
        found.append(
            Listener(
                target=target,
                adapter=adapter,
                host=host,
                port=port,
                limits=Limits(startup_bytes=config.limits.startup_bytes, message_bytes=config.limits.message_bytes),
                client_tls=_LISTEN_POLICY[each.tls.mode],
                upstream_tls=terms.policy,
                upstream_direct_tls=terms.is_direct,
                client_layer=_client_layer(each.tls, adapter.alpn),
                upstream_layer=_upstream_layer(terms, target.host),
            )
        )
    return found


def _client_layer(settings: ListenTls, alpn: tuple[str, ...]) -> Callable[[], tls.Layer] | None:
    if settings.mode == "off":
        return None
    context, certificate = tls.server_context(settings.certificate, settings.key, settings.client_ca, alpn)
    return lambda: tls.Layer(context, server_side=True, own_certificate=certificate)


def _upstream_layer(terms: TlsTerms, host: str) -> Callable[[], tls.Layer] | None:
    context = terms.context
    if context is None:
        return None
    return lambda: tls.Layer(context, server_side=False, hostname=host)


class Server:
    """One worker process.

    Args:
        config: the whole configuration.
        plugins: the enabled plugins, not started yet.
        ports: the port that each target listens on, by the target's name.
        slot: this worker's place among those that live.
        gate_secret: shared by all workers; authenticates what they tell each other.
    """

    def __init__(self, config: Config, plugins: Plugins, ports: dict[str, int], slot: int, gate_secret: bytes) -> None:
        self.plugins = plugins
        self.gate_secret = gate_secret
        self.held_bytes = config.limits.held_bytes
        self.connect_seconds = float(config.limits.connect)
        self._config = config
        self._ports = ports
        self._slot = slot % _SLOTS
        self._gateway = LocalGateway(config, plugins, slot, self._end_sessions)
        self._keepers = {target.name: self._keeper(target) for target in self._gateway.targets}
        self._upstreams: dict[str, object] = {}
        self._sessions: dict[int, Relay] = {}
        self._unproven: set[Relay] = set()
        self._count = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()
        self._empty = asyncio.Event()
        self._mailbox: socket.socket | None = None
        self._tickets = itertools.count()
        self._asked: dict[int, asyncio.Future[bool]] = {}

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM, then drain. `ready` is called when the listeners are open."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_exception)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        await finish(self.plugins.start(self._gateway))
        self._open_mailbox(loop)
        found = listeners(self._config, self._gateway)
        await asyncio.gather(*map(self._recognise, found))
        servers = [await self._listen(loop, each) for each in found]
        ready()
        tasks = [loop.create_task(keeper.run()) for keeper in self._keepers.values()]
        tasks.append(loop.create_task(self._sweep(loop)))
        await self._stopping.wait()
        for server in servers:
            server.close()
        await self._drain()
        for task in tasks:
            task.cancel()
        self._close_mailbox()
        for fault in await finish(self.plugins.stop(self._gateway)):
            log.error("%s", fault)

    def _keeper(self, target: Target) -> Keeper:
        refresh = self._config.targets[target.name].catalogue_refresh
        return Keeper(target.name, lambda: self._gateway.catalogue(target), refresh)

    async def _recognise(self, listener: Listener) -> None:
        """See what a database is, so that the first client is greeted as later ones are. If it can't be seen now, its
        first session tells."""
        try:
            async with asyncio.timeout(_RECOGNISE_SECONDS):
                self._upstreams[listener.target.name] = await listener.adapter.recognise(listener.target)
        except Exception as error:
            cause = str(error) if isinstance(error, Fault) else describe(error)
            log.info("the database behind target %s is not recognised yet: %s", listener.target.name, cause)

    async def _listen(self, loop: asyncio.AbstractEventLoop, listener: Listener) -> asyncio.Server:
        def accept() -> asyncio.Protocol:
            return self._accept(loop, listener)

        port = self._ports[listener.target.name]
        return await loop.create_server(accept, listener.host, port, reuse_port=True, backlog=BACKLOG)

    def _accept(self, loop: asyncio.AbstractEventLoop, listener: Listener) -> asyncio.Protocol:
        number = self._next_number()
        now = time.time_ns()
        session = Session(
            id=f"{now // 1000:014x}{number:08x}",
            number=number,
            protocol=listener.adapter.name,
            target=listener.target.name,
            client="",
            started_at=now / 1e9,
        )
        limits = self._config.limits
        refusal = None
        if len(self._sessions) >= limits.connections or len(self._unproven) >= limits.unauthenticated:
            refusal = ClientFault(
                "too many connections to the gateway", code=FaultCode.TOO_MANY, hint="Try again in a while."
            )
        relay = Relay(self, listener, session, secrets.token_bytes(32), loop, refusal)
        self._sessions[number] = relay
        self._unproven.add(relay)
        return relay.client

    def _next_number(self) -> int:
        while True:
            self._count = (self._count + 1) % (1 << _COUNT_BITS)
            number = self._slot << _COUNT_BITS | self._count
            if number and number not in self._sessions:
                return number

    def _end_sessions(self, whose: Callable[[Identity], bool], fault: Fault) -> None:
        for relay in tuple(self._sessions.values()):
            if relay.session.identity is not None and whose(relay.session.identity):
                relay.kill(fault, EndCode.REFUSED)

    # What relays call.

    def proven(self, relay: Relay) -> None:
        self._unproven.discard(relay)

    def forget(self, relay: Relay) -> None:
        self._unproven.discard(relay)
        if self._sessions.get(relay.session.number) is relay:
            del self._sessions[relay.session.number]
        if not self._sessions:
            self._empty.set()

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def keeper(self, target: Target) -> Keeper:
        """Who keeps a target's catalogue."""
        return self._keepers[target.name]

    def redefined(self, target: Target) -> None:
        """A target's catalogue is stale, here and in all other workers."""
        self._keepers[target.name].redefined()
        for path in Path(_MAILBOXES).glob("*.sock"):
            if path != self._mailbox_of(self._slot):
                self._post(path, _REDEFINED + target.name.encode())

    def upstream(self, target: Target) -> object:
        """What a target's database has said last that it is, or None."""
        return self._upstreams.get(target.name)

    def recognised(self, target: Target, upstream: object) -> None:
        self._upstreams[target.name] = upstream

    def cancel(self, number: int, secret: bytes, ends_session: bool) -> Steps[bool]:
        """Cancel what a session does, or end it, here or in the worker that has it, if `secret` proves that it may be.

        Returns whether there is such a session.
        """
        slot = number >> _COUNT_BITS
        if not 0 <= slot < _SLOTS:
            return False
        if slot == self._slot:
            return self._cancel_own(number, secret, ends_session)
        ticket = next(self._tickets) & 0xFFFFFFFF
        answer = self._asked[ticket] = asyncio.get_running_loop().create_future()
        letter = _CANCEL + _cancel.pack(number, self._slot, ticket, ends_session) + secret
        try:
            if not self._post(self._mailbox_of(slot), letter):
                return False
            return bool((yield asyncio.wait_for(answer, _ANSWER_SECONDS)))
        except (TimeoutError, asyncio.CancelledError):
            return False
        finally:
            del self._asked[ticket]

    def _cancel_own(self, number: int, secret: bytes, ends_session: bool) -> bool:
        relay = self._sessions.get(number)
        if relay is None or not relay.owns(secret):
            return False
        if ends_session:
            relay.kill(KILLED, EndCode.KILLED)
        else:
            relay.cancel()
        return True

    # What workers tell each other: datagrams on Unix sockets in the state folder.

    def _mailbox_of(self, slot: int) -> Path:
        # Relative to the state folder, which is a worker's own: a socket's path may have 107 bytes.
        return Path(_MAILBOXES) / f"{slot}.sock"

    def _post(self, path: Path, letter: bytes) -> bool:
        """Whether somebody will get the letter."""
        if self._mailbox is None:
            return False
        try:
            self._mailbox.sendto(hmac.digest(self.gate_secret, letter, "sha256") + letter, str(path))
        except BlockingIOError:
            # The other one's mailbox is full; it must not miss what makes its catalogue stale.
            asyncio.get_running_loop().call_later(_POST_AGAIN_SECONDS, self._post, path, letter)
        except (FileNotFoundError, ConnectionRefusedError):
            return False  # it is gone
        except OSError as error:
            log.warning("what another worker should know was not delivered: %s", error.strerror)
            return False
        return True

    def _open_mailbox(self, loop: asyncio.AbstractEventLoop) -> None:
        path = self._mailbox_of(self._slot)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        self._mailbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._mailbox.bind(str(path))
        loop.add_reader(self._mailbox, self._read_mailbox)

    def _read_mailbox(self) -> None:
        assert self._mailbox is not None
        letter = self._mailbox.recv(1024)
        seal, body = letter[:32], letter[32:]
        if not hmac.compare_digest(seal, hmac.digest(self.gate_secret, body, "sha256")):
            return
        kind, rest = body[:1], body[1:]
        if kind == _CANCEL and len(rest) > _cancel.size:
            number, slot, ticket, ends_session = _cancel.unpack_from(rest)
            found = self._cancel_own(number, rest[_cancel.size :], ends_session)
            self._post(self._mailbox_of(slot), _ANSWER + _answer.pack(ticket, found))
        elif kind == _ANSWER and len(rest) == _answer.size:
            ticket, found = _answer.unpack(rest)
            waiting = self._asked.get(ticket)
            if waiting is not None and not waiting.done():
                waiting.set_result(found)
        elif kind == _REDEFINED and (keeper := self._keepers.get(rest.decode())) is not None:
            keeper.redefined()

    def _close_mailbox(self) -> None:
        if self._mailbox is not None:
            asyncio.get_running_loop().remove_reader(self._mailbox)
            self._mailbox.close()
            self._mailbox = None
            self._mailbox_of(self._slot).unlink(missing_ok=True)

    # Time.

    async def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """End sessions whose time is up: one look a second at all of them costs less than timers for each."""
        limits = self._config.limits
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now, wall = loop.time(), time.time()
            for relay in tuple(self._sessions.values()):
                relay.look_for_client()
                identity = relay.session.identity
                if not relay.is_serving and now - relay.began_at > limits.handshake:
                    relay.fail(ClientFault("the login took too long", code=FaultCode.TIMEOUT), EndCode.TIMEOUT)
                elif now - relay.active_at > limits.idle:
                    hint = "Connect again."
                    relay.fail(
                        ClientFault("the session was idle too long", code=FaultCode.IDLE, hint=hint), EndCode.TIMEOUT
                    )
                elif identity is not None and identity.expires_at is not None and wall >= identity.expires_at:
                    relay.kill(EXPIRED, EndCode.TIMEOUT)

    async def _drain(self) -> None:
        if self._sessions:
            self._empty.clear()
            for relay in tuple(self._sessions.values()):
                relay.drain()
            try:
                async with asyncio.timeout(self._config.limits.drain):
                    if self._sessions:
                        await self._empty.wait()
            except TimeoutError:
                log.warning("%d sessions did not end in time and are closed", len(self._sessions))
                for relay in tuple(self._sessions.values()):
                    relay.fail(
                        ClientFault("the gateway is shutting down", code=FaultCode.SHUTDOWN, hint="Connect again."),
                        EndCode.SHUTDOWN,
                    )
        await asyncio.sleep(0)
        while self._tasks:
            await asyncio.wait(self._tasks)


def _log_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own handler would log the arguments of callbacks, and so a client's bytes."""
    error = context.get("exception")
    log.error("an error outside any session: %s", describe(error) if error else context.get("message", ""))


def open_files_needed(config: Config) -> int:
    """File descriptors that a full worker needs: two for each session, and some to spare."""
    return 2 * config.limits.connections + 64 + len(config.targets) + len(os.listdir("/proc/self/fd"))


def worker_slots(first: int, count: int) -> Sequence[int]:
    """The slots of a generation of workers."""
    return [slot % _SLOTS for slot in range(first, first + count)]
