"""A gate's worker as the agents plugin sees it, and clients that try to log in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

from msgspec import structs

from gatepost import (
    CredentialKind,
    Credentials,
    Deny,
    EndCode,
    Fault,
    Identity,
    Reason,
    Secret,
    Session,
    Target,
    UpstreamCredentials,
    Verifier,
    hookimpl,
)
from gatepost.calling import finish
from gatepost.plugins import Plugins
from gatepost.testing import FakeGateway
from gatepost_agents import Agents, AgentsConfig, scram
from gatepost_agents.store import FILE, Agent, Store

TARGET = Target(name="shop", protocol="postgres", host="127.0.0.1", port=5432)
_numbers = count(1)


class Gateway(FakeGateway):
    """Lets a test wait for the order to end sessions."""

    def __init__(self, state: Path, targets: tuple[Target, ...]) -> None:
        super().__init__(state, targets=targets)
        self.orders: asyncio.Queue[tuple[Callable[[Identity], bool], Fault]] = asyncio.Queue()

    def end_sessions(self, whose: Callable[[Identity], bool], fault: Fault) -> None:
        self.orders.put_nowait((whose, fault))


class Upstream:
    @hookimpl
    def on_connect(self) -> UpstreamCredentials:
        return UpstreamCredentials(user="app")


class Worker:
    """One worker's plugins."""

    def __init__(self, plugins: Plugins, ended: asyncio.Queue[tuple[Callable[[Identity], bool], Fault]]) -> None:
        self.plugins = plugins
        self.ended = ended

    def client(self, name: str) -> Client:
        return Client(self.plugins, name)


class Client:
    """A client that claims a name."""

    def __init__(self, plugins: Plugins, name: str) -> None:
        self._plugins = plugins
        number = next(_numbers)
        self.session = Session(
            id=str(number),
            number=number,
            protocol="postgres",
            target="shop",
            client="127.0.0.1:9",
            started_at=time.time(),
            user=name,
        )

    async def ask(
        self, password: Secret | None = None, kind: CredentialKind = CredentialKind.SCRAM_SHA_256
    ) -> Identity | Verifier | None:
        """Offer a password, or ask for an exchange, SCRAM's if no other."""
        answer = await self._answer(password, kind)
        assert answer is None or isinstance(answer, Identity | Verifier)
        return answer

    async def refusal(self) -> Deny:
        """Ask for a SCRAM exchange that is refused in words."""
        answer = await self._answer(None)
        assert isinstance(answer, Deny)
        return answer

    async def _answer(
        self, password: Secret | None, kind: CredentialKind = CredentialKind.SCRAM_SHA_256
    ) -> Identity | Verifier | Deny | None:
        kind = kind if password is None else CredentialKind.PASSWORD
        credentials = Credentials(kind=kind, user=self.session.user, secret=password)
        return await finish(self._plugins.authenticate(self.session, credentials))

    async def prove(self, answer: Identity | Verifier) -> Session:
        """The exchange has succeeded."""
        self.be(answer)
        await finish(self._plugins.connect(self.session, TARGET))
        return self.session

    def be(self, answer: Identity | Verifier) -> None:
        """The exchange has succeeded, and no plugin knows yet."""
        identity = answer.identity if isinstance(answer, Verifier) else answer
        self.session = structs.replace(self.session, identity=identity)

    async def leave(self, code: EndCode = EndCode.REFUSED) -> None:
        assert await finish(self._plugins.session_end(self.session, Reason(code=code))) == []

    async def fail(self) -> bool:
        """Try a wrong password. False if the right one would have failed too."""
        answer = await self.ask()
        await self.leave()
        return _may_succeed(answer)

    async def succeed(self) -> bool:
        answer = await self.ask()
        if answer is not None and _may_succeed(answer):
            await self.prove(answer)
        await self.leave(EndCode.CLIENT_LEFT if self.session.identity else EndCode.REFUSED)
        return self.session.identity is not None


def _may_succeed(answer: Identity | Verifier | None) -> bool:
    return isinstance(answer, Verifier) and bool(answer.stored_key)


@asynccontextmanager
async def worker(state: Path, failures: int = 10) -> AsyncIterator[Worker]:
    plugins = Plugins([("agents", Agents(AgentsConfig(failures=failures))), ("upstream", Upstream())])
    gateway = Gateway(state, targets=(TARGET,))
    await finish(plugins.start(gateway))
    try:
        yield Worker(plugins, gateway.orders)
    finally:
        assert await finish(plugins.stop(gateway)) == []


def issue(state: Path, name: str = "bot", expires: float | None = None) -> Secret:
    """Issue credentials; the password."""
    password = scram.generate()
    store = Store(state / FILE, durable=False)
    agent = Agent(
        name=name,
        roles=("reader", "reporting"),
        acting_for="kim@example.com",
        keys=scram.derive(password),
        created=time.time(),
        expires=expires,
    )
    assert store.add(agent)
    store.close()
    return password
