"""Which parts of a query decide what rows it touches, which of them come, in what order and in which groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gatepost_sql.tree import Node, occurs, strings

_NOTHING: Final[Node] = {}

# Members of a SELECT whose expressions decide about its rows.
CLAUSES: Final = frozenset(
    {
        "whereClause",
        "groupClause",
        "havingClause",
        "windowClause",
        "sortClause",
        "distinctClause",
        "limitCount",
        "limitOffset",
    }
)

# Of these, the ones that can name an output.
_KEYS: Final = frozenset({"groupClause", "sortClause", "distinctClause"})

# Members of other nodes that do.
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "JoinExpr": ("quals",),
    "UpdateStmt": ("whereClause",),
    "DeleteStmt": ("whereClause",),
    "MergeStmt": ("joinCondition",),
    "MergeWhenClause": ("condition",),
    "OnConflictClause": ("infer", "whereClause"),
    "FuncCall": ("agg_filter", "agg_order", "over"),
    "CaseExpr": ("arg",),
    "CaseWhen": ("expr",),
}

# Functions of PostgreSQL's own whose arguments decide how many rows there are.
SET_RETURNING: Final = frozenset(
    {
        "generate_series",
        "generate_subscripts",
        "unnest",
        "string_to_table",
        "regexp_split_to_table",
        "regexp_matches",
        "json_array_elements",
        "json_array_elements_text",
        "json_each",
        "json_each_text",
        "json_object_keys",
        "jsonb_array_elements",
        "jsonb_array_elements_text",
        "jsonb_each",
        "jsonb_each_text",
        "jsonb_object_keys",
        "jsonb_path_query",
        "jsonb_path_query_tz",
        "json_populate_recordset",
        "jsonb_populate_recordset",
    }
)


def every_output_decides(query: Node) -> bool:
    """Equal rows are one (DISTINCT, UNION), or the text does not tell by which outputs a query sorts or groups."""
    if "larg" in query:
        return not query.get("all") or "sortClause" in query
    distinct = query.get("distinctClause")
    if distinct is not None and (not distinct[0] or any("A_Const" in item for item in distinct)):
        return True
    return "groupClause" in query and any("GroupingSet" in item for item in query["groupClause"])


def deciding_outputs(query: Node) -> Iterator[Node]:
    """The expressions of the outputs that ORDER BY, GROUP BY or DISTINCT ON means, by number or by name."""
    if _KEYS.isdisjoint(query):
        return
    targets = [item["ResTarget"] for item in query.get("targetList", ())]
    for item in _keys(query):
        constant, column = item.get("A_Const"), item.get("ColumnRef")
        if constant is not None and "ival" in constant:
            number = constant["ival"].get("ival", 0)
            stars = any("A_Star" in field for target in targets for field in _fields(target["val"]))
            chosen = targets if stars else targets[number - 1 : number] if number else []
            yield from (target["val"] for target in chosen)
        elif column is not None and len(column["fields"]) == 1:
            (name,) = strings(column["fields"]) or ("",)
            yield from (target["val"] for target in targets if target.get("name") == name)


def _keys(query: Node) -> Iterator[Node]:
    for item in query.get("sortClause", ()):
        yield item["SortBy"]["node"]
    yield from query.get("groupClause", ())
    yield from (item for item in query.get("distinctClause", ()) if item)


def _fields(value: Node) -> list[Node]:
    fields: list[Node] = (
        value.get("ColumnRef", {}).get("fields") or value.get("A_Indirection", {}).get("indirection") or []
    )
    return fields


def is_bounded(query: Node) -> bool:
    """Whether a WHERE or a LIMIT bounds what a query or a change touches; one that is always true does not."""
    limit = query.get("limitCount", _NOTHING).get("A_Const")
    return (limit is not None and not limit.get("isnull")) or bounds_rows(query.get("whereClause"))


def is_bounded_change(kind: str, node: Node) -> bool:
    """The same for an INSERT, UPDATE, DELETE or MERGE."""
    if kind == "MergeStmt":
        return bounds_rows(node["joinCondition"])
    return kind == "InsertStmt" or is_bounded(node)


def bounds_rows(condition: Node | None) -> bool:
    """Whether a condition can be false for some of the rows: it names a column, and is not plainly always true."""
    if condition is None:
        return False
    combined = condition.get("BoolExpr")
    if combined is not None:
        each = map(bounds_rows, combined["args"])
        return all(each) if combined["boolop"] == "OR_EXPR" else any(each)
    compared = condition.get("A_Expr")
    if compared is not None:
        left, right = compared.get("lexpr", _NOTHING).get("ColumnRef"), compared.get("rexpr", _NOTHING).get("ColumnRef")
        if left or right:
            return not (left and right and left["fields"] == right["fields"])
    return occurs(_VARIABLE, condition)


_VARIABLE: Final = frozenset({"ColumnRef", "SubLink", "CurrentOfExpr"})
