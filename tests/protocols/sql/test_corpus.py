"""A corpus of statements of every kind: what we call them, against what libpg_query calls them and finds in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgast import classify_statement, extract_functions, extract_tables, parse
from tests.protocols.sql.shop import SHOP, of

from gatepost import Effect
from gatepost_sql import facts
from gatepost_sql.effects import STRENGTH

CORPUS = [line for line in Path(__file__).with_name("corpus.sql").read_text().splitlines() if not line.startswith("--")]

READ, CONTROL, WRITE = Effect.READ, Effect.CONTROL, Effect.WRITE
DEFINE, ADMINISTER, UNKNOWN = Effect.DEFINE, Effect.ADMINISTER, Effect.UNKNOWN

# libpg_query's action -> our verbs, and what such a statement does at least.
ACTIONS: dict[str, tuple[set[str], Effect]] = {
    "SELECT": ({"select"}, READ),
    "INSERT": ({"insert"}, WRITE),
    "UPDATE": ({"update"}, WRITE),
    "DELETE": ({"delete"}, WRITE),
    "MERGE": ({"merge"}, WRITE),
    "TRUNCATE": ({"truncate"}, WRITE),
    "COPY": ({"copy_to", "copy_from", "copy_to_binary", "copy_from_binary"}, READ),
    "EXPLAIN": ({"explain"}, READ),
    "SHOW": ({"show"}, READ),
    "SET": ({"set", "reset"}, CONTROL),
    "SET CONSTRAINTS": ({"set_constraints"}, CONTROL),
    "TRANSACTION": (
        {"begin", "commit", "rollback", "savepoint", "release", "rollback_to"}
        | {"prepare_transaction", "commit_prepared", "rollback_prepared"},
        CONTROL,
    ),
    "PREPARE": ({"prepare"}, CONTROL),
    "EXECUTE": ({"execute"}, UNKNOWN),
    "DEALLOCATE": ({"deallocate"}, CONTROL),
    "DECLARE": ({"declare"}, CONTROL),
    "FETCH": ({"fetch", "move"}, CONTROL),
    "CLOSE": ({"close"}, CONTROL),
    "DISCARD": ({"discard"}, CONTROL),
    "LISTEN": ({"listen"}, CONTROL),
    "UNLISTEN": ({"unlisten"}, CONTROL),
    "NOTIFY": ({"notify"}, CONTROL),
    "LOCK": ({"lock"}, CONTROL),
    "CALL": ({"call"}, UNKNOWN),
    "DO": ({"do"}, UNKNOWN),
    "CHECKPOINT": ({"checkpoint"}, ADMINISTER),
    "LOAD": ({"load"}, ADMINISTER),
    "VACUUM": ({"vacuum", "analyze"}, WRITE),
    "CLUSTER": ({"cluster"}, WRITE),
    "REINDEX": ({"reindex"}, WRITE),
    "REFRESH": ({"refresh"}, WRITE),
    "CREATE": ({"create"}, DEFINE),
    "IMPORT": ({"create"}, ADMINISTER),
    "ALTER": ({"alter", "alter_system"}, DEFINE),
    "RENAME": ({"alter"}, DEFINE),
    "DROP": ({"drop"}, DEFINE),
    "COMMENT": ({"comment"}, DEFINE),
    "SECURITY LABEL": ({"security_label"}, ADMINISTER),
    "GRANT": ({"grant", "revoke"}, ADMINISTER),
    "REVOKE": ({"grant", "revoke"}, ADMINISTER),
    "REASSIGN": ({"alter"}, ADMINISTER),
}


@pytest.mark.parametrize("text", CORPUS)
def test_kinds_are_those_of_libpg_query(text: str) -> None:
    found = facts(text)
    info = classify_statement(parse(text))
    assert info is not None
    if info.action == "UNKNOWN":
        assert found.effect not in (READ, CONTROL, WRITE)
        return
    verbs, least = ACTIONS[info.action]
    assert found.verbs[0] in verbs
    assert STRENGTH[found.effect] >= STRENGTH[least]


@pytest.mark.parametrize("text", CORPUS)
def test_tables_and_functions_are_those_of_libpg_query(text: str) -> None:
    found = facts(text)
    tree = parse(text)
    ctes = {"w", "x", "r", "d", "i", "u"} if text.startswith("WITH") else set()
    names = {use.name for use in found.objects}
    indexes = {"i", "j"} if "INDEX i" in text else set()
    for name in set(extract_tables(tree)) - ctes - indexes:
        # Without the database, if it is written.
        assert name in names or any(each.endswith(f".{name}") for each in names)
    assert set(extract_functions(tree)) <= {*found.functions, *(f"pg_catalog.{name}" for name in found.functions)}


@pytest.mark.parametrize("text", CORPUS)
def test_a_catalogue_changes_neither_verbs_nor_settings_and_weakens_nothing(text: str) -> None:
    alone, resolved = facts(text), of(text)
    assert (alone.verbs, alone.settings, alone.depth) == (resolved.verbs, resolved.settings, resolved.depth)
    assert STRENGTH[resolved.effect] >= STRENGTH[alone.effect]
    assert resolved.effect is not UNKNOWN or resolved.reason


@pytest.mark.parametrize("text", CORPUS)
def test_after_another_statement_it_is_the_same(text: str) -> None:
    alone, behind = facts(text), facts(f"SELECT 1; {text};")
    assert (behind.effect, behind.verbs[1:], behind.objects) == (alone.effect, alone.verbs, alone.objects)
    assert behind.outputs == ()


def test_the_catalogue_of_these_tests_knows_none_of_their_tables() -> None:
    assert SHOP.catalogue is not None
    assert not SHOP.catalogue.relations_named("t")
