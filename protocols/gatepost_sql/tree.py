"""PostgreSQL's parse tree, as libpg_query writes it in JSON, and how to read its commonest nodes.

JSON, because nested plain objects are several times cheaper to make and to walk than messages, and because their depth
is not bounded at a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec
from postgast.native import lib

from gatepost_sql.errors import NotAccepted, NotUnderstood

Node: TypeAlias = dict[str, Any]

_decode = msgspec.json.Decoder().decode


def parse(data: bytes) -> list[Node]:
    """The statements of a text that `bounds.encode` lets pass, each as {kind: node}.

    Raises NotAccepted for what the grammar does not accept, and RecursionError for what is nested too deeply.
    """
    result = lib.pg_query_parse(data)
    try:
        if result.error:
            raise NotAccepted("PostgreSQL's grammar does not accept the text")
        tree = _decode(result.parse_tree)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotUnderstood("its parse tree cannot be read") from None
    finally:
        lib.pg_query_free_parse_result(result)
    return [raw["stmt"] for raw in tree.get("stmts", ())]


def normalize(data: bytes) -> bytes:
    """A text that `bounds.encode` lets pass, with parameters for its constants.

    Raises NotAccepted for what the grammar does not accept.
    """
    result = lib.pg_query_normalize(data)
    try:
        if result.error:
            raise NotAccepted("PostgreSQL's grammar does not accept the text")
        form: bytes = result.normalized_query
        return form
    finally:
        lib.pg_query_free_normalize_result(result)


def fingerprint(data: bytes) -> str:
    """What is the same for texts that differ in literals only, of a text that `bounds.encode` lets pass.

    Raises NotAccepted for what the grammar does not accept.
    """
    result = lib.pg_query_fingerprint(data)
    try:
        if result.error:
            raise NotAccepted("PostgreSQL's grammar does not accept the text")
        digits: bytes = result.fingerprint_str
        return digits.decode()
    finally:
        lib.pg_query_free_fingerprint_result(result)


def strings(nodes: Iterable[Node]) -> list[str]:
    """The texts of a list of names."""
    found = []
    for node in nodes:
        if "String" in node:
            found.append(node["String"].get("sval", ""))
    return found


def target_names(targets: Iterable[Node]) -> list[str]:
    """The columns that an INSERT or UPDATE assigns to."""
    return [target["ResTarget"]["name"] for target in targets if "name" in target["ResTarget"]]


def relation_name(relation: Node) -> str:
    """A table's name, qualified where the text does so. Raises NotUnderstood."""
    parts = (relation.get("catalogname"), relation.get("schemaname"), relation["relname"])
    return qualified(part for part in parts if part)


def qualified(parts: Iterable[str]) -> str:
    """A name from its parts. Raises NotUnderstood where one holds the dot that joins them."""
    every = list(parts)
    name = ".".join(every)
    if name.count(".") >= len(every) > 0:
        raise NotUnderstood("a name holds a dot")
    return name


def range_name(relation: Node) -> str:
    """The name by which a query refers to a table's row."""
    name: str = relation["alias"]["aliasname"] if "alias" in relation else relation["relname"]
    return name


def is_cte(relation: Node, ctes: frozenset[str]) -> bool:
    """Does a table's name in a FROM stand for one of these queries of a WITH?"""
    return relation["relname"] in ctes and "schemaname" not in relation


def occurs(kinds: frozenset[str], part: Node | list[Node]) -> bool:
    """Whether a node of one of these kinds is in a part of a tree."""
    pending = list(part) if isinstance(part, list) else [part]
    while pending:
        node = pending.pop()
        if not kinds.isdisjoint(node):
            return True
        for value in node.values():
            if value.__class__ is dict:
                pending.append(value)
            elif value.__class__ is list:
                pending += value
    return False


_CONSTANTS: Final = (("sval", "String", "sval", ""), ("fval", "Float", "fval", ""), ("ival", "Integer", "ival", 0))


def constant(node: Node | None) -> str | None:
    """The text of a constant, as a setting takes it; None for NULL and for what is no constant."""
    if node is None:
        return None
    node = node.get("A_Const", node)
    for member, kind, field, default in _CONSTANTS:
        value = node.get(member, node.get(kind))
        if value is not None:
            return str(value.get(field, default))
    value = node.get("boolval", node.get("Boolean"))
    return None if value is None else "on" if value.get("boolval") else "off"
