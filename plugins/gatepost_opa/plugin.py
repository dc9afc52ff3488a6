"""The hooks: each statement is judged by the policy, as `gatepost_opa.decision` says."""

from __future__ import annotations

import inspect
import ipaddress
import logging
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from gatepost import (
    ConfigFault,
    FilePath,
    Gateway,
    PluginFault,
    Seconds,
    SecretReference,
    Session,
    Statement,
    hookimpl,
    read_secret,
)
from gatepost.toml import fault_at
from gatepost_opa import bundle, decision
from gatepost_opa.decision import Verdict
from gatepost_opa.document import Describer
from gatepost_opa.local import LocalPolicy
from gatepost_opa.server import ServerPolicy, ServerUrl, context

if TYPE_CHECKING:
    import click

logger = logging.getLogger("gatepost.opa")

INPUT_BYTES = 128 << 10
"""A policy takes longer for a longer input; a statement that names more than this is nobody's."""
_KEY = ("plugins", "opa")

DecisionPath = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*$", max_length=200)]


class OpaConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[plugins.opa]`: either `policy` or `url`.

    Attributes:
        policy: a folder or a bundle (.tar.gz) with a Rego policy, evaluated by gatepost itself.
        url: an OPA server.
        decision: the rule that decides: "package/rule".
        timeout: how long a decision may take.
        cache: of a policy of one's own, how many decisions to keep by their input. The input then has no time.
        ca: PEM file of the authorities that the server's certificate may come from; "" means the system's.
        token: where the server's bearer token is kept.
        send_text: tell the statement's text too, redacted.
    """

    policy: FilePath = FilePath()
    url: ServerUrl = ServerUrl()
    decision: DecisionPath = "gatepost/decision"
    timeout: Seconds = Seconds(0.5)
    cache: Annotated[int, Meta(ge=0, le=100_000)] = 0
    ca: FilePath = FilePath()
    token: SecretReference | None = None
    send_text: bool = False

    def __post_init__(self) -> None:
        if bool(self.policy) == bool(self.url):
            raise ValueError("expected either `policy`, a folder or bundle of Rego, or `url`, an OPA server")
        if self.url and self.cache:
            raise ValueError("`cache` goes with `policy` alone: a server's decisions may change at any time")
        if self.policy and (self.ca or self.token):
            raise ValueError("`ca` and `token` go with `url` alone")
        if self.token and not _is_private(self.url):
            raise ValueError("a `token` goes over https, or to this machine, alone")


class Policy(Protocol):
    """Whoever decides."""

    def ask(self, document: bytes) -> object | Awaitable[object]:
        """What is decided on an input, `UNSET` where that is undefined. Raises, or its awaitable does: PluginFault."""

    async def close(self) -> None: ...


class Opa:
    """Lets a statement run if the policy says so."""

    Config = OpaConfig

    def __init__(self, config: OpaConfig) -> None:
        self._config = config
        self._policy: Policy | None = None

    @hookimpl
    def add_commands(self, cli: click.Group, gateway: Gateway) -> None:
        from gatepost_opa.commands import group

        cli.add_command(group(self, gateway))

    @hookimpl
    def on_start(self, gateway: Gateway) -> Awaitable[None] | None:
        """Raises ConfigFault for a policy that does not compile, or a file that cannot be read."""
        self._describer = Describer(gateway.redact, send_text=self._config.send_text)
        if self._config.policy:
            self._policy = self._local(gateway)
            return None
        self._check_server(gateway)
        return self.connect() if gateway.worker >= 0 else None

    async def connect(self) -> None:
        """Have a policy to ask; called within the event loop that will ask it."""
        if self._policy is None:
            config = self._config
            self._policy = ServerPolicy(config.url, config.decision, config.timeout, config.token, context(config.ca))

    @hookimpl
    async def on_stop(self, gateway: Gateway) -> None:
        await self.close()

    async def close(self) -> None:
        if self._policy is not None:
            await self._policy.close()
            self._policy = None

    @hookimpl
    def on_statement(self, session: Session, statement: Statement) -> Verdict | Awaitable[Verdict]:
        answer = self.ask(self.document(session, statement))
        if inspect.isawaitable(answer):
            return self._later(answer)
        return self._verdict(answer)

    def document(self, session: Session, statement: Statement) -> bytes:
        """The input for a statement, in JSON. Raises PluginFault where it is too large."""
        config = self._config
        size = len(statement.text) if config.send_text else 0
        if size <= INPUT_BYTES:
            document = self._describer.describe(session, statement, None if config.cache else time.time())
            size = len(document)
        if size > INPUT_BYTES:
            raise PluginFault(
                "the statement is too large to be judged by the policy",
                hint="Split it into smaller ones, or name fewer tables and columns in it.",
            )
        return document

    def ask(self, document: bytes) -> object | Awaitable[object]:
        """The policy's answer to an input. Raises, or its awaitable does: PluginFault."""
        if self._policy is None:
            raise PluginFault("the policy is not there yet, or no more", hint=decision.OPERATOR)
        return self._policy.ask(document)

    def read(self, answer: object) -> decision.Decision:
        """The decision that the policy's answer is. Raises: PluginFault."""
        return decision.read(answer, self._config.decision)

    async def _later(self, answer: Awaitable[object]) -> Verdict:
        try:
            return self._verdict(await answer)
        except PluginFault as fault:
            logger.error("a statement is denied: %s", fault.message)
            raise

    def _verdict(self, answer: object) -> Verdict:
        return decision.verdict(self.read(answer), self._config.decision)

    def _local(self, gateway: Gateway) -> LocalPolicy:
        config = self._config
        try:
            sources = bundle.read(Path(config.policy))
            return LocalPolicy(sources, config.decision, config.timeout, config.cache)
        except bundle.BadPolicy as error:
            raise fault_at(f"the policy cannot be used: {error}", (*_KEY, "policy"), gateway.config_file) from None

    def _check_server(self, gateway: Gateway) -> None:
        config = self._config
        try:
            context(config.ca)
        except OSError:
            problem = "expected a PEM file of certificates that can be read"
            raise fault_at(problem, (*_KEY, "ca"), gateway.config_file) from None
        try:
            if config.token and gateway.worker >= 0:
                read_secret(config.token)
        except ConfigFault as fault:
            raise fault_at(fault.message, (*_KEY, "token"), gateway.config_file, hint=fault.hint) from None


def _is_private(url: str) -> bool:
    """Whether nobody on the network reads what is sent there."""
    parts = urlsplit(url)
    try:
        return parts.scheme == "https" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"
