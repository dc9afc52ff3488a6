"""`gatepost agents`: issue credentials, and take them back."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatepost import Change, Gateway, Seconds, Secret
from gatepost.config import address, load
from gatepost_agents import scram
from gatepost_agents.store import FILE, Agent, Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_LONGEST = 100 * 365 * 86400
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound

_as_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


def group(gateway: Gateway) -> click.Group:
    """The command group, bound to a gate."""

    @contextmanager
    def opened() -> Iterator[Store]:
        store = Store(gateway.state / FILE, durable=True)
        try:
            yield store
        finally:
            store.close()

    @contextmanager
    def changed(action: str, name: str, detail: str = "") -> Iterator[Store]:
        """What is done within takes effect once it is announced, or not at all."""
        try:
            with opened() as store, store.transaction():
                yield store
                gateway.announce(Change(action=action, name=name, detail=detail))
        except sqlite3.Error as error:
            cause = getattr(error, "sqlite_errorname", type(error).__name__)
            gateway.announce(Change(action=action, name=name, detail=cause, is_done=False))
            raise click.ClickException(f"Nothing is changed, for the agents cannot be written: {cause}.") from error

    def found(store: Store, name: str) -> Agent:
        agent = store.find(name)
        if agent is None:
            raise click.ClickException(f"There is no agent {name!r}; `gatepost agents list` shows all.")
        return agent

    told = _Told(gateway)

    @click.group()
    def agents() -> None:
        """Credentials that gatepost issues to agents."""

    @agents.command()
    @click.argument("name", type=_NewName(gateway))
    @click.option(
        "--role", "roles", type=told, multiple=True, required=True, help="May be repeated; the first counts most."
    )
    @click.option("--expires", type=_Duration(), help='After which it is void, such as "90d".')
    @click.option("--acting-for", type=told, default="", help="The person on whose behalf the agent works.")
    @_as_json
    def add(name: str, roles: Sequence[str], expires: float | None, acting_for: str, as_json: bool) -> None:
        """Issue credentials to a new agent. Its password is shown once."""
        now = time.time()
        password = scram.generate()
        agent = Agent(
            name=name,
            roles=tuple(dict.fromkeys(roles)),
            acting_for=acting_for,
            keys=scram.derive(password),
            created=now,
            expires=None if expires is None else now + expires,
        )
        with changed("agents add", name, _told(agent)) as store:
            if not store.add(agent):
                raise click.ClickException(f"The name {name!r} is taken, or was; names are never used again.")
        _show_password(gateway, agent, password, as_json)

    @agents.command()
    @click.argument("name")
    @_as_json
    def rotate(name: str, as_json: bool) -> None:
        """Issue another password. The old one is void at once."""
        password = scram.generate()
        with changed("agents rotate", name) as store:
            agent = found(store, name)
            if agent.revoked is not None:
                raise click.ClickException(f"{name!r} was revoked, for good; add an agent of another name.")
            store.rotate(name, scram.derive(password))
        _show_password(gateway, agent, password, as_json)

    @agents.command()
    @click.argument("name")
    def revoke(name: str) -> None:
        """Void an agent's credentials for good; its open sessions can do nothing more."""
        with changed("agents revoke", name) as store:
            found(store, name)
            store.revoke(name, time.time())
        click.echo(f"Revoked {name}.")

    @agents.command()
    @click.argument("name")
    def unlock(name: str) -> None:
        """Let an agent log in again that wrong passwords have locked out."""
        with changed("agents unlock", name) as store:
            found(store, name)
            store.end_attempts(name)
        click.echo(f"Unlocked {name}.")

    @agents.command("list")
    @_as_json
    def list_(as_json: bool) -> None:
        """Show all agents, revoked ones included."""
        try:
            with opened() as store:
                rows = [_shown(agent, time.time()) for agent in store.all()]
        except sqlite3.Error as error:
            raise click.ClickException(f"The agents in {gateway.state / FILE} cannot be read: {error}.") from error
        if as_json:
            click.echo(json.dumps(rows, indent=2))
            return
        table = Table(box=None, pad_edge=False)
        for title in ("name", "roles", "acting for", "created", "expires", "state"):
            table.add_column(title, overflow="fold")
        for row in rows:
            # As texts, for rich takes what is in square brackets for a style.
            cells = (", ".join(cell) if isinstance(cell, list) else cell or "" for cell in row.values())
            table.add_row(*map(Text, cells))
        Console().print(table)

    return agents


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            lifetime = Seconds.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if lifetime > _LONGEST:
            self.fail("expected at most 100 years; without it, the credentials do not expire", param, ctx)
        return lifetime


class _Told(click.ParamType[str]):
    """What is shown, recorded and told to plugins."""

    name = "text"

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.isprintable():
            self.fail("expected one line, without control and invisible characters", param, ctx)
        if self._gateway.redact(value) != value:
            self.fail("this looks like what may not be on record, such as a card number", param, ctx)
        return str(value)


class _NewName(_Told):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _NAME.fullmatch(value):
            self.fail("expected letters, digits and . _ @ -, at most 63, with a letter or digit first", param, ctx)
        return super().convert(value, param, ctx)


def _shown(agent: Agent, now: float) -> dict[str, Any]:
    return {
        "name": agent.name,
        "roles": list(agent.roles),
        "acting_for": agent.acting_for,
        "created": _time(agent.created),
        "expires": _time(agent.expires),
        "state": agent.state(now).value,
    }


def _told(agent: Agent) -> str:
    """What an agent may do and until when, as the record knows it."""
    parts = [f"roles {', '.join(agent.roles)}", f"expires {_time(agent.expires) or 'never'}"]
    return "; ".join([*parts, f"acting for {agent.acting_for}"] if agent.acting_for else parts)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _show_password(gateway: Gateway, agent: Agent, password: Secret, as_json: bool) -> None:
    urls = _connection_strings(gateway, agent.name, password)
    if as_json:
        report = {"name": agent.name, "password": password.reveal(), "expires": _time(agent.expires), "urls": urls}
        click.echo(json.dumps(report, indent=2))
        return
    click.echo(f"password: {password.reveal()}")
    for target, url in urls.items():
        click.echo(f"{target}: {url}")
    click.echo("The password is not kept and cannot be shown again.", err=True)


def _connection_strings(gateway: Gateway, name: str, password: Secret) -> dict[str, str]:
    """A URL for each target, at the address where gatepost listens for it."""
    if gateway.config_file is None:
        return {}
    urls = {}
    for target, config in load(gateway.config_file).targets.items():
        host, port = address(config.listen, 0)
        host = socket.gethostname() if host in _WILDCARDS else host
        place = f"[{host}]" if ":" in host else host
        user = name.replace("@", "%40")
        urls[target] = f"{config.protocol}://{user}:{password.reveal()}@{place}:{port}/{config.database}"
    return urls
