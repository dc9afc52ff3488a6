"""What the names of a text stand for in a database, by its catalogue and a session's search path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from gatepost.values import Effect, Facts, Origin, Use
from gatepost_sql import bounds, tree
from gatepost_sql.catalogue import SYSTEM_SCHEMAS, Catalogue, Function, Relation, RelationKind, Volatility
from gatepost_sql.effects import STRENGTH
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.functions import BUILT_IN, FUNCTIONS, OPERATORS, SETS
from gatepost_sql.meanings import HARMLESS, Meaning, Words, readings
from gatepost_sql.remembered import Remembered
from gatepost_sql.tree import Node

_T = TypeVar("_T")

_VIEWS: Final = frozenset({RelationKind.VIEW, RelationKind.MATERIALIZED})

# Languages whose functions do not say what they read, but can't read tables if they are immutable.
_COMPILED: Final = frozenset({"c", "internal"})
_TOLD: Final = "may read what its text does not tell"

_SEARCH_PATH: Final = "search_path="


class Column(Struct, frozen=True, gc=False):
    """A column that a query can name.

    Attributes:
        attribute: its name in its own table, where it is a table's.
        origins, is_direct: as in `Output`.
        type: a table's own column's, "" where it is not known.
    """

    name: str
    attribute: str
    origins: frozenset[Origin] | None
    is_direct: bool
    type: str = ""


class Names(Words):
    """Looks names up in a catalogue. What it finds out it keeps, so make it once for a catalogue and a search path.

    Args:
        search_path, database, has_temporary: as in `Context`.
        judge: what tells the facts of statements, for definitions of views and functions.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        search_path: tuple[str, ...] | None,
        database: str,
        has_temporary: bool,
        judge: Callable[[list[Node], Names], Facts],
    ) -> None:
        self._catalogue = catalogue
        self._path = search_path
        if search_path is not None and "pg_catalog" not in search_path:
            self._path = ("pg_catalog", *search_path)
        self._database = database or catalogue.database
        self._has_temporary = has_temporary
        self._judge = judge
        self._elsewhere: dict[tuple[str, ...], Names] = {}
        self._views: dict[int, Facts] = {}
        self._functions: dict[int, Meaning] = {}
        self._calls: dict[tuple[tuple[str, ...], int], Meaning] = {}
        self._columns: dict[int, dict[str, Column]] = {}
        self._following: set[int] = set()
        self.forms = Remembered()

    def relation(self, node: Node) -> Relation:
        """The table that a RangeVar means. Raises NotUnderstood where that is not certain."""
        name, schema, database = node["relname"], node.get("schemaname", ""), node.get("catalogname")
        if database is not None and database != self._database:
            raise NotUnderstood(f"{tree.relation_name(node)} is in another database")
        if not schema and self._has_temporary:
            raise NotUnderstood(f"a temporary table may hide {name}, so its schema must be written")
        schemas = self._catalogue.relations_named(name)
        found = self._first(schemas, schema)
        if found is not None and found[0].table:
            raise NotUnderstood(f"{tree.relation_name(node)} is an index")
        if found is not None:
            tree.qualified((found[0].schema, found[0].name))
            return found[0]
        if not schema and len(schemas) > 1 and self._path is None:
            raise NotUnderstood(f"{name} is in several schemas, so its schema must be written")
        raise NotUnderstood(f"{tree.relation_name(node)} is not in the catalogue")

    def known(self, name: str) -> str:
        """A table's name with its schema, an index's table's; the name as it is where the catalogue does not tell."""
        schema, _, last = name.rpartition(".")
        found = self._first(self._catalogue.relations_named(last), schema)
        if found is None or (self._has_temporary and not schema):
            return name
        table = self._catalogue.relation(found[0].table) or found[0]
        return tree.qualified((table.schema, table.name))

    def created(self, name: str) -> str:
        """The name with its schema of what is created now."""
        return self.possible(name)[0]

    def indexed(self, name: str) -> Sequence[str]:
        table = self.known(name)
        if table != name:
            return (table,)
        unknown = super().indexed
        return [every for each in self.possible(name) for every in unknown(each)]

    def possible(self, name: str) -> Sequence[str]:
        schemas = [each for each in self._path or () if each != "pg_catalog" and self._catalogue.may_have(each)]
        return (name,) if "." in name else [f"{schema}.{name}" for schema in schemas] or (name,)

    def columns(self, relation: Relation) -> Mapping[str, Column]:
        """The columns of a table or view, in their order, with the base columns that they come from."""
        known = self._columns.get(relation.oid)
        if known is None:
            known = self._columns[relation.oid] = {column.name: column for column in self._derived(relation)}
        return known

    def base(self, oid: int, number: int) -> Origin | None:
        """The base column that a table's or view's column is, by the numbers that a row description tells."""
        relation = self._catalogue.relation(oid)
        for attribute in relation.attributes if relation is not None else ():
            if attribute.number == number and relation is not None:
                column = self.columns(relation)[attribute.name]
                return self._outermost(column.origins) if column.is_direct and column.origins else None
        return None

    def ancestors(self, relation: Relation) -> list[Relation]:
        """The tables that a partition's rows, or an inheriting table's, are also rows of; the outermost last."""
        found: dict[int, Relation] = {}
        pending = list(relation.parents)
        while pending:
            parent = self._catalogue.relation(pending.pop())
            if parent is not None and parent.oid not in found:
                found[parent.oid] = parent
                pending += parent.parents
        return list(found.values())

    def view(self, relation: Relation) -> Facts | None:
        """The facts of a view's definition; None for what is no view, and for the system's own."""
        if relation.kind not in _VIEWS or relation.schema in SYSTEM_SCHEMAS:
            return None
        known = self._views.get(relation.oid)
        if known is None:
            known = self._followed(relation.oid, lambda: tree.parse(bounds.encode(relation.definition)), self._at(()))
            if known is None:
                known = Facts(effect=Effect.UNKNOWN, reason="its definition is not understood")
            self._views[relation.oid] = known
        return known

    def call(self, names: Sequence[str], count: int) -> Meaning:
        """What a call of a function with so many arguments can do: what the worst that it may mean can."""
        key = (tuple(names), count)
        known = self._calls.get(key)
        if known is None:
            known = self._calls[key] = self._called(names, count)
        return known

    def operator(self, names: Sequence[str]) -> Meaning:
        *qualifier, name = names
        schema = qualifier[-1] if qualifier else ""
        found = self._all(self._catalogue.operators_named(name), schema)
        built_in = name in OPERATORS and schema in ("", "pg_catalog")
        if not found:
            return HARMLESS if built_in else Meaning(Effect.UNKNOWN, "an operator is not in the catalogue")
        return self._unseen(operator.function for operator in found)

    def conversion(self, names: Sequence[str]) -> Meaning:
        """What a cast to a type can do."""
        *qualifier, name = names
        schema = qualifier[-1] if qualifier else ""
        types = self._all(self._catalogue.types_named(name), schema)
        if not types and schema not in ("", "pg_catalog"):
            return Meaning(Effect.UNKNOWN, f"type {schema}.{name} is not in the catalogue")
        if any(type_.is_checked for type_ in types):
            return Meaning(Effect.UNKNOWN, f"type {name} checks its values")
        ending = f".{name}"
        casts = [cast for cast in self._catalogue.casts if cast.function and cast.target.endswith(ending)]
        return self._unseen(cast.function for cast in casts)

    def _first(self, schemas: Mapping[str, _T], schema: str) -> _T | None:
        """What the name means that is in these schemas; None if nothing, or if that is not known."""
        if schema:
            return schemas.get(schema)
        if self._path is None:
            return next(iter(schemas.values())) if len(schemas) == 1 else None
        for each in self._path:
            if each in schemas:
                return schemas[each]
        return None

    def _all(self, schemas: Mapping[str, tuple[_T, ...]], schema: str) -> list[_T]:
        """All that the name may mean."""
        visible = schemas if self._path is None else self._path
        chosen = (schema,) if schema else [each for each in schemas if each in visible]
        return [item for each in chosen for item in schemas.get(each, ())]

    def _derived(self, relation: Relation) -> list[Column]:
        attributes = relation.attributes
        facts = self.view(relation)
        if facts is None:
            tables = [(relation.qualified, {each.name for each in attributes})]
            tables += [(each.qualified, {own.name for own in each.attributes}) for each in self.ancestors(relation)]
            return [
                Column(
                    each.name,
                    each.name,
                    frozenset(Origin(table, own) for table, names in tables for own in each.origins if own in names),
                    not each.sources,
                    each.type,
                )
                for each in attributes
            ]
        if len(facts.outputs) != len(attributes):
            return [Column(each.name, each.name, None, False) for each in attributes]
        return [
            Column(
                each.name,
                each.name,
                None if output.origins is None else frozenset(output.origins),
                output.is_direct,
                each.type,
            )
            for each, output in zip(attributes, facts.outputs, strict=True)
        ]

    def _outermost(self, origins: frozenset[Origin]) -> Origin | None:
        """Of a column and those that it is inherited from, the one that is not inherited itself."""
        for origin in sorted(origins, key=lambda each: each.relation):
            schema, _, name = origin.relation.rpartition(".")
            (relation,) = self._catalogue.relations_named(name)[schema]
            if not any(Origin(each.qualified, origin.column) in origins for each in self.ancestors(relation)):
                return origin
        return None

    def _called(self, names: Sequence[str], count: int) -> Meaning:
        *qualifier, name = names
        schema = qualifier[-1] if qualifier else ""
        if len(qualifier) > 1 and qualifier[0] != self._database:
            return Meaning(Effect.UNKNOWN, f"function {'.'.join(names)} is in another database")
        found = [
            function for function in self._all(self._catalogue.functions_named(name), schema) if function.takes(count)
        ]
        meanings = [self._function(function) for function in found]
        if schema in ("", "pg_catalog") and name in BUILT_IN:
            effect = FUNCTIONS.get(name, Effect.UNKNOWN)
            is_unknown = effect is Effect.UNKNOWN
            reason = f"function {name}{' is volatile or not known' if is_unknown else ''}"
            meanings.append(Meaning(effect, reason, (), readings(name), is_unknown or name in SETS))
        if not meanings:
            return Meaning(Effect.UNKNOWN, f"function {'.'.join(names)} is not in the catalogue")
        return _worst(meanings)

    def _unseen(self, oids: Iterable[int]) -> Meaning:
        """What functions can do that an expression does not name. PostgreSQL's own change nothing there."""
        functions = [function for function in map(self._catalogue.function, oids) if function is not None]
        meaning = _worst(map(self._function, functions))
        if meaning.reads:
            return Meaning(Effect.UNKNOWN, f"an operator or a cast reads {meaning.reads[0].name}")
        return meaning

    def _function(self, function: Function) -> Meaning:
        known = self._functions.get(function.oid)
        if known is None:
            objection, reads = self._judged(function)
            effect = Effect.UNKNOWN if objection else Effect.READ
            reason = f"function {function.qualified} {objection}" if objection else ""
            known = Meaning(effect, reason, (function.qualified,), reads, function.returns_set)
            self._functions[function.oid] = known
        return known

    def _judged(self, function: Function) -> tuple[str, tuple[Use, ...]]:
        """What speaks against a function's being harmless, or "", and what it reads."""
        if function.language in _COMPILED and (reads := readings(function.name)):
            return _TOLD, reads
        if function.is_definer:
            return "runs with its owner's rights", ()
        if function.volatility is Volatility.VOLATILE:
            return "is volatile", ()
        if function.kind != "f":
            return "is no plain function", ()
        if function.language in _COMPILED:
            # Among the stable ones are some that run a query which they are given as text.
            return ("" if function.volatility is Volatility.IMMUTABLE else _TOLD), ()
        if function.language != "sql":
            return f"is written in {function.language}, which is not followed", ()
        names = self._within(function.settings)
        facts = names and self._followed(function.oid, lambda: _body(function.body), names)
        if not facts:
            return "has a body that is not understood", ()
        if facts.effect is not Effect.READ:
            return f"does more than it says: {facts.reason}", ()
        return "", tuple(
            Use(verb=use.verb, name=use.name, columns=use.columns, is_bounded=use.is_bounded, via=function.qualified)
            for use in facts.objects
        )

    def _within(self, settings: tuple[str, ...]) -> Names | None:
        """Names as they are while a function with these settings runs."""
        if not settings:
            return self
        (setting, *others) = settings
        if others or not setting.startswith(_SEARCH_PATH):
            return None
        path = [part.strip().strip('"') for part in setting.removeprefix(_SEARCH_PATH).split(",")]
        # pg_temp is meant to come last there, and what is temporary is told by `has_temporary`.
        return self._at(tuple(part for part in path if part and part != "pg_temp"))

    def _at(self, search_path: tuple[str, ...]) -> Names:
        """The same with another search path. With an empty one, a name without a schema is pg_catalog's."""
        known = self._elsewhere.get(search_path)
        if known is None:
            temporary = self._has_temporary and bool(search_path)
            known = Names(self._catalogue, search_path, self._database, temporary, self._judge)
            known._following = self._following
            self._elsewhere[search_path] = known
        return known

    def _followed(self, oid: int, parse: Callable[[], list[Node]], names: Names) -> Facts | None:
        """The facts of a definition; None if it cannot be read, or leads back to itself."""
        if oid in self._following:
            return None
        self._following.add(oid)
        try:
            return self._judge(parse(), names)
        except (NotUnderstood, AttributeError, LookupError, TypeError, ValueError):
            return None
        finally:
            self._following.discard(oid)


def _body(text: str) -> list[Node]:
    """The statements of an SQL function, written as a string or, since PostgreSQL 14, as SQL."""
    if not text.lstrip().upper().startswith(("RETURN", "BEGIN ATOMIC")):
        return tree.parse(bounds.encode(text))
    (created,) = tree.parse(bounds.encode(f"CREATE FUNCTION f() RETURNS int {text}"))
    body = created["CreateFunctionStmt"]["sql_body"]
    if "ReturnStmt" in body:
        return [{"SelectStmt": {"targetList": [{"ResTarget": {"val": body["ReturnStmt"]["returnval"]}}]}}]
    return [statement for item in body["List"]["items"] for statement in item["List"]["items"]]


def _worst(meanings: Iterable[Meaning]) -> Meaning:
    """What the worst of them can do; functions and uses are those of all."""
    worst = HARMLESS
    functions: list[str] = []
    reads: list[Use] = []
    makes_rows = False
    for meaning in meanings:
        functions += meaning.functions
        reads += meaning.reads
        if not worst.reason or STRENGTH[meaning.effect] > STRENGTH[worst.effect]:
            worst = meaning
        makes_rows = makes_rows or meaning.makes_rows
    return Meaning(worst.effect, worst.reason, tuple(functions), tuple(reads), makes_rows)
