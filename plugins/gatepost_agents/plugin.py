"""The hooks: who is an agent of ours, and what wrong attempts lead to."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

from msgspec import Meta, Struct

from gatepost import (
    ClientFault,
    CredentialKind,
    Credentials,
    FaultCode,
    Gateway,
    Identity,
    PluginFault,
    Seconds,
    Session,
    Verifier,
    hookimpl,
)
from gatepost_agents import scram
from gatepost_agents.scram import Keys
from gatepost_agents.store import FILE, Agent, State, Store
from gatepost_agents.turnstile import Turnstile

if TYPE_CHECKING:
    import click

T = TypeVar("T")
logger = logging.getLogger("gatepost.agents")

ISSUER = "agents"
FAILURES_AT_MOST = 10  # PCI DSS 8.3.4
LOCKOUT_AT_LEAST = 30 * 60  # PCI DSS 8.3.4, seconds
REVOCATION_SECONDS = 1.0
REVOKED = ClientFault(
    "the credentials of this connection were revoked",
    code=FaultCode.AUTHENTICATION,
    hint="Stop, and ask the gateway's operator for new credentials.",
)
UNREADABLE = PluginFault("the gateway cannot tell whether the credentials of this connection are still valid")
UNAVAILABLE = "the gateway cannot judge credentials at present"
UNAVAILABLE_HINT = (
    "Nothing is wrong with yours, as far as is known. Ask the gateway's operator, who finds the cause in its log."
)
ATTEMPTS_AT_ONCE = 2  # in each worker: all workers' together should stay below the failures that lock a name


_EXCHANGES = frozenset({CredentialKind.SCRAM_SHA_256, CredentialKind.MYSQL_NATIVE, CredentialKind.CACHING_SHA2})


class AgentsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[plugins.agents]: lockout, which can be made stricter only.

    Attributes:
        failures: wrong attempts in a row that lock a name.
        lockout: how long it stays locked.
    """

    failures: Annotated[int, Meta(ge=1, le=FAILURES_AT_MOST)] = FAILURES_AT_MOST
    lockout: Seconds = Seconds(LOCKOUT_AT_LEAST)

    def __post_init__(self) -> None:
        if self.lockout < LOCKOUT_AT_LEAST:
            raise ValueError("expected `lockout` to be at least 30 minutes (PCI DSS 8.3.4)")


class _Attempt(NamedTuple):
    """A login under way: what is to be proven, None if the name is unknown, and why it has failed if it ends so."""

    keys: Keys | None
    cause: str


class Agents:
    """Judges the credentials that `gatepost agents` has issued."""

    Config = AgentsConfig
    judges = _EXCHANGES | {CredentialKind.PASSWORD}

    def __init__(self, config: AgentsConfig) -> None:
        self._config = config
        self._turnstile = Turnstile(min(ATTEMPTS_AT_ONCE, config.failures))
        self._under_way: dict[str, _Attempt] = {}

    @hookimpl
    def add_commands(self, cli: click.Group, gateway: Gateway) -> None:
        from gatepost_agents.commands import group

        cli.add_command(group(gateway))

    @hookimpl
    def on_start(self, gateway: Gateway) -> Awaitable[None] | None:
        if gateway.worker < 0:
            return None  # each command opens the store itself
        self._redact = gateway.redact
        file = gateway.state / FILE
        try:
            self._attempts = Store(file, durable=False)
            self._watched = Store(file, durable=False)
        except (OSError, sqlite3.Error) as error:
            raise PluginFault(f"the agents in {file} cannot be read: {error}") from error
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gatepost-agents")
        self._decoy = scram.derive(scram.generate())
        return self._begin_to_watch(gateway)

    async def _begin_to_watch(self, gateway: Gateway) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch(gateway))

    @hookimpl
    async def on_stop(self, gateway: Gateway) -> None:
        if gateway.worker < 0:
            return
        self._watcher.cancel()
        await asyncio.wait([self._watcher])
        self._thread.shutdown()
        self._attempts.close()
        self._watched.close()

    @hookimpl
    async def on_auth(self, session: Session, credentials: Credentials) -> Identity | Verifier | None:
        """An agent that may log in, proven or to be proven. Whatever is wrong looks like a wrong password."""
        await self._turnstile.enter(session.id, credentials.user)
        agent, state = await self._attempt(
            lambda: self._attempts.begin_attempt(
                credentials.user, time.time(), self._config.failures, self._config.lockout
            )
        )
        cause = "not proven" if state is State.ACTIVE else state.value if state else "unknown"
        self._under_way[session.id] = _Attempt(agent.keys if agent else None, cause)
        if credentials.kind in _EXCHANGES:
            return _verifier(agent, credentials.kind.value) if agent else None
        password = credentials.secret
        if password is None:
            return None
        keys = agent.keys if agent else self._decoy
        proven = await self._in_thread(lambda: scram.proves(password, keys))
        return _identity(agent, "password") if agent and proven else None

    @hookimpl
    async def on_connect(self, session: Session) -> None:
        """The attempt has succeeded: earlier ones are forgiven, unless what it has proven is void by now."""
        self._turnstile.leave(session.id)
        attempt = self._under_way.get(session.id)
        is_valid = attempt is None or await self._succeeded(session.identity, attempt)
        self._under_way.pop(session.id, None)
        if not is_valid:
            raise ClientFault(
                "the credentials of this connection became void while it logged in",
                code=FaultCode.AUTHENTICATION,
                hint="They were revoked or replaced, or have expired: ask the gateway's operator for new ones.",
            )

    @hookimpl
    async def on_session_end(self, session: Session) -> None:
        self._turnstile.leave(session.id)
        attempt = self._under_way.pop(session.id, None)
        if attempt is None:
            return
        if session.identity is not None:
            # It was proven, and then another plugin failed, or the client left: no wrong attempt.
            await self._succeeded(session.identity, attempt)
        else:
            user = self._redact(session.user)
            logger.warning("login of %r from %s failed: %s", user, session.client, attempt.cause)

    async def _succeeded(self, identity: Identity | None, attempt: _Attempt) -> bool:
        """Forgive earlier attempts; False if what was proven is void by now."""
        keys = attempt.keys
        if identity is None or not _is_agent(identity) or keys is None:
            return True
        return await self._attempt(lambda: self._attempts.succeed(identity.name, keys, time.time()))

    async def _watch(self, gateway: Gateway) -> None:
        """End the sessions of agents that are revoked meanwhile; of all agents, where that cannot be known."""
        version = -1
        while True:
            try:
                latest = await self._in_thread(self._watched.version)
                if latest != version:
                    version = latest
                    revoked = await self._in_thread(self._watched.revoked)
                    gateway.end_sessions(lambda who, gone=revoked: _is_agent(who) and who.name in gone, REVOKED)  # type: ignore[misc]
            except sqlite3.Error as error:
                logger.error("the agents cannot be read, and their sessions are ended: %s", type(error).__name__)
                version = -1
                gateway.end_sessions(_is_agent, UNREADABLE)
            await asyncio.sleep(REVOCATION_SECONDS)

    async def _attempt(self, work: Callable[[], T]) -> T:
        """What the store of attempts answers. Raises PluginFault where it cannot be read or written."""
        try:
            return await self._in_thread(work)
        except sqlite3.Error as error:
            cause = getattr(error, "sqlite_errorname", type(error).__name__)
            logger.error("the agents cannot be read or attempts to log in not be counted: %s", cause)
            raise PluginFault(UNAVAILABLE, hint=UNAVAILABLE_HINT) from None

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """The file may be locked for a moment by another process, and keys are slow: not in the event loop."""
        return asyncio.get_running_loop().run_in_executor(self._thread, work)


def _is_agent(identity: Identity) -> bool:
    return identity.issuer == ISSUER


def _identity(agent: Agent, method: str) -> Identity:
    return Identity(
        name=agent.name,
        roles=agent.roles,
        issuer=ISSUER,
        method=method,
        acting_for=agent.acting_for,
        expires_at=agent.expires,
    )


def _verifier(agent: Agent, method: str) -> Verifier:
    return Verifier(
        identity=_identity(agent, method),
        salt=agent.keys.salt,
        iterations=agent.keys.iterations,
        stored_key=agent.keys.stored_key,
        server_key=agent.keys.server_key,
        mysql_native=agent.keys.mysql_native,
        caching_sha2=agent.keys.caching_sha2,
    )
