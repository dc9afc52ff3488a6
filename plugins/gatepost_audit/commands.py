"""`gatepost audit`: search, show, replay and verify the record."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import click

from gatepost import Effect, Gateway
from gatepost.settings import moment
from gatepost_audit import keys, search
from gatepost_audit.noting import record_access
from gatepost_audit.paths import make_folder
from gatepost_audit.replay import answer, replay
from gatepost_audit.segment import DIGEST, Damage, find_end, segments
from gatepost_audit.store import FILE, Store
from gatepost_audit.verify import Report, compare, verify
from gatepost_audit.views import (
    head,
    put_changes,
    put_found,
    put_replay,
    put_report,
    put_session,
    put_statement,
    put_statements,
)

FOLLOW_EVERY = 0.25
"""Seconds between looks for what is new."""

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_limit = click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The latest so many.")


class Moment(click.ParamType[int]):
    """A time as Unix nanoseconds: "7d" ago, or an ISO date or time, in UTC unless it says otherwise."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(moment(value, time.time()) * 1e9)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Head(click.ParamType[tuple[int, bytes]]):
    """The head of the chain at an entry, as `head` prints it."""

    name = "head"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, bytes]:
        sequence, _, digest = str(value).strip().partition(":")
        try:
            found = int(sequence), bytes.fromhex(digest)
        except ValueError:
            found = 0, b""
        if len(found[1]) != DIGEST:
            self.fail("expected what `gatepost audit head` prints", param, ctx)
        return found


class Table(click.ParamType[str]):
    """A table, or a column of one, as `gatepost_audit.search.touches` understands it."""

    name = "table"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return search.table_pattern(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


_client = click.option("--client", help="From this address, with or without a port.")
_since = click.option("--since", type=Moment(), help='From then on: "7d" ago, or an ISO date or time (UTC).')
_until = click.option("--until", type=Moment(), help="Before then.")


def group(gateway: Gateway, key: str, segment_bytes: int) -> click.Group:
    """The command group, bound to a gate. For `key` and `segment_bytes` see `gatepost_audit.noting`."""

    def folder() -> Path:
        return make_folder(gateway)

    def note(detail: str) -> None:
        try:
            record_access(folder(), key, segment_bytes, gateway.redact(detail))
        except (OSError, Damage) as error:
            click.echo(f"Warning: this access could not be recorded: {error}", err=True)

    @contextmanager
    def opened() -> Iterator[Store]:
        note(command_line())
        try:
            with Store(folder()) as store:
                store.catch_up()
                yield store
        except (sqlite3.Error, Damage) as error:
            raise click.ClickException(
                f"{error}. `gatepost audit verify` says more; `gatepost audit rebuild` makes the store anew."
            ) from error

    @click.group()
    def audit() -> None:
        """The record of every session, statement and answer."""

    @audit.command("search")
    @click.option("--session", help="Of this session.")
    @click.option("--identity", help="Of this agent, or on behalf of this person.")
    @_client
    @click.option("--target", help="On this target.")
    @click.option(
        "--table", type=Table(), help='That touches it: "cards", "public.cards", "cards(pan)"; * is anything.'
    )
    @_since
    @_until
    @click.option("--effect", type=click.Choice([effect.value for effect in Effect]), help="What it can do.")
    @click.option("--verdict", type=click.Choice(["allow", "deny", "rewrite"]), help="What was decided.")
    @click.option("--risk", type=click.IntRange(1, 100), help="With a score of risk of at least that.")
    @click.option("--text", help="With these characters in its text.")
    @click.option("--changes", is_flag=True, help="Changes of agents' credentials instead; --identity is the agent.")
    @click.option("--follow", is_flag=True, help="Go on with what is new, until interrupted.")
    @_limit
    @_as_json
    def search_(limit: int, changes: bool, follow: bool, as_json: bool, **filters: Any) -> None:
        """Find statements, the latest last."""
        ask, put = (search.changes, put_changes) if changes else (search.statements, put_statements)
        for name, value in filters.items():
            if changes and value is not None and name not in search.CHANGE_FILTERS:
                raise click.UsageError(f"--changes cannot be combined with --{name}.")
        last = 0

        def seen(found: Iterable[search.Found]) -> Iterator[search.Found]:
            nonlocal last
            for each in found:
                last = each["sequence"]
                yield each

        with opened() as store:
            answer = ask(store, filters, limit)
            put(seen(answer.found), as_json)
            tell_if_cut(answer, limit)
            while follow:
                time.sleep(FOLLOW_EVERY)
                store.catch_up()
                new = ask(store, {**filters, "after": last}).found
                if (first := next(new, None)) is not None:
                    put(seen(chain((first,), new)), as_json)

    @audit.command()
    @click.option("--identity", help="Of this agent, or on behalf of this person.")
    @_client
    @click.option("--target", help="On this target.")
    @_since
    @_until
    @click.option("--failed", is_flag=True, default=None, help="Only those that proved no identity.")
    @_limit
    @_as_json
    def sessions(limit: int, as_json: bool, **filters: Any) -> None:
        """List sessions and failed logins, the latest last."""
        columns = ("id", "time", "identity", "user", "client", "target", "statements", "ending", "reason")
        with opened() as store:
            answer = search.sessions(store, filters, limit)
            put_found(answer.found, columns, as_json)
            tell_if_cut(answer, limit)

    @audit.command()
    @click.option("--kind", help='Such as "access", "start", "gap".')
    @_since
    @_until
    @_limit
    @_as_json
    def events(limit: int, as_json: bool, **filters: Any) -> None:
        """List what happened to the record itself: starts, stops, gaps, and who read it."""
        with opened() as store:
            answer = search.events(store, filters, limit)
            put_found(answer.found, ("time", "kind", "who", "detail"), as_json)
            tell_if_cut(answer, limit)

    @audit.command()
    @click.argument("id_", metavar="ID")
    @_as_json
    def show(id_: str, as_json: bool) -> None:
        """Show all that is known of a statement (SESSION/NUMBER) or a session."""
        session, _, number = id_.rpartition("/") if "/" in id_ else (id_, "", "")
        with opened() as store:
            about = one_session(store, session)
            if not number:
                put_session(about, search.statements(store, {"session": session}).found, as_json)
                return
            found = next(search.statements(store, {"session": session, "number": number}).found, None)
            if found is None:
                raise click.ClickException(f"No statement {number} of session {session} is on record.")
            decode = gateway.adapter(about["protocol"]).shown
            put_statement(found, answer(store, found, decode), as_json)

    @audit.command("replay")
    @click.argument("session")
    @click.option("--raw", is_flag=True, help="The bytes that the client was sent, and nothing else.")
    @_as_json
    def replay_(session: str, raw: bool, as_json: bool) -> None:
        """Show what a session asked and what it was shown, in order."""
        with opened() as store:
            about = one_session(store, session)
            if not raw:
                put_replay(replay(store, session, gateway.adapter(about["protocol"]).shown), as_json)
                return
            for chunk in store.output(session, 0, store.shown_until(session)):
                click.echo(chunk, nl=False)

    @audit.command("verify")
    @click.argument("copy", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
    @click.option(
        "--public-key",
        "public_keys",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        multiple=True,
        help="A key that may have signed the checkpoints, in hexadecimal; by default the one beside the journal.",
    )
    @click.option(
        "--head", "heads", type=Head(), multiple=True, help="What `head` once printed; the record must go on from it."
    )
    @_as_json
    def verify_(
        copy: Path | None, public_keys: tuple[Path, ...], heads: tuple[tuple[int, bytes], ...], as_json: bool
    ) -> None:
        """Verify the journal, and that the store agrees with it. Exit status 1 if anything was changed.

        Or the journal in COPY, a copy of the folder, where nothing is written.
        """
        where = copy or folder()
        try:
            known = [keys.load_public(path) for path in public_keys or [where / keys.PUBLIC]]
            found = examine(where, known, heads, is_copy=copy is not None)
        except (OSError, ValueError) as error:
            raise click.ClickException(f"The record cannot be verified: {error}.") from error
        if copy is None:
            note(command_line())
        if isinstance(found, str):
            raise click.ClickException(found)
        put_report(found, as_json)

    @audit.command("head")
    def head_() -> None:
        """Print the head of the chain, to be kept on another machine: `verify --head` looks for it."""
        numbers = segments(folder())
        if not numbers:
            raise click.ClickException("Nothing is on record yet.")
        try:
            end, _ = find_end(folder(), numbers[-1])
        except Damage as damage:
            raise click.ClickException(f"The journal is not what was written: {damage}.") from damage
        click.echo(head(end))

    @audit.command()
    def rebuild() -> None:
        """Make the store anew from the journal."""
        file = folder() / FILE
        try:
            with Store(folder()) as store:
                note(command_line() + disagreement(store))
                store.clear()
                store.catch_up()
                place = store.place
        except (sqlite3.Error, Damage) as error:
            raise click.ClickException(f"{error}. If {file} is no store, remove it and try again.") from error
        click.echo(f"Rebuilt from {place.sequence - 1 if place else 0} entries.")

    return audit


def command_line() -> str:
    """As the record knows it: the command, and what it was asked for."""
    context = click.get_current_context()
    given = " ".join(
        f"{name.rstrip('_')}={value}" for name, value in context.params.items() if value not in (None, False, ())
    )
    return f"{context.command_path} {given}".rstrip()


def disagreement(store: Store) -> str:
    """What the store knew otherwise than the journal: it is forgotten with the store, so the record must tell it."""
    try:
        store.catch_up()
    except Damage as damage:
        return f": {damage}"
    return ""


def one_session(store: Store, session: str) -> search.Found:
    found = next(search.sessions(store, {"session": session}).found, None)
    if found is None:
        raise click.ClickException(f"No session {session} is on record.")
    return found


def tell_if_cut(answer: search.Answer, limit: int) -> None:
    """Nobody must take the latest for all."""
    if answer.is_cut:
        click.echo(f"These are the latest {limit}; there are more before them (--limit).", err=True)


def examine(folder: Path, known: Sequence[bytes], heads: Sequence[tuple[int, bytes]], *, is_copy: bool) -> Report | str:
    """The report on a sound record, or what is wrong with it. Of a copy, the store is not looked at.

    For `known` and `heads` see `gatepost_audit.verify`.

    Raises OSError where it cannot be read.
    """
    try:
        report = verify(folder, known, heads)
    except Damage as damage:
        return f"The journal is not what was written: {damage}."
    if is_copy:
        return report
    if not (folder / FILE).exists():
        report.notes.append("There is no store that could tell whether the journal is shorter than it was.")
        return report
    needed = 2 * (folder / FILE).stat().st_size
    if shutil.disk_usage(folder).free < needed:
        return (
            f"The journal is sound, but the store is not compared with it: that takes {needed >> 20} MB on the disk of "
            "the record, which must not be full. A copy of the folder may be verified elsewhere."
        )
    try:
        different = compare(folder)
    except (sqlite3.Error, Damage) as error:
        return f"The journal is sound, but the store cannot be read: {error}."
    return f"The journal is sound, but the store is not what follows from it: {different}." if different else report
