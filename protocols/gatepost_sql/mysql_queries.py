"""Queries and changes of rows in MySQL: what they read and write, by sqlglot's tree of them.

The tree is distrusted: what of the text's words is not in it, and what in it is not known here, makes the statement one
that is not understood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from sqlglot import Dialect, exp
from sqlglot.errors import SqlglotError

from gatepost.values import Effect, Origin, Output, Use
from gatepost_sql.effects import STRENGTH
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_bounds import is_bounded, joins
from gatepost_sql.mysql_calls import calls, keeps_id
from gatepost_sql.mysql_expressions import Steps
from gatepost_sql.mysql_lineage import Lineage
from gatepost_sql.mysql_names import Names
from gatepost_sql.mysql_outputs import outputs, predicates
from gatepost_sql.mysql_tokens import STRING, Kind, Token, plain_text, routine
from gatepost_sql.mysql_words import FUNCTIONS, KEYWORDS, TYPES

# Nodes besides conditions and queries that mean nothing by themselves.
_PLAIN: Final = (
    exp.Alias,
    exp.CTE,
    exp.DataType,
    exp.DataTypeParam,
    exp.Delete,
    exp.Distinct,
    exp.From,
    exp.Group,
    exp.Having,
    exp.Identifier,
    exp.IndexTableHint,
    exp.Insert,
    exp.Interval,
    exp.Into,
    exp.Join,
    exp.JSONColumnDef,
    exp.JSONKeyValue,
    exp.JSONSchema,
    exp.JSONPath,
    exp.JSONPathPart,
    exp.Limit,
    exp.Lock,
    exp.Offset,
    exp.OnConflict,
    exp.Order,
    exp.Ordered,
    exp.Partition,
    exp.Returning,
    exp.Rollup,
    exp.Schema,
    exp.Star,
    exp.Table,
    exp.TableAlias,
    exp.Tuple,
    exp.Update,
    exp.Values,
    exp.Var,
    exp.Where,
    exp.WindowSpec,
    exp.With,
    exp.Condition,
    exp.Query,
)
_STATEMENTS: Final = (exp.Query, exp.Values, exp.Insert, exp.Update, exp.Delete)


_DIALECT: Final = Dialect.get_or_raise("mysql")

_ASSIGNS: Final = Token(Kind.OPERATOR, ":=")

_Read: TypeAlias = Callable[[Any, Any], None]

_NAMED: Final = (exp.Identifier, exp.Var, exp.Anonymous)
# Effects of functions of which it shows that they were called.
_ACTING: Final = frozenset((Effect.CONTROL, Effect.ADMINISTER))


class Query(Steps):
    """What a statement that reads or changes rows does.

    Attributes:
        effect: of all its parts.
        reason: which part decided it.
        apart, calls, objects, functions, columns, renamed, outputs, predicates, is_resolved, depth: as in `Facts`.
        keeps: a variable keeps what it reads, for later statements.
        reads: by kind of node, what notes what it reads, tables apart.
    """

    def __init__(self, tokens: Sequence[Token], names: Names) -> None:
        super().__init__()
        self._names = names
        self.effect = self.apart = Effect.READ
        self.reason = ""
        self.calls: list[str] = []
        self.objects: dict[Use, None] = {}
        self.functions: dict[str, None] = {}
        self.columns: set[str] = set()
        self.renamed: set[str] = set()
        self.outputs: tuple[Output, ...] = ()
        self.predicates: tuple[Origin, ...] | None = None
        self.is_resolved = False
        self.keeps = _ASSIGNS in tokens
        self.depth = 1
        self._call(tokens)
        tree = _parse(tokens)
        _check(tree, tokens)
        # An INSERT ... ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id) only tells which row there is.
        self.keeps |= isinstance(tree, exp.Query) and any(map(keeps_id, tokens, tokens[1:], tokens[2:]))
        hides = self.keeps
        self._changed: set[int] = set()
        self._change(tree)
        self._visit(tree, frozenset(), 0, bounded=True)
        if names.has_catalogue:
            self._follow(tree)
        elif isinstance(tree, exp.Query):
            self.outputs = outputs(tree)
            self.predicates = predicates(tree)
        if any(FUNCTIONS.get(name) in _ACTING for name in self.calls):
            # Any column may decide whether it is called, and that shows elsewhere: `a AND GET_LOCK('l', 0)`.
            self.predicates = None
        if hides:
            self.outputs = ()  # what is kept need not be among them

    def _follow(self, tree: exp.Expr) -> None:
        lineage = Lineage(self._names)
        self.outputs = lineage.follow(tree)
        self.objects = dict.fromkeys(lineage.uses)
        self.predicates = lineage.predicates
        self.is_resolved = lineage.is_resolved
        self.apart = max(self.apart, lineage.effect, key=STRENGTH.__getitem__)
        self._strengthen(lineage.effect, lineage.reason)

    def _strengthen(self, effect: Effect, reason: str) -> None:
        if STRENGTH[effect] > STRENGTH[self.effect]:
            self.effect, self.reason = effect, reason

    def _writes(self, reason: str) -> None:
        self.apart = Effect.WRITE
        self._strengthen(Effect.WRITE, reason)

    # Calls.

    def _call(self, tokens: Sequence[Token]) -> None:
        for called, is_quoted in calls(tokens):
            name = routine(called)
            effect = FUNCTIONS.get(name)
            # Of the built-in functions, some are found by a quoted name; of the others, a stored function may be meant.
            if is_quoted and effect is Effect.READ:
                effect = None
            if effect is None and "." not in name:
                name = self._names.qualified("", name)
            self.functions[name] = None
            if effect is None:
                self._strengthen(Effect.UNKNOWN, f"function {name} is volatile or not known")
            else:
                self._strengthen(effect, f"function {name}")
            if effect is not Effect.READ:
                self.calls.append(name)

    # Reads.

    def _visit(self, node: exp.Expr, tables: frozenset[str], depth: int, *, bounded: bool) -> None:
        """Note what a part of the tree reads. `tables` are the names that mean no table of the database there."""
        part = _parts[type(node)]
        if part.is_level:
            depth += not isinstance(node.parent, exp.SetOperation)
            self.depth = max(self.depth, depth)
        if part.has_bounds:
            bounded = is_bounded(node)
        if "with_" in node.args:
            tables = self._with(node, tables, depth)
        if part.is_table:
            self._table(node, tables, bounded=bounded)
        elif part.read is not None:
            part.read(self, node)
        for child in node.iter_expressions():
            if type(child) is not exp.With:
                self._visit(child, tables, depth, bounded=bounded)

    def _column(self, node: exp.Column) -> None:
        self.columns.add("*" if isinstance(node.this, exp.Star) else node.name.lower())

    def _star(self, node: exp.Star) -> None:
        if not isinstance(node.parent, exp.Count | exp.Column):
            self.columns.add("*")

    def _join(self, node: exp.Join) -> None:
        self.columns.update(name.name.lower() for name in node.args.get("using") or ())
        if node.method:
            self.columns.add("*")  # NATURAL compares all that have the same names

    def _schema(self, node: exp.Schema) -> None:
        self.columns.update(name.name.lower() for name in node.expressions)

    def _alias(self, node: exp.Alias) -> None:
        self.renamed.add(node.alias.lower())

    def _listed(self, alias: exp.TableAlias) -> None:
        """A list of names for columns."""
        if alias.columns:
            self.renamed.update(("*", *(name.name.lower() for name in alias.columns)))

    def _lock(self, node: exp.Lock) -> None:
        self._writes("select locks rows")

    def _into(self, node: exp.Into) -> None:
        if not isinstance(node.this.this, exp.Parameter):
            raise NotUnderstood("the rows go where it is not known")
        self.keeps = True

    def _with(self, node: exp.Expr, tables: frozenset[str], depth: int) -> frozenset[str]:
        with_ = node.args.get("with_")
        if with_ is None:
            return tables
        later = {part.alias.lower() for part in with_.expressions}
        for part in with_.expressions:
            self.spend(len(tables))
            later.discard(part.alias.lower())
            if with_.args.get("recursive") and any(_is_named(table, later) for table in part.this.find_all(exp.Table)):
                raise NotUnderstood("a query of a WITH RECURSIVE reads a later one")
            inner = tables | {part.alias} if with_.args.get("recursive") else tables
            self._visit(part.this, inner, depth, bounded=True)
            self._listed(part.args["alias"])
            tables |= {part.alias}
        return tables

    def _table(self, node: Any, tables: frozenset[str], *, bounded: bool) -> None:
        if not isinstance(node.this, exp.Identifier):
            return  # JSON_TABLE, or a variable that INTO names
        if node.args.get("catalog"):
            raise NotUnderstood("a table's name has too many parts")
        self.spend(len(tables))
        if not node.db and node.name not in tables and node.name.lower() in map(str.lower, tables):
            raise NotUnderstood("a table's name differs from a query's in the case of letters alone")
        if (node.db or not (node.name in tables or node.name.lower() == "dual")) and id(node) not in self._changed:
            self.objects[Use(verb="select", name=self._name(node), is_bounded=bounded)] = None

    def _name(self, table: exp.Table) -> str:
        return self._names.qualified(table.db, table.name)

    # Changes.

    def _change(self, tree: exp.Expr) -> None:
        if isinstance(tree, exp.Insert):
            self._insert(tree)
        elif isinstance(tree, exp.Update):
            self._update(tree)
        elif isinstance(tree, exp.Delete):
            self._delete(tree)
        if tree.args.get("returning") is not None:
            table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
            if not isinstance(table, exp.Table):
                raise NotUnderstood("what is shown is of no table")
            is_all = isinstance(tree, exp.Delete) and not is_bounded(tree)
            self.objects[Use(verb="select", name=self._name(table), is_bounded=not is_all)] = None

    def _insert(self, tree: exp.Insert) -> None:
        schema = tree.this
        table = schema.this if isinstance(schema, exp.Schema) else schema
        columns = tuple(name.name.lower() for name in schema.expressions) if isinstance(schema, exp.Schema) else None
        self._write("insert", table, columns, is_bounded=True)
        if (conflict := tree.args.get("conflict")) is not None:
            self._write("update", table, _assigned(conflict.expressions), is_bounded=True)

    def _update(self, tree: exp.Update) -> None:
        assignments = tree.expressions
        qualifiers = {assignment.this.table.lower() for assignment in assignments}
        sources = [tree.this, *_joined(tree.this)]
        bounded = is_bounded(tree)
        for table in sources:
            self.spend(len(assignments))
            if not isinstance(table, exp.Table):
                continue
            if len(sources) == 1 or "" in qualifiers or table.alias_or_name.lower() in qualifiers:
                self._write("update", table, _assigned(assignments), is_bounded=bounded)

    def _delete(self, tree: exp.Delete) -> None:
        tables = tree.args.get("tables") or ()
        self._changed.update(map(id, tables))  # they name the sources' tables again
        named = {table.name.lower() for table in tables}
        sources = [tree.this, *_joined(tree.this)]
        bounded = is_bounded(tree)
        for table in sources:
            if isinstance(table, exp.Table) and (
                not named or {table.alias_or_name.lower(), table.name.lower()} & named
            ):
                self._write("delete", table, None, is_bounded=bounded)

    def _write(self, verb: str, table: Any, columns: tuple[str, ...] | None, *, is_bounded: bool) -> None:
        if not isinstance(table, exp.Table):
            raise NotUnderstood("what is changed is no table")
        self._writes(verb)
        self._changed.add(id(table))
        self.objects[Use(verb=verb, name=self._name(table), columns=columns, is_bounded=is_bounded)] = None

    reads: ClassVar[Sequence[tuple[type[exp.Expr], _Read]]] = (
        (exp.Column, _column),
        (exp.Star, _star),
        (exp.Join, _join),
        (exp.Schema, _schema),
        (exp.Alias, _alias),
        (exp.TableAlias, _listed),
        (exp.Lock, _lock),
        (exp.Into, _into),
    )


class _Part(NamedTuple):
    """What a kind of node means by itself.

    Attributes:
        is_level: it is a query, which may be within another.
        has_bounds: it says itself which rows it touches.
        read: notes what it reads, where that is not a table.
    """

    is_level: bool
    has_bounds: bool
    is_table: bool
    read: _Read | None


class _Parts(dict[type[exp.Expr], _Part]):
    """The kinds of nodes that were met. Raises NotUnderstood for one that is not known."""

    def __missing__(self, kind: type[exp.Expr]) -> _Part:
        if not issubclass(kind, _PLAIN):
            raise NotUnderstood("the statement has a part that is not known")
        part = self[kind] = _Part(
            is_level=issubclass(kind, exp.Query) and not issubclass(kind, (exp.Subquery, exp.Table)),
            has_bounds=issubclass(kind, (exp.Select, exp.Update, exp.Delete)),
            is_table=issubclass(kind, exp.Table),
            read=next((read for known, read in Query.reads if issubclass(kind, known)), None),
        )
        return part


_parts: Final = _Parts()


def _parse(tokens: Sequence[Token]) -> exp.Expr:
    try:
        trees = _DIALECT.parse(plain_text(tokens))
    except SqlglotError:
        raise NotUnderstood("the grammar does not accept the text") from None
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, _STATEMENTS):
        raise NotUnderstood("the statement is of no kind that is known")
    return tree


def _check(tree: exp.Expr, tokens: Sequence[Token]) -> None:
    """See whether the tree has all that the text has."""
    names = {node.name.lower() for node in tree.find_all(*_NAMED)}
    if STRING in names:
        raise NotUnderstood("a name is written as a string; write AS before it")
    selects = 0
    for token in tokens:
        if token.kind is Kind.QUOTED:
            is_there = token.text.lower() in names
        elif token.kind is Kind.WORD:
            word = token.text.lower()
            selects += word == "select"
            is_there = word in names or word in KEYWORDS or word in FUNCTIONS or word in TYPES
        else:
            continue
        if not is_there:
            raise NotUnderstood("the grammar takes the text for less than it says")
    parts = list(tree.find_all(exp.CTE, exp.Select))
    queries = [part.alias.lower() for part in parts if isinstance(part, exp.CTE)]
    if len(queries) > len(set(queries)):
        raise NotUnderstood("two queries of WITH have the same name, of which servers take different ones")
    if selects > len(parts) - len(queries):
        raise NotUnderstood("the grammar takes the text for less than it says")


def _is_named(table: exp.Table, names: Set[str]) -> bool:
    return not table.db and table.name.lower() in names


def _joined(source: exp.Expr) -> list[exp.Expr]:
    return [join.this for join in joins(source)]


def _assigned(assignments: Sequence[exp.Expr]) -> tuple[str, ...]:
    return tuple(assignment.this.name.lower() for assignment in assignments)
