"""The output columns of a single query, by position, where its text alone tells them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gatepost.values import Origin, Output
from gatepost_sql.functions import ROW_FUNCTIONS
from gatepost_sql.tree import Node, is_cte, occurs, range_name, strings

# What PostgreSQL calls a column that is one of these and has no name (`FigureColname` in its parse_target.c).
_NAMES: Final = {
    "A_ArrayExpr": "array",
    "CoalesceExpr": "coalesce",
    "GroupingFunc": "grouping",
    "JsonArrayAgg": "json_arrayagg",
    "JsonArrayConstructor": "json_array",
    "JsonArrayQueryConstructor": "json_array",
    "JsonObjectAgg": "json_objectagg",
    "JsonObjectConstructor": "json_object",
    "JsonParseExpr": "json",
    "JsonScalarExpr": "json_scalar",
    "JsonSerializeExpr": "json_serialize",
    "MergeSupportFunc": "merge_action",
    "RowExpr": "row",
    "XmlSerialize": "xmlserialize",
}
_NAMED_BY_MEMBER: Final = {
    ("MinMaxExpr", "op"): {"IS_GREATEST": "greatest", "IS_LEAST": "least"},
    ("JsonFuncExpr", "op"): {
        "JSON_EXISTS_OP": "json_exists",
        "JSON_QUERY_OP": "json_query",
        "JSON_VALUE_OP": "json_value",
    },
    ("XmlExpr", "op"): {
        "IS_XMLCONCAT": "xmlconcat",
        "IS_XMLELEMENT": "xmlelement",
        "IS_XMLFOREST": "xmlforest",
        "IS_XMLPARSE": "xmlparse",
        "IS_XMLPI": "xmlpi",
        "IS_XMLROOT": "xmlroot",
    },
}
UNNAMED: Final = "?column?"

_NO_NAMES: Final[frozenset[str]] = frozenset()


def of(statement: Node) -> tuple[Output, ...]:
    """The outputs of a query, or () where the text does not tell how many there are.

    A column's `origins` are None unless every name in it is certain to be a column of a table that the query names.
    Which of the tables, the text does not tell.
    """
    ((kind, node),) = statement.items()
    if kind == "CopyStmt":
        if "query" in node:
            return of(node["query"])
        return () if node.get("is_from") else _listed(strings(node.get("attlist", ())))
    if kind == "SelectStmt":
        return _select(node)
    if "returningClause" in node:
        sources = [{"RangeVar": node["relation"]}, *node.get("fromClause", ()), *node.get("usingClause", ())]
        if "sourceRelation" in node:
            sources.append(node["sourceRelation"])
        ranges = _ranges(sources, _cte_names(node))
        if ranges is not None:
            options = node["returningClause"].get("options", ())
            ranges |= {"old", "new", *(option["ReturningOption"]["value"] for option in options)}
        return _targets(node["returningClause"]["exprs"], None if _moves(node) else ranges)
    return ()


def _moves(change: Node) -> bool:
    """Whether a change gives columns what comes from others, so that what it returns may too."""
    conflict = change.get("onConflictClause", {})
    given = (
        change.get("selectStmt"),
        change.get("mergeWhenClauses"),
        change.get("targetList"),
        conflict.get("targetList"),
    )
    return any(occurs(_READING, part) for part in given if part)


_READING: Final = frozenset({"ColumnRef", "RangeVar", "SubLink"})


def _listed(names: list[str]) -> tuple[Output, ...]:
    return tuple(Output(name=name, origins=(Origin("", name),), is_direct=True) for name in names)


def _select(query: Node) -> tuple[Output, ...]:
    """A SELECT, VALUES or set operation; a set operation's columns are those of all its branches."""
    columns: list[tuple[Output, ...]] = []
    branches = [(query, _NO_NAMES)]
    while branches:
        node, ctes = branches.pop()
        ctes |= _cte_names(node)
        if "larg" in node:
            branches += [(node["rarg"], ctes), (node["larg"], ctes)]
        elif "valuesLists" in node:
            for row in node["valuesLists"]:
                columns.append(_values(row["List"]["items"]))
        else:
            columns.append(_targets(node.get("targetList", ()), _ranges(node.get("fromClause", ()), ctes)))
    width = len(columns[0])
    if any(len(branch) != width for branch in columns):
        return ()
    return columns[0] if len(columns) == 1 else tuple(_merged(same) for same in zip(*columns, strict=True))


def _merged(branches: tuple[Output, ...]) -> Output:
    origins: dict[Origin, None] = {}
    for branch in branches:
        if branch.origins is None:
            return Output(name=branches[0].name)
        origins.update(dict.fromkeys(branch.origins))
    return Output(name=branches[0].name, origins=tuple(origins))


def _cte_names(node: Node) -> frozenset[str]:
    if "withClause" not in node:
        return _NO_NAMES
    return frozenset(cte["CommonTableExpr"]["ctename"] for cte in node["withClause"]["ctes"])


def _ranges(sources: Iterable[Node], ctes: frozenset[str]) -> frozenset[str] | None:
    """The names of the rows that a FROM joins, or None if one of them is not certain to be a table's."""
    names: set[str] = set()
    pending = list(sources)
    while pending:
        ((kind, node),) = pending.pop().items()
        if kind == "JoinExpr":
            if "colnames" in node.get("alias", ()):
                return None
            names.update(node[member]["aliasname"] for member in ("alias", "join_using_alias") if member in node)
            pending += (node["larg"], node["rarg"])
        elif kind == "RangeVar" and "colnames" not in node.get("alias", ()) and not is_cte(node, ctes):
            names.add(range_name(node))
        else:
            return None
    return frozenset(names)


def _targets(targets: Iterable[Node], ranges: frozenset[str] | None) -> tuple[Output, ...]:
    outputs: list[Output] = []
    for item in targets:
        target = item["ResTarget"]
        value: Node = target["val"]
        if _is_star(value):
            return ()
        name = target.get("name") or name_of(value) or UNNAMED
        origins = _mentioned(value, ranges)
        outputs.append(Output(name=name, origins=origins, is_direct=bool(origins) and "ColumnRef" in value))
    return tuple(outputs)


def _values(items: list[Node]) -> tuple[Output, ...]:
    return tuple(
        Output(name=f"column{position}", origins=_mentioned(item, None)) for position, item in enumerate(items, 1)
    )


def _is_star(value: Node) -> bool:
    fields = value.get("ColumnRef", {}).get("fields") or value.get("A_Indirection", {}).get("indirection") or [{}]
    return "A_Star" in fields[-1]


def _mentioned(expression: Node, ranges: frozenset[str] | None) -> tuple[Origin, ...] | None:
    """The columns that an expression names, or None where a name may stand for something else."""
    names: dict[str, None] = {}
    pending: list[Node] = [expression]
    while pending:
        node = pending.pop()
        if "SubLink" in node or "A_Indirection" in node:
            return None
        column = node.get("ColumnRef")
        if column is not None:
            fields = strings(column["fields"])
            if ranges is None or len(fields) != len(column["fields"]):
                return None
            if fields[-1] in (ranges if len(fields) == 1 else ROW_FUNCTIONS):
                return None
            names[fields[-1]] = None
            continue
        for value in node.values():
            if value.__class__ is dict:
                pending.append(value)
            elif value.__class__ is list:
                pending += value
    return tuple(Origin("", name) for name in sorted(names))


def name_of(node: Node) -> str:
    """The name that PostgreSQL gives to an expression, or ""."""
    weak = ""
    while node:
        ((kind, inner),) = node.items()
        if kind == "ColumnRef":
            return strings(inner["fields"])[-1]
        if kind == "A_Indirection":
            fields = strings(inner["indirection"])
            if fields:
                return fields[-1]
            node = inner["arg"]
        elif kind == "FuncCall":
            return strings(inner["funcname"])[-1]
        elif kind == "TypeCast":
            weak = weak or strings(inner["typeName"]["names"])[-1]
            node = inner["arg"]
        elif kind == "CollateClause":
            node = inner["arg"]
        elif kind == "CaseExpr":
            weak = weak or "case"
            node = inner.get("defresult", {})
        elif kind == "A_Expr":
            return "nullif" if inner["kind"] == "AEXPR_NULLIF" else weak
        elif kind == "SQLValueFunction":
            return str(inner["op"]).removeprefix("SVFOP_").removesuffix("_N").lower()
        elif kind == "SubLink":
            return _sublink_name(inner) or weak
        else:
            member = inner.get("op")
            return _NAMES.get(kind) or _NAMED_BY_MEMBER.get((kind, "op"), {}).get(member) or weak
    return weak


def _sublink_name(sublink: Node) -> str:
    named = {"EXISTS_SUBLINK": "exists", "ARRAY_SUBLINK": "array"}.get(sublink["subLinkType"])
    if named is not None or sublink["subLinkType"] != "EXPR_SUBLINK":
        return named or ""
    first = _select(sublink["subselect"]["SelectStmt"])[:1]
    return first[0].name if first else ""
