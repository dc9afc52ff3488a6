"""The command group: built-in commands, and those of the plugins that the configuration enables."""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from gatepost import loading
from gatepost.config import Config, load
from gatepost.errors import ConfigFault, Fault
from gatepost.gateway import LocalGateway
from gatepost.plugins import Plugins

DEFAULT_FILE = Path("gatepost.toml")


class Invocation:
    """What the command line was told, and what follows from it, loaded when it is first asked for.

    Args:
        file: the configuration file.
        scripts: further plugins, each a Python file.
    """

    def __init__(self, file: Path, scripts: Sequence[Path]) -> None:
        self.file = file
        self.scripts = scripts

    @cached_property
    def config(self) -> Config:
        """Raises: ConfigFault."""
        return load(self.file)

    @cached_property
    def plugins(self) -> Plugins:
        """Raises: ConfigFault."""
        return loading.load(self.config, self.scripts)

    @cached_property
    def gateway(self) -> LocalGateway:
        """Raises: ConfigFault."""
        return LocalGateway(self.config, self.plugins)

    @cached_property
    def commands(self) -> Mapping[str, click.Command]:
        """The commands that the enabled plugins bring. Raises: ConfigFault."""
        group = click.Group()
        self.plugins.add_commands(group, self.gateway)
        return group.commands

    def start(self) -> None:
        """Tell the plugins that the command line has started, as `on_start` promises.

        Raises:
            Fault: a plugin cannot start.
        """
        for _ in self.plugins.start(self.gateway):
            raise ConfigFault("a plugin's on_start waits, which it may do in a worker only")


class Gatepost(click.Group):
    """Plugins' commands are looked up last, so that built-in ones need no configuration."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for argument in args:
            try:
                argument.encode()
            except UnicodeEncodeError:
                locale = "" if sys.getfilesystemencoding() == "utf-8" else " here; set LC_ALL=C.UTF-8"
                raise click.UsageError(f"An argument is not UTF-8 text{locale}.", ctx) from None
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        builtin = super().list_commands(ctx)
        try:
            return builtin + sorted(invocation(ctx).commands.keys() - set(builtin))
        except Exception:
            return builtin  # help is shown whatever state the configuration and its plugins are in

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is not None or ctx.resilient_parsing:
            return command
        return invocation(ctx).commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, told = args[0], invocation(ctx)
        try:
            return super().resolve_command(ctx, args)
        except ConfigFault as fault:
            if name in loading.installed():
                raise
            reason = f"No such command {name!r}, unless a plugin has it; and of plugins nothing is known:\n{fault}"
            raise click.UsageError(reason, ctx) from fault
        except click.UsageError as error:
            if name in loading.installed() and name not in told.config.plugins:
                advice = f"The plugin {name} is not enabled: add a table [plugins.{name}] to {told.file}."
                raise click.UsageError(f"{error.message} {advice}", ctx) from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Fault as fault:
            click.echo(f"Error: {fault}" + (f"\n{fault.hint}" if fault.hint else ""), err=True)
            ctx.exit(2 if isinstance(fault, ConfigFault) else 1)
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends quietly
                raise
            click.echo(f"Error: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}.", err=True)
            ctx.exit(1)
        except (KeyboardInterrupt, click.Abort):
            ctx.exit(130)


def invocation(ctx: click.Context) -> Invocation:
    """The one of this command line."""
    root = ctx.find_root()
    if root.obj is None:
        root.obj = Invocation(root.params.get("config") or DEFAULT_FILE, root.params.get("script") or ())
    found: Invocation = root.obj
    return found
