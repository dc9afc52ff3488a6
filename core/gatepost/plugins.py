"""Order and calling of plugins: here and in `deciding` alone is a hook awaited.

pluggy registers, validates and lists the implementations; it does not call them. Its results are not threaded from one
plugin to the next, a coroutine counts as an answer for it, and it costs eight times this loop.

A chain of hooks that may be async is a generator that yields each awaitable and returns the answer. Whoever drives it
(the relay, from callbacks; `finish`, from a coroutine) decides how to wait; when no plugin waits, nothing is scheduled.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pluggy

from gatepost import hookspecs
from gatepost.calling import Hook, Steps, calls, denial, failure, with_all_parameters
from gatepost.deciding import Deciding
from gatepost.errors import ConfigFault, Fault, PluginFault
from gatepost.hookspecs import Gateway, Service
from gatepost.session_hooks import SessionHooks
from gatepost.values import (
    Change,
    CredentialKind,
    Credentials,
    Deny,
    Identity,
    Outcome,
    PastStatement,
    Reason,
    Restriction,
    Session,
    Statement,
    Target,
    UpstreamCredentials,
    Verifier,
)

if TYPE_CHECKING:
    import click

log = logging.getLogger("gatepost.plugins")

ROW_HOOKS = ("on_row", "on_rows")


class Access(NamedTuple):
    """As whom a session logs in to its upstream, and how little it may do there."""

    credentials: UpstreamCredentials
    restriction: Restriction = Restriction()


class Plugins:
    """The enabled plugins, in order.

    Args:
        enabled: (name, object) in the order in which hooks are called.

    Attributes:
        decide: `Deciding.decide`, of these plugins.

    Raises:
        ConfigFault: an implementation does not fit its hook, or no hook has its name.
    """

    def __init__(self, enabled: Sequence[tuple[str, object]]) -> None:
        self.names = tuple(name for name, _ in enabled)
        self._manager = pluggy.PluginManager("gatepost")
        self._manager.add_hookspecs(hookspecs)
        try:
            for name, plugin in enabled:
                self._manager.register(plugin, name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise ConfigFault(str(error), hint="See gatepost.hookspecs for the hooks and their parameters.") from error
        self._judges = {name: frozenset(getattr(plugin, "judges", ())) for name, plugin in enabled}
        for name, plugin in enabled:
            if all(hasattr(plugin, hook) for hook in ROW_HOOKS):
                raise ConfigFault(f"plugin {name} has both on_row and on_rows; it may have one of them")
        self._auth = self.implementations("on_auth")
        self._connect = self.implementations("on_connect")
        self._inspect = self.implementations("on_inspect")
        statement, verdict = self.implementations("on_statement"), self.implementations("on_verdict")
        self.decide: Final = Deciding(statement, verdict).decide
        self._columns = {hook.plugin: hook.call for hook in self.implementations("on_columns")}
        by_plugin = {hook.plugin: (kind, hook) for kind in ROW_HOOKS for hook in self.implementations(kind)}
        self._rows = [by_plugin[name] for name in self.names if name in by_plugin]
        self._notice = self.implementations("on_notice")
        self._output = self.implementations("on_output")
        self._statement_end = self.implementations("on_statement_end")
        self._wants_statements = bool(statement or verdict or self._statement_end)
        self._session_end = self.implementations("on_session_end")
        self._store = self.implementations("on_store")
        # The same without names, for the data path.
        self._statement_end_calls = calls(self._statement_end)

    @property
    def offers(self) -> frozenset[CredentialKind]:
        """The kinds of credentials that some plugin judges."""
        return frozenset().union(*self._judges.values())

    @property
    def watches_output(self) -> bool:
        return bool(self._output)

    @property
    def watches_ends(self) -> bool:
        return bool(self._statement_end)

    def implementations(self, hook: str) -> tuple[Hook, ...]:
        """A hook's implementations in the order in which they are called."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        found = {item.plugin_name: item for item in caller.get_hookimpls()}
        parameters = caller.spec.argnames if caller.spec else ()
        return tuple(
            Hook(name, with_all_parameters(found[name].function, found[name].argnames, parameters))
            for name in self.names
            if name in found
        )

    def hooks_of(self, plugin: str) -> tuple[str, ...]:
        """The names of the hooks that a plugin implements."""
        callers = vars(self._manager.hook)
        names = (name for name in vars(hookspecs) if isinstance(callers.get(name), pluggy.HookCaller))
        return tuple(name for name in names if any(hook.plugin == plugin for hook in self.implementations(name)))

    def authenticate(self, session: Session, credentials: Credentials) -> Steps[Identity | Verifier | Deny | None]:
        """The first answer of a plugin that judges this kind of credentials."""
        for plugin, call in self._auth:
            if credentials.kind not in self._judges[plugin]:
                continue
            try:
                answer = call(session, credentials)
                if inspect.isawaitable(answer):
                    answer = yield answer
            except (Exception, asyncio.CancelledError) as error:
                return denial(plugin, "on_auth", error)
            if isinstance(answer, Identity | Verifier | Deny):
                return answer
            if answer is not None:
                return denial(plugin, "on_auth", TypeError())
        return None

    def connect(self, session: Session, target: Target) -> Steps[Access]:
        """The upstream's credentials, and all restrictions in one. Every plugin is called.

        Raises:
            Fault: a plugin refused or failed, or nobody has credentials for this target.
        """
        credentials: UpstreamCredentials | None = None
        read_only = False
        for plugin, call in self._connect:
            try:
                answer = call(session, target)
                if inspect.isawaitable(answer):
                    answer = yield answer
            except Fault:
                raise
            except (Exception, asyncio.CancelledError) as error:
                raise failure(plugin, "on_connect", error) from error
            if isinstance(answer, Restriction):
                read_only = read_only or answer.read_only
            elif answer is None or isinstance(answer, UpstreamCredentials):
                credentials = credentials or answer
            else:
                raise failure(plugin, "on_connect", TypeError())
        if credentials is None:
            raise PluginFault(
                f"no plugin has credentials for target {target.name}",
                hint="The gateway's operator can give them in [plugins.secrets].",
            )
        return Access(credentials, Restriction(read_only=read_only))

    def inspection(self, target: Target) -> UpstreamCredentials | None:
        """The credentials to read a target's catalogue with; None: nobody has any. Raises: PluginFault."""
        for plugin, call in self._inspect:
            try:
                answer = call(target)
                if answer is not None and not isinstance(answer, UpstreamCredentials):
                    raise TypeError
            except Fault:
                raise
            except Exception as error:
                raise failure(plugin, "on_inspect", error) from error
            if answer is not None:
                return answer
        return None

    def statement_end(self, session: Session, statement: Statement, outcome: Outcome) -> Steps[None] | None:
        """Tell that a statement has ended. None: nobody waits for anything. Raises: PluginFault."""
        index = -1
        try:
            for index, call in enumerate(self._statement_end_calls):
                waiting = call(session, statement, outcome)
                if waiting is not None:
                    return self._end_rest(session, statement, outcome, index, waiting)
        except Fault:
            raise
        except Exception as error:
            raise failure(self._statement_end[index].plugin, "on_statement_end", error) from error
        return None

    def _end_rest(
        self, session: Session, statement: Statement, outcome: Outcome, index: int, waiting: Awaitable[Any] | None
    ) -> Steps[None]:
        """Go on where the plugin at `index` waits."""
        for hook in self._statement_end[index:]:
            try:
                if waiting is None:
                    waiting = hook.call(session, statement, outcome)
                if waiting is not None:
                    yield waiting
            except Fault:
                raise
            except Exception as error:
                raise failure(hook.plugin, "on_statement_end", error) from error
            waiting = None

    def session_end(self, session: Session, reason: Reason) -> Steps[list[PluginFault]]:
        """Every plugin learns of the end; those that failed are returned."""
        faults = []
        for plugin, call in self._session_end:
            try:
                waiting = call(session, reason)
                if waiting is not None:
                    yield waiting
            except Exception as error:
                faults.append(failure(plugin, "on_session_end", error))
        return faults

    def output(self, session: Session, chunk: bytes) -> Awaitable[Any] | None:
        """What the chunk must wait for, if anything. Raises: PluginFault."""
        found: Awaitable[Any] | None = None
        try:
            for hook in self._output:
                waiting = hook.call(session, chunk)
                if waiting is not None:
                    found = waiting if found is None else asyncio.gather(found, waiting)
        except Fault:
            raise
        except Exception as error:
            raise failure(hook.plugin, "on_output", error) from error
        return found

    def redact(self, text: str) -> str:
        """The text as it may rest. Raises: PluginFault."""
        for plugin, call in self._store:
            try:
                text = call(text) or text
            except Exception as error:
                raise failure(plugin, "on_store", error) from None
        return text

    def may_rest(self, session: Session) -> bool:
        """Whether no plugin objects to writing down what the session is shown. An exception is an objection."""
        for plugin, call in self.implementations("may_rest"):
            try:
                if call(session) not in (None, True):
                    return False
            except Exception as error:
                log.error("%s", failure(plugin, "may_rest", error))
                return False
        return True

    def announce(self, change: Change) -> None:
        """Tell every plugin what is about to change. Raises Fault where one refuses or fails: it must not be made."""
        for plugin, call in self.implementations("on_change"):
            try:
                if call(change) is not None:
                    raise TypeError
            except Fault:
                raise
            except Exception as error:
                raise failure(plugin, "on_change", error) from error

    def past_statements(self, since: float, until: float) -> Iterable[PastStatement]:
        """What a plugin's record tells. Raises: ConfigFault if no plugin keeps one, PluginFault."""
        for plugin, call in self.implementations("past_statements"):
            try:
                found: Iterable[PastStatement] | None = call(since, until)
            except Fault:
                raise
            except Exception as error:
                raise failure(plugin, "past_statements", error) from error
            if found is not None:
                return found
        raise ConfigFault("no plugin keeps a record of statements", hint="[plugins.audit] turns one on.")

    def start(self, gateway: Gateway) -> Steps[None]:
        """Raises: whatever a plugin's on_start raises."""
        for _, call in self.implementations("on_start"):
            waiting = call(gateway)
            if waiting is not None:
                yield waiting

    def stop(self, gateway: Gateway) -> Steps[list[PluginFault]]:
        faults = []
        for plugin, call in reversed(self.implementations("on_stop")):
            try:
                waiting = call(gateway)
                if waiting is not None:
                    yield waiting
            except Exception as error:
                faults.append(failure(plugin, "on_stop", error))
        return faults

    def services(self, gateway: Gateway) -> list[Service]:
        return [service for _, call in self.implementations("add_services") for service in call(gateway) or ()]

    def add_commands(self, cli: click.Group, gateway: Gateway) -> None:
        for _, call in self.implementations("add_commands"):
            call(cli, gateway)

    def for_session(self, session: Session) -> SessionHooks:
        return SessionHooks(session, self._rows, self._columns, self._notice, self._wants_statements)
