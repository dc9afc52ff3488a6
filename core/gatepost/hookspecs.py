"""The hooks. These docstrings are their reference.

A plugin implements a hook by a method (or, in a script, a function) of the hook's name, marked with
`gatepost.hookimpl`; it may leave out parameters that it does not need. Plugins are called in the order
of their tables in the configuration, scripts last. Where a hook may be async, an implementation
returns either a plain value or an awaitable; a plain value costs no task switch. An awaitable is cancelled when the
client cancels the statement or leaves.

An exception never lets anything through. A plugin that wants to say why in its own words raises `PluginFault`; of any
other exception the client and the log learn the type, not the text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import pluggy
from msgspec import Struct

from gatepost.errors import Fault
from gatepost.values import (
    Allow,
    Change,
    Credentials,
    Deny,
    Identity,
    Interest,
    Limit,
    Notice,
    Outcome,
    PastStatement,
    Reason,
    Restriction,
    Result,
    Rewrite,
    Risk,
    Row,
    RowBatch,
    Session,
    Statement,
    Target,
    UpstreamCredentials,
    Verdict,
    Verifier,
)

if TYPE_CHECKING:
    import click

    from gatepost.adapter import Adapter, Catalogue

F = TypeVar("F", bound=Callable[..., Any])

Judgement: TypeAlias = Allow | Deny | Rewrite | Risk | Limit | tuple[Risk | Limit, ...]

_spec = pluggy.HookspecMarker("gatepost")
_impl = pluggy.HookimplMarker("gatepost")


def hookspec(function: F) -> F:
    return _spec(function)


def hookimpl(function: F) -> F:
    """Mark a method or function as the implementation of the hook of its name."""
    return _impl(function)


class Service(Struct, frozen=True, kw_only=True):
    """A process that runs beside the workers: started before them, restarted when it ends.

    Attributes:
        name: for `ps` and the log.
        run: its main function. It runs in a process of its own, and returns after SIGTERM; and after SIGHUP, which ends
            it by itself where it is not handled, for then the same with the new configuration takes its place.
    """

    name: str
    run: Callable[[], None]


class Gateway(Protocol):
    """What a plugin may know of, and ask from, the gate that it runs in."""

    @property
    def state(self) -> Path:
        """The folder for files that must last (mode 0700); a plugin makes its own below it.

        Raises ConfigFault if this user cannot use it.
        """

    @property
    def config_file(self) -> Path | None:
        """The configuration file, if there is one."""

    @property
    def targets(self) -> Sequence[Target]: ...

    @property
    def worker(self) -> int:
        """This worker's index, from 0; -1 in the supervisor, a service and the command line."""

    def redact(self, text: str) -> str:
        """The text as it may rest: each plugin's `on_store` has seen it. Call it before anything is written."""

    def may_rest(self, session: Session) -> bool:
        """Whether what the session is shown may be written down as it was shown: no plugin's `may_rest` objects."""

    def end_sessions(self, whose: Callable[[Identity], bool], fault: Fault) -> None:
        """End this worker's sessions of such identities, and what they run in their databases.

        Their clients are told `fault`. Does nothing elsewhere.
        """

    def adapter(self, protocol: str) -> Adapter:
        """The adapter of this name. Raises ConfigFault if none is installed."""

    def catalogue(self, target: Target) -> Awaitable[Catalogue | None]:
        """Read the target's catalogue now, as `on_inspect` says. None: nobody has credentials for that.

        Raises UpstreamFault if the database cannot be reached or refuses.
        """

    def announce(self, change: Change) -> None:
        """Tell every plugin's `on_change`, before the change takes effect. Raises Fault: it must not be made."""

    def past_statements(self, since: float, until: float) -> Iterable[PastStatement]:
        """What a plugin's `past_statements` tells. Raises ConfigFault if no plugin keeps a record."""


@hookspec
def on_auth(
    session: Session, credentials: Credentials
) -> Identity | Verifier | Deny | Awaitable[Identity | Verifier | Deny | None] | None:
    """The client has said who it claims to be, and by what.

    A plugin lists the kinds of credentials that it can judge in an attribute `judges`, a frozenset of
    `CredentialKind`; protocols offer clients the mechanisms that follow from the union, and only plugins that judge
    the kind are called.

    Returns an `Identity` if the credentials prove it, a `Verifier` with which the protocol then carries out a challenge
    exchange, `Deny` to refuse for good, or None: not mine. The first answer that is not None stands. When all
    say None the client is refused, after the same exchange that a wrong password would have led to.

    How a challenge ended shows in what follows: `on_connect` when it succeeded, else `on_session_end` with REFUSED.

    Async allowed. An exception: refused.
    """


@hookspec
def on_connect(
    session: Session, target: Target
) -> UpstreamCredentials | Restriction | Awaitable[UpstreamCredentials | Restriction | None] | None:
    """A session needs its upstream; `session.identity` is proven.

    Every plugin is called; the first `UpstreamCredentials` stand, and so does every `Restriction` of any plugin. None:
    not mine. If nobody has credentials, the session ends.

    Async allowed. An exception: refused.
    """


@hookspec
def on_inspect(target: Target) -> UpstreamCredentials | None:
    """gatepost wants to read the catalogue of a target: its tables, columns, views and functions.

    The first `UpstreamCredentials` stand; they need no right on any row. None: not mine. If nobody has any, the
    catalogue stays unknown, and statements are judged by their texts alone.

    Sync. An exception: the catalogue stays unknown, and the log says why.
    """


@hookspec
def on_statement(session: Session, statement: Statement) -> Judgement | Awaitable[Judgement | None] | None:
    """A client asks for a statement; nothing of it was planned or run.

    Asked for a preparation (`statement.is_preparation`) and again for each execution, with its parameters.

    None or `ALLOW`: no objection. The first `Deny` ends it. After a `Rewrite` the chain starts again with the new text;
    a plugin that rewrites its own output has failed. `Risk` and `Limit`, or a tuple of them, are no objection: the
    plugins behind, and the record, see them as `statement.risk` and `statement.limit`. Of several limits the strictest
    holds. A `Deny` of what `may_hide` something waits for the catalogue that is being read, and the chain starts again.

    Async allowed: the client waits, and may cancel or leave meanwhile. An exception: Deny.
    """


@hookspec
def on_verdict(session: Session, statement: Statement, verdict: Verdict) -> Awaitable[None] | None:
    """The verdict on a statement is final; it takes effect when every plugin has returned.

    Called once for each statement that `on_statement` was called for, denied ones included.

    Async allowed. An exception: Deny (and no further `on_verdict`).
    """


@hookspec
def on_columns(session: Session, result: Result) -> Interest | None:
    """A result's columns are known.

    Returns which rows the plugin's `on_row` or `on_rows` wants to see; None: all of them. Called, for
    plugins that have `on_row` or `on_rows`, once in a session for the same facts and columns; the answer holds for each
    such result. Texts that differ in literals alone have the same facts, so the answer must not depend on literals.

    Sync. An exception: the session ends.
    """


@hookspec
def on_row(session: Session, row: Row) -> None:
    """A row is about to leave; the plugin may change its cells or drop it.

    Also called for each line of COPY, as a row of one text column.

    Sync. An exception: the session ends before the row leaves.
    """


@hookspec
def on_rows(session: Session, batch: RowBatch, interest: Interest) -> None:
    """The rows of a chunk are about to leave, all at once. A plugin has this or `on_row`.

    `interest` is what its `on_columns` said of this result; a subclass of `Interest` carries what it found out there.

    Sync. An exception: the session ends before any of them leaves.
    """


@hookspec
def on_notice(session: Session, notice: Notice) -> None:
    """Another text from the server, or a plugin's denial, is about to leave: see `NoticeKind`. The plugin may change
    `notice.fields`.

    For a PARAMETER, a TAG and a COLUMN, the outcome is kept for the same text in the same session.

    Sync. An exception: the session ends before the text leaves.
    """


@hookspec
def on_output(session: Session, chunk: bytes) -> Awaitable[None] | None:
    """Bytes are about to leave for the client, as it will see them, once statements may come.

    None: they leave. An awaitable: they and all that follow wait for it, and no more is read from upstream than a
    bounded buffer holds; an `asyncio.Future` costs no task. If it fails, they never leave and the session ends.

    An exception: the session ends.
    """


@hookspec
def on_statement_end(session: Session, statement: Statement, outcome: Outcome) -> Awaitable[None] | None:
    """The server has answered a statement, or the session ended first (`outcome.complete`).

    Called once for each statement that was allowed, denied ones excluded, preparations included. The last bytes of its
    answer have been through `on_output`.

    Async allowed; the session goes on meanwhile. An exception: logged, the session ends.
    """


@hookspec
def on_session_end(session: Session, reason: Reason) -> Awaitable[None] | None:
    """The session is over, whatever ended it. Called exactly once for each connection that sent a byte.

    Async allowed. An exception: logged.
    """


@hookspec
def on_store(text: str) -> str | None:
    """A text is about to be written where it rests: a record, a log, an approval, a metric.

    Returns the text to write instead, or None to leave it. Each plugin sees what the one before returned.

    Sync, and without a session: what rests may be read by anybody. An exception: it is not written.
    """


@hookspec
def may_rest(session: Session) -> bool | None:
    """May what this session is shown be written down as it was shown? Asked once, when the session is proven.

    False from any plugin: no. A plugin that shows an identity what must not rest (a card number in clear) says so here;
    a recorder then keeps everything else of the session. None or True: no objection.

    Sync. An exception: no.
    """


@hookspec
def on_change(change: Change) -> None:
    """A person changes something of the gate itself by a command; it takes effect when every plugin has returned.

    Called in the command line through `Gateway.announce`, whether the gate runs or not. A plugin that keeps a record
    makes one, with the user of the process as the one who did it (PCI DSS 10.2.1.5). A change that fails afterwards is
    told once more (`Change.is_done`).

    Sync; None is the only answer. Any other, or an exception: nothing is changed, and the command says why.
    """


@hookspec
def past_statements(since: float, until: float) -> Iterable[PastStatement] | None:
    """Somebody asks for what was recorded between two times (Unix seconds), oldest first, executions only.

    A plugin that keeps a record answers; None: it keeps none. Called in the command line through
    `Gateway.past_statements`, which takes the first answer. That the record was read is itself recorded.

    Sync. An exception: nothing is told.
    """


@hookspec
def on_start(gateway: Gateway) -> Awaitable[None] | None:
    """A worker starts; its listeners are not open yet. Also called before a plugin's commands run.

    Async allowed in a worker. An exception: gatepost does not start.
    """


@hookspec
def on_stop(gateway: Gateway) -> Awaitable[None] | None:
    """A worker stops; its sessions are over. Async allowed. An exception: logged."""


@hookspec
def add_services(gateway: Gateway) -> Iterable[Service] | None:
    """Processes that this plugin needs beside the workers, for all of them together (a recorder, say).

    Called in the supervisor before workers start. An exception: gatepost does not start.
    """


@hookspec
def add_commands(cli: click.Group, gateway: Gateway) -> None:
    """Add commands to `gatepost`. Called when the command line starts; do no work before a command runs."""
