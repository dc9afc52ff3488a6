"""What texts mean in a session: by its catalogue, its search path, and what it has prepared or made.

What is not certain is unknown: a statement under way may yet change it, the server does not report it, or a text that
nobody could look through has run. Functions and triggers, which are the database owner's code, are trusted not to
leave another role, or temporary tables that hide others, to the session that calls them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from gatepost.adapter import Environment
from gatepost.values import Effect, Facts
from gatepost_postgres.ledger import Ledger
from gatepost_postgres.login import LoggedIn
from gatepost_postgres.owed import CATALOGUE, PATH, SETTINGS, Prepared, Run
from gatepost_postgres.settings import RESETS, may_change
from gatepost_sql import Context, facts, preparation
from gatepost_sql.catalogue import Catalogue
from gatepost_sql.hiding import Definitions, defines_amid, is_silent, may_hide

_SEARCH_PATH: Final = "search_path"
_USER: Final = "$user"
# Where nobody defines anything.
_SYSTEM: Final = "pg_catalog"
_WHO: Final = frozenset(("role", "session_authorization"))
_WHERE: Final = _WHO | {_SEARCH_PATH, "*"}
_DEFINING: Final = frozenset((Effect.DEFINE, Effect.ADMINISTER, Effect.UNKNOWN))
# Verbs of statements behind which the search path may be another one: they end what SET LOCAL has set, or undo a SET.
REVERTING: Final = frozenset(("commit", "rollback", "rollback_to", "prepare_transaction"))
EXECUTE: Final = "execute"
# Verbs of texts that run whatever a client has written.
_ANYTHING: Final = frozenset(("do", "unknown", EXECUTE))
# How a definition can name the schema of temporary objects, besides by what stands in the search path.
_TEMPORARY: Final = re.compile(r"\btemp(?:orary)?\b|pg_temp|u&", re.IGNORECASE)
# An element of the list: a quoted name, or a plain one.
_ELEMENT: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(?:,|\Z)')


class Understanding:
    """Tells the facts of texts. Its context is the same object for as long as it holds.

    Attributes:
        forgets: called when the catalogue is another one.
    """

    def __init__(self, environment: Environment, ledger: Ledger, login: LoggedIn) -> None:
        self.forgets: list[Callable[[], None]] = []
        self._catalogue = environment.catalogue
        self._has_catalogue = environment.has_catalogue
        self._ledger = ledger
        self._limits = environment.limits
        self._database = login.database
        self._user: str | None = login.user
        self._reported = login.search_path
        self._has_temporary = self._has_set_path = False
        self._prepared = _PreparedFacts(self)
        self._known: Catalogue | None = None
        self._stale: object = None
        self._definitions = Definitions()
        self._is_elsewhere = False
        # With the search path, and for where a statement under way may change it.
        self._certain = self._uncertain = Context()

    @property
    def catalogue(self) -> Catalogue | None:
        """What the session's database holds; None while that is not known, or this session redefines it."""
        return self.context().catalogue

    def context(self) -> Context:
        """What the next statement's names stand for."""
        ledger = self._ledger
        catalogue = self._catalogue()
        if catalogue is not None:
            if ledger.is_redefining or catalogue is self._stale:
                catalogue = None
            else:
                self._stale = None
        if catalogue is not self._known:
            self._known = catalogue if isinstance(catalogue, Catalogue) else None
            self._renew()
            self._forget()
        return self._uncertain if ledger.moving >= ledger.answered else self._certain

    def facts(self, text: str, context: Context | None = None) -> Facts:
        """What a text means in a context, by default in that of the next statement."""
        known = facts(text, context=context or self.context())
        if known.effect is Effect.UNKNOWN and EXECUTE in known.verbs:
            known = facts(text, context=self._with_prepared())
        return known if known.is_resolved and known.statements == 1 else self._doubted(known, text)

    def renew(self, prepared: Prepared) -> Facts:
        """The facts of a prepared statement as its names are now."""
        context = self.context()
        if prepared.context is not context:
            found = preparation(prepared.preparation, context) if prepared.preparation else None
            prepared.facts = found[1] if found is not None else self.facts(prepared.text, context)
            prepared.context = self.lasting(prepared.facts, context)
        if not prepared.facts.is_resolved:
            prepared.facts = self._doubted(prepared.facts, prepared.text)
        return prepared.facts

    def lasting(self, known: Facts, context: Context | None) -> Context | None:
        """What facts hold in for more than one statement: None if other statements decide what they are."""
        return None if EXECUTE in known.verbs else context

    def redefined(self) -> None:
        """The catalogue that all know is stale, and they are told so now."""
        self._stale = self._catalogue()
        self._forget_definitions()

    def reported(self, name: str, value: str) -> None:
        """The server has told a setting."""
        if name == _SEARCH_PATH and value != self._reported:
            self._reported = value
            self._renew()

    def note(self, run: Run) -> None:
        """See what a statement that is about to run can change."""
        known, text = run.statement.facts, run.statement.text
        self._forget_definitions()
        self._definitions.note(known, text)
        if not REVERTING.isdisjoint(known.verbs):
            self._definitions.undone()
        effect, verbs, names = known.effect, known.verbs, {name for name, _ in known.settings}
        if may_change(known):
            run.unsettles |= SETTINGS
        runs_anything = effect is Effect.UNKNOWN and not _ANYTHING.isdisjoint(verbs)
        sets_anything = runs_anything or ("*" in names and not RESETS.issuperset(verbs))
        if effect is Effect.UNKNOWN or not (names.isdisjoint(_WHERE) and REVERTING.isdisjoint(verbs)):
            run.unsettles |= PATH
        if sets_anything or _SEARCH_PATH in names:
            self._has_set_path = True
        if effect in _DEFINING or "commit_prepared" in verbs:
            run.unsettles |= CATALOGUE
        if self._user is not None and (sets_anything or not names.isdisjoint(_WHO)):
            self._user = None
            self._renew()
        if not self._has_temporary and (runs_anything or self._may_be_temporary(known, text)):
            self._has_temporary = True
            self._renew()
        if "do" in verbs and run.forgets is None:
            # Its code may prepare other statements under the names that are known.
            run.forgets = b""
        if "prepare" in verbs and (found := preparation(text, self.context())) is not None:
            name = found[0]
            quoted = name.replace('"', '""')
            prepared = Prepared(f'EXECUTE "{quoted}"', found[1], None, (), self.context(), text)
            if self._ledger.prepared.has_room(
                name.encode(), prepared.size, self._limits.prepared, self._limits.message_bytes
            ):
                run.prepares = (name.encode(), prepared)

    def _doubted(self, known: Facts, text: str) -> Facts:
        """Facts, with whether the text may hide something now."""
        may_hide = self._has_catalogue() and self._may_hide(known, text)
        return known if may_hide == known.may_hide else replace(known, may_hide=may_hide)

    def _may_hide(self, known: Facts, text: str) -> bool:
        catalogue, definitions = self._known, Definitions()
        if self._is_elsewhere or is_silent(known, text) or (catalogue is not None and not defines_amid(known)):
            return False
        if catalogue is None:
            found, definitions = self._catalogue(), self._definitions
            if not isinstance(found, Catalogue) or found is self._stale:
                return may_hide(known, _SYSTEM, has_functions=True)
            catalogue = found
        if defines_amid(known):
            # By the catalogue, what the text makes is unknown.
            known = facts(text)
            definitions = definitions.within(known, text, catalogue)
        return catalogue.database == self._database and definitions.may_hide(known, catalogue)

    def _forget_definitions(self) -> None:
        """Let go of what was defined in a transaction that is over."""
        ledger = self._ledger
        if ledger.is_idle and not ledger.is_redefining:
            self._definitions = Definitions()

    def _forget(self) -> None:
        """Let go of what came from a former catalogue: it is large, and wrong."""
        for prepared in self._ledger.prepared.settled.values():
            prepared.context = None
        for forget in self.forgets:
            forget()

    def _may_be_temporary(self, known: Facts, text: str) -> bool:
        if known.effect not in (Effect.DEFINE, Effect.ADMINISTER):
            return False
        path = self._path()
        is_plain = not self._has_set_path if path is None else not any(name.startswith("pg_temp") for name in path)
        return not is_plain or _TEMPORARY.search(text) is not None

    def _with_prepared(self) -> Context:
        context = self.context()
        if self._ledger.names_are_moving:
            return context
        return replace(context, prepared=self._prepared)

    def _path(self) -> tuple[str, ...] | None:
        """The schemas of the search path, None if they are not known."""
        names = None if self._reported is None else _elements(self._reported)
        if names is None or (_USER in names and self._user is None):
            return None
        return tuple(self._user if name == _USER and self._user else name for name in names)

    def _renew(self) -> None:
        catalogue = self._known
        if catalogue is not None:
            self._is_elsewhere = catalogue.database != self._database
        if catalogue is None or self._is_elsewhere:
            self._certain = self._uncertain = Context()
            return
        path = self._path()
        self._uncertain = Context(catalogue=catalogue, database=self._database, has_temporary=self._has_temporary)
        self._certain = self._uncertain if path is None else replace(self._uncertain, search_path=path)

    def prepared(self) -> Mapping[bytes, Prepared]:
        """What the server knows by name."""
        return self._ledger.prepared.settled


class _PreparedFacts(Mapping[str, Facts]):
    """What EXECUTE runs, judged when it is asked for."""

    def __init__(self, understanding: Understanding) -> None:
        self._understanding = understanding

    def __getitem__(self, name: str) -> Facts:
        prepared = self._understanding.prepared()[name.encode()]
        if EXECUTE in prepared.facts.verbs:
            # PostgreSQL does not run an EXECUTE of an EXECUTE, which could go round in circles here.
            raise KeyError(name)
        return self._understanding.renew(prepared)

    def __iter__(self) -> Iterator[str]:
        return (name.decode("utf-8", "replace") for name in self._understanding.prepared())

    def __len__(self) -> int:
        return len(self._understanding.prepared())


def _elements(path: str) -> tuple[str, ...] | None:
    """The names in a search path as the server reports it, None if it is not such a list."""
    names: list[str] = []
    at = 0
    while at < len(path):
        match = _ELEMENT.match(path, at)
        if match is None:
            return None
        quoted, plain = match.groups()
        name = plain if quoted is None else quoted.replace('""', '"')
        if name:
            names.append(name)
        at = match.end()
    return tuple(names)
