"""What the names of a MySQL text stand for: by the current database, and by the catalogue where there is one.

A catalogue's schemas are MySQL's databases. Columns are the same in any case of letters; databases and tables are where
the server says so (`Catalogue.folds_names`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gatepost.values import Effect, Facts, Origin
from gatepost_sql.catalogue import Catalogue, Relation, RelationKind
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.names import Column
from gatepost_sql.remembered import Remembered

# Databases of the server's own, whose tables are the same in any case of letters.
_SYSTEM: Final = frozenset({"information_schema", "performance_schema"})

# What no table is called: several parts are written with it.
_DOT: Final = "."


class Names:
    """Looks names up. What it finds out it keeps, so make it once for a catalogue and a current database.

    Args:
        catalogue: None where it is not known; then a name is qualified, and nothing more is told of it.
        database: the current one, "" if there is none, or it is not known.
        has_temporary: the session may have made temporary tables, which hide others whatever database is written.
        judge: what tells the facts of a view's definition.

    Attributes:
        forms: facts by the text without its literals.
    """

    def __init__(
        self,
        catalogue: Catalogue | None,
        database: str,
        has_temporary: bool,
        judge: Callable[[str, Names], Facts],
    ) -> None:
        self.forms = Remembered()
        self._catalogue = catalogue
        self._database = database
        self._has_temporary = has_temporary
        self._judge = judge
        self._views: dict[int, Facts] = {}
        self._columns: dict[int, dict[str, Column]] = {}
        self._following: set[int] = set()

    @property
    def has_catalogue(self) -> bool:
        return self._catalogue is not None

    def qualified(self, database: str, name: str) -> str:
        """A table's or function's name with its database's, as far as that is known. Raises NotUnderstood."""
        database = database or self._database
        if _DOT in database or _DOT in name:
            raise NotUnderstood("a name holds a dot")
        if self._catalogue is not None:
            found = self._found(database, name)
            if found is not None:
                return found.qualified
        if database.lower() in _SYSTEM:
            return f"{database}.{name}".lower()
        return f"{database}.{name}" if database else name

    def relation(self, database: str, name: str) -> Relation:
        """The table or view of this name. Raises NotUnderstood where that is not certain."""
        if not database and not self._database:
            raise NotUnderstood(f"which database {name} is in is not known, so it must be written")
        if self._has_temporary:
            raise NotUnderstood(f"a temporary table may hide {name}; connect again to be rid of those")
        found = self._found(database or self._database, name)
        if found is None:
            raise NotUnderstood(f"{self.qualified(database, name)} is not in the catalogue")
        return found

    def triggering(self, trigger: str) -> str:
        """The table of a trigger with this qualified name; any of its database, which is the table's, if not known."""
        database, dot, name = trigger.rpartition(".")
        table = self._catalogue.trigger(database, name) if self._catalogue is not None else ""
        return table or f"{database}{dot}*"

    def engine(self, table: str) -> str:
        """The engine of a table with this qualified name, in small letters; "" if it is not known."""
        database, _, name = table.rpartition(".")
        found = self._found(database, name) if self._catalogue is not None else None
        return found.engine.lower() if found is not None else ""

    def columns(self, relation: Relation) -> Mapping[str, Column]:
        """The columns of a table or view in their order, by their names in small letters, with their base columns."""
        known = self._columns.get(relation.oid)
        if known is None:
            known = self._columns[relation.oid] = {column.name: column for column in self._derived(relation)}
        return known

    def base(self, database: str, name: str, column: str) -> Origin | None:
        """The base column that a table's or view's column is, None if that is not known or an expression makes it."""
        relation = self._found(database, name)
        if relation is None or self._has_temporary:
            return None
        found = self.columns(relation).get(column.lower())
        if found is None or not found.is_direct or not found.origins:
            return None
        (origin,) = found.origins
        return origin

    def view(self, relation: Relation) -> Facts | None:
        """The facts of a view's definition; None for what is no view."""
        if relation.kind is not RelationKind.VIEW or relation.schema in _SYSTEM:
            return None
        known = self._views.get(relation.oid)
        if known is None:
            known = self._views[relation.oid] = self._followed(relation)
        return known

    def _followed(self, relation: Relation) -> Facts:
        if relation.oid in self._following or not relation.definition:
            return Facts(effect=Effect.UNKNOWN, reason="its definition is not known")
        self._following.add(relation.oid)
        try:
            return self._judge(relation.definition, self)
        finally:
            self._following.discard(relation.oid)

    def _found(self, database: str, name: str) -> Relation | None:
        assert self._catalogue is not None
        if database.lower() in _SYSTEM or self._catalogue.folds_names:
            database, name = database.lower(), name.lower()
        found = self._catalogue.relations_named(name).get(database)
        return found[0] if found is not None else None

    def _derived(self, relation: Relation) -> list[Column]:
        facts = self.view(relation)
        attributes = relation.attributes
        if facts is None:
            return [
                Column(
                    each.name.lower(),
                    each.name,
                    frozenset(Origin(relation.qualified, own) for own in each.origins),
                    not each.sources,
                    each.type,
                )
                for each in attributes
            ]
        if len(facts.outputs) != len(attributes):
            return [Column(each.name.lower(), each.name, None, False) for each in attributes]
        return [
            Column(
                each.name.lower(),
                each.name,
                None if output.origins is None else frozenset(output.origins),
                output.is_direct,
                each.type,
            )
            for each, output in zip(attributes, facts.outputs, strict=True)
        ]
