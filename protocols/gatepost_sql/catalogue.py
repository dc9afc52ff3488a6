"""What a PostgreSQL database holds, as far as it decides what a statement means. It fulfils `adapter.Catalogue`.

An inspector fills it, in a session of its own whose `search_path` is empty (`SET search_path = ''`), so that
definitions name schemas for all but pg_catalog:

- `relations`: every row of pg_class of a `RelationKind`, in every schema but those of temporary and TOAST tables, with
  the attributes of all but indexes that are numbered above 0 and not dropped. Those of pg_catalog and
  information_schema are among them.
- `functions`: every row of pg_proc that is not PostgreSQL's own (an oid from `FIRST_USER_OID`). What PostgreSQL's own
  functions do is known already.
- `operators`, `casts`, `types`: rows of pg_operator, pg_cast and pg_type from `FIRST_USER_OID`. Types that belong to a
  table or are arrays can be left out.
- `schemas`: every row of pg_namespace but those of temporary and TOAST tables.

What an inspector may not see it leaves out; what is left out is unknown to whoever judges a statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from msgspec import Struct

# PostgreSQL's own objects have smaller oids (FirstNormalObjectId in its transam.h).
FIRST_USER_OID: Final = 16384

SYSTEM_SCHEMAS: Final = frozenset({"pg_catalog", "information_schema"})


class RelationKind(StrEnum):
    """`pg_class.relkind`."""

    TABLE = "r"
    PARTITIONED = "p"
    FOREIGN = "f"
    VIEW = "v"
    MATERIALIZED = "m"
    SEQUENCE = "S"
    INDEX = "i"
    PARTITIONED_INDEX = "I"


INDEXES: Final = frozenset({RelationKind.INDEX, RelationKind.PARTITIONED_INDEX})
_WITHOUT_COLUMNS: Final = INDEXES | {RelationKind.SEQUENCE}


class Attribute(Struct, frozen=True):
    """A column: `pg_attribute.attnum`, its name, and its type's with the schema ("pg_catalog.text").

    `is_hidden`: a star does not mean it. `sequences`: those that its default value draws from (pg_depend). `sources`:
    the table's columns that it is generated from.
    """

    number: int
    name: str
    type: str = ""
    is_hidden: bool = False
    sequences: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def origins(self) -> tuple[str, ...]:
        """The names of the columns that hold what it holds, or what that is made of."""
        return (self.name, *self.sources)


class Relation(Struct, frozen=True, kw_only=True):
    """A table, or what has its name among tables.

    Attributes:
        attributes: its columns, by number.
        definition: of a view, `pg_get_viewdef(oid)`; "" for others.
        has_rules: rewrite rules besides that of a view (`pg_rewrite.rulename <> '_RETURN'`).
        has_triggers: `pg_class.relhastriggers`.
        parents: the oids of the tables that it is a partition of, or inherits from (`pg_inherits.inhparent`).
        table: of an index, the oid of its table (`pg_index.indrelid`); 0 for others.
        engine: on MySQL and MariaDB, what keeps its rows; "" where there is none.
    """

    oid: int
    schema: str
    name: str
    kind: RelationKind
    attributes: tuple[Attribute, ...] = ()
    definition: str = ""
    has_rules: bool = False
    has_triggers: bool = False
    parents: tuple[int, ...] = ()
    table: int = 0
    engine: str = ""

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"


class Volatility(StrEnum):
    """`pg_proc.provolatile`."""

    IMMUTABLE = "i"
    STABLE = "s"
    VOLATILE = "v"


class Function(Struct, frozen=True, kw_only=True):
    """A function, procedure, aggregate or window function that is not PostgreSQL's own.

    Attributes:
        kind: `pg_proc.prokind`: "f", "p", "a" or "w".
        arguments: `pronargs`, how many it takes at most, a VARIADIC one counted once.
        defaults: `pronargdefaults`, how many of them may be left out.
        is_variadic: `provariadic <> 0`.
        language: `lanname`: "sql", "plpgsql", "c", "internal", …
        is_definer: `prosecdef`; it runs with its owner's rights.
        owner: the owner's name.
        body: of an SQL function `prosrc`, or `pg_get_function_sqlbody(oid)` where that is not NULL; "" for others.
        settings: `proconfig`, which hold while it runs.
        returns_set: `proretset`.
    """

    oid: int
    schema: str
    name: str
    kind: str = "f"
    arguments: int = 0
    defaults: int = 0
    is_variadic: bool = False
    volatility: Volatility = Volatility.VOLATILE
    language: str = ""
    is_definer: bool = False
    owner: str = ""
    body: str = ""
    settings: tuple[str, ...] = ()
    returns_set: bool = True

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    def takes(self, count: int) -> bool:
        """Whether it can be called with so many arguments."""
        return self.arguments - self.defaults - self.is_variadic <= count and (
            count <= self.arguments or self.is_variadic
        )


class Operator(Struct, frozen=True, kw_only=True):
    """An operator that is not PostgreSQL's own, and the oid of its function (`pg_operator.oprcode`)."""

    schema: str
    name: str
    function: int


class Cast(Struct, frozen=True, kw_only=True):
    """A cast that is not PostgreSQL's own: its types' names with their schemas, and `castfunc` (0 if it has none)."""

    source: str
    target: str
    function: int


class Type(Struct, frozen=True, kw_only=True):
    """A type that is not PostgreSQL's own.

    Attributes:
        kind: `pg_type.typtype`: "b", "c", "d", "e", "r" or "m".
        is_checked: a domain with a CHECK constraint, whose expression runs at each conversion.
    """

    schema: str
    name: str
    kind: str
    is_checked: bool = False


_T = TypeVar("_T", bound=Relation | Function | Operator | Type)


class Catalogue:
    """What a database held at one time. Immutable, and equal to itself alone.

    Args:
        read_at: when it was read, in Unix seconds.
        database: whose catalogue it is, "" if that is not known.
        schemas: which there are, empty ones too; None if that is not known.
        triggers: the qualified names of their tables, by schema and name; on PostgreSQL, statements name those.
        folds_names: names of schemas and tables are the same in any case of letters, and here in small ones.
    """

    def __init__(
        self,
        read_at: float,
        relations: Iterable[Relation],
        functions: Iterable[Function] = (),
        operators: Iterable[Operator] = (),
        casts: Iterable[Cast] = (),
        types: Iterable[Type] = (),
        *,
        database: str = "",
        schemas: Iterable[str] | None = None,
        triggers: Mapping[tuple[str, str], str] = {},
        folds_names: bool = False,
    ) -> None:
        self.database = database
        self.folds_names = folds_names
        self._read_at = read_at
        self._schemas = None if schemas is None else frozenset(schemas)
        self._triggers = triggers
        self._relations = {relation.oid: relation for relation in relations}
        self._functions = {function.oid: function for function in functions}
        self._casts = tuple(casts)
        self._named_relations = _by_name(self._relations.values())
        self._named_functions = _by_name(self._functions.values())
        self._named_operators = _by_name(operators)
        self._named_types = _by_name(types)
        self._tables = {
            relation.qualified: tuple(attribute.name for attribute in relation.attributes)
            for relation in self._relations.values()
            if relation.kind not in _WITHOUT_COLUMNS
        }

    @property
    def read_at(self) -> float:
        return self._read_at

    @property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        return self._tables

    @property
    def casts(self) -> tuple[Cast, ...]:
        return self._casts

    def relation(self, oid: int) -> Relation | None:
        return self._relations.get(oid)

    def function(self, oid: int) -> Function | None:
        return self._functions.get(oid)

    def may_have(self, schema: str) -> bool:
        """Whether there is, or may be, a schema of this name."""
        return self._schemas is None or schema in self._schemas

    def trigger(self, schema: str, name: str) -> str:
        """The qualified name of a trigger's table, "" if it is not known."""
        return self._triggers.get((schema, name), "")

    def relations_named(self, name: str) -> Mapping[str, tuple[Relation, ...]]:
        """Those of this name, by schema."""
        return self._named_relations.get(name, {})

    def functions_named(self, name: str) -> Mapping[str, tuple[Function, ...]]:
        """Those of this name, by schema."""
        return self._named_functions.get(name, {})

    def operators_named(self, name: str) -> Mapping[str, tuple[Operator, ...]]:
        """Those of this name, by schema."""
        return self._named_operators.get(name, {})

    def types_named(self, name: str) -> Mapping[str, tuple[Type, ...]]:
        """Those of this name, by schema."""
        return self._named_types.get(name, {})

    def __repr__(self) -> str:
        return f"Catalogue({len(self._relations)} relations, {len(self._functions)} functions)"


def _by_name(items: Iterable[_T]) -> dict[str, dict[str, tuple[_T, ...]]]:
    found: dict[str, dict[str, tuple[_T, ...]]] = {}
    for item in items:
        schemas = found.setdefault(item.name, {})
        schemas[item.schema] = (*schemas.get(item.schema, ()), item)
    return found
