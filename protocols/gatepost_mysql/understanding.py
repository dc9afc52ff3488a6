"""What texts mean in a session: by its catalogue, its current database, and what it has prepared or made.

What is not certain is unknown. Procedures and triggers, which are the database owner's code, are trusted not to leave
temporary tables that hide others to the session that calls them.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from gatepost.adapter import Environment
from gatepost.values import Effect, Facts, Statement
from gatepost_mysql.runs import Prepared
from gatepost_sql import Context, facts
from gatepost_sql.catalogue import Catalogue
from gatepost_sql.hiding import Definitions, defines_amid, is_silent, may_hide
from gatepost_sql.mysql_session import DATABASE

_DIALECT: Final = "mysql"
# Where nobody defines anything.
_SYSTEM: Final = "information_schema"
_DEFINING: Final = frozenset((Effect.DEFINE, Effect.ADMINISTER, Effect.UNKNOWN))
_TEMPORARY: Final = re.compile(r"\btemporary\b", re.IGNORECASE)


class Understanding:
    """Tells the facts of texts. Its context is the same object for as long as it holds.

    Args:
        database: the current one, or "".
    """

    def __init__(self, environment: Environment, database: str) -> None:
        self._catalogue = environment.catalogue
        self._has_catalogue = environment.has_catalogue
        self._database = database
        self._has_temporary = False
        self._known: Catalogue | None = None
        self._stale: object = None
        self._context = Context()
        self._renew()

    @property
    def catalogue(self) -> Catalogue | None:
        """What the server holds; None while that is not known, or after this session has redefined it."""
        return self.context().catalogue

    def context(self) -> Context:
        """What the next statement's names stand for."""
        catalogue = self._catalogue()
        if catalogue is self._stale:
            catalogue = None
        else:
            self._stale = None
        if catalogue is not self._known:
            self._known = catalogue if isinstance(catalogue, Catalogue) else None
            self._renew()
        return self._context

    def facts(self, text: str) -> Facts:
        """What a text means for the next statement."""
        return self._doubted(facts(text, _DIALECT, self.context()), text)

    def renew(self, prepared: Prepared) -> Facts:
        """The facts of a prepared statement as the catalogue is now; its database is the one at its preparation."""
        context = self.context()
        if prepared.context is not context:
            then = replace(context, search_path=prepared.search_path)
            prepared.facts = facts(prepared.text, _DIALECT, then)
            prepared.context = context
        prepared.facts = self._doubted(prepared.facts, prepared.text)
        return prepared.facts

    def moved(self, known: Facts) -> None:
        """A statement has succeeded, which may have used another database."""
        database = dict(known.settings).get(DATABASE)
        if database is not None:
            self.is_in(database)

    def is_in(self, database: str) -> None:
        """The server has told the current database."""
        if database != self._database:
            self._database = database
            self._renew()

    def note(self, statement: Statement) -> None:
        """See what a statement that is about to run can change."""
        known, text = statement.facts, statement.text
        is_definition = known.effect in (Effect.DEFINE, Effect.ADMINISTER) and _TEMPORARY.search(text) is not None
        if not self._has_temporary and (is_definition or "unknown" in known.verbs):
            self._has_temporary = True
            self._renew()

    def was_reset(self) -> None:
        """The session is as it was at its begin; temporary tables are gone."""
        self._has_temporary = False
        self._renew()

    def redefines(self, known: Facts) -> bool:
        """Whether a statement that has ended may have changed what the catalogue tells; if so, it is stale here."""
        if known.effect not in _DEFINING:
            return False
        self._stale = self._catalogue()
        return True

    def _doubted(self, known: Facts, text: str) -> Facts:
        """Facts, with whether the text may hide something now."""
        if known.is_resolved and known.statements == 1:
            return known
        hides = self._has_catalogue() and self._may_hide(known, text)
        return known if hides == known.may_hide else replace(known, may_hide=hides)

    def _may_hide(self, known: Facts, text: str) -> bool:
        catalogue = self._known
        if is_silent(known, text):
            return False
        if catalogue is None:
            return may_hide(known, _SYSTEM, has_functions=False)
        if not defines_amid(known):
            return False
        # By the catalogue, what the text makes is unknown.
        known = facts(text, _DIALECT)
        return Definitions().within(known, text, catalogue).may_hide(known, catalogue)

    def _renew(self) -> None:
        self._context = Context(
            catalogue=self._known,
            search_path=(self._database,) if self._database else None,
            has_temporary=self._has_temporary,
        )
