"""What a statement can do, and what it is called."""

from __future__ import annotations

import pytest

from gatepost import Effect
from gatepost_sql import facts

READ, WRITE, DEFINE = Effect.READ, Effect.WRITE, Effect.DEFINE
CONTROL, ADMINISTER, UNKNOWN = Effect.CONTROL, Effect.ADMINISTER, Effect.UNKNOWN

CASES: list[tuple[str, Effect, tuple[str, ...]]] = [
    ("select 1", READ, ("select",)),
    ("table cards", READ, ("select",)),
    ("values (1), (2)", READ, ("select",)),
    ("select a from t union select b from u", READ, ("select",)),
    ("select * into z from cards", DEFINE, ("select",)),
    ("select 1 from t for update", WRITE, ("select",)),
    ("select 1 from t for key share skip locked", WRITE, ("select",)),
    ("select (select 1 from t for share)", WRITE, ("select",)),
    ("with d as (delete from t returning *) select * from d", WRITE, ("select",)),
    (
        "with a as (with b as (insert into t values (1) returning 1) select * from b) select * from a",
        WRITE,
        ("select",),
    ),
    ("insert into t values (1)", WRITE, ("insert",)),
    ("update t set a = 1", WRITE, ("update",)),
    ("delete from t", WRITE, ("delete",)),
    ("merge into t using u on t.a = u.a when matched then delete", WRITE, ("merge",)),
    ("truncate t", WRITE, ("truncate",)),
    ("copy t to stdout", READ, ("copy_to",)),
    ("copy t to stdout (format binary)", READ, ("copy_to_binary",)),
    ("copy binary t to stdout", READ, ("copy_to_binary",)),
    ("copy t to stdout (format csv, quote '4')", READ, ("copy_to_digits",)),
    ("copy t to stdout (format csv, escape '1')", READ, ("copy_to_digits",)),
    ("copy t to stdout csv quote '4'", READ, ("copy_to_digits",)),
    ("copy t to stdout (delimiter '0', format csv)", READ, ("copy_to_digits",)),
    ("copy t to stdout (format csv, quote '|')", READ, ("copy_to",)),
    ("copy t from stdin (format csv, quote '4')", WRITE, ("copy_from",)),
    ("copy (select 1) to stdout", READ, ("copy_to",)),
    ("copy (delete from t returning a) to stdout", WRITE, ("copy_to",)),
    ("copy t to '/tmp/x'", ADMINISTER, ("copy_to",)),
    ("copy t to program 'cat'", ADMINISTER, ("copy_to",)),
    ("copy t from stdin", WRITE, ("copy_from",)),
    ("copy t from stdin binary", WRITE, ("copy_from_binary",)),
    ("copy t from '/tmp/x'", ADMINISTER, ("copy_from",)),
    ("explain delete from t", READ, ("explain",)),
    ("explain (analyze off) delete from t", READ, ("explain",)),
    ("explain (analyze 0) delete from t", READ, ("explain",)),
    ("explain analyze delete from t", WRITE, ("explain",)),
    ("explain (analyze false, analyze) delete from t", WRITE, ("explain",)),
    ("explain (analyze, format json) select 1", READ, ("explain",)),
    ("explain select f()", UNKNOWN, ("explain",)),
    ("explain execute p", UNKNOWN, ("explain",)),
    ("prepare p as select 1", CONTROL, ("prepare",)),
    ("prepare p as delete from t", WRITE, ("prepare",)),
    ("execute p", UNKNOWN, ("execute",)),
    ("deallocate p", CONTROL, ("deallocate",)),
    ("do $$ begin end $$", UNKNOWN, ("do",)),
    ("call p()", UNKNOWN, ("call",)),
    ("declare c cursor for select 1", CONTROL, ("declare",)),
    ("declare c cursor for select 1 from t for update", WRITE, ("declare",)),
    ("fetch all in c", CONTROL, ("fetch",)),
    ("move 1 in c", CONTROL, ("move",)),
    ("close c", CONTROL, ("close",)),
    ("begin", CONTROL, ("begin",)),
    ("start transaction read only", CONTROL, ("begin",)),
    ("commit", CONTROL, ("commit",)),
    ("end", CONTROL, ("commit",)),
    ("rollback", CONTROL, ("rollback",)),
    ("abort", CONTROL, ("rollback",)),
    ("savepoint a", CONTROL, ("savepoint",)),
    ("release a", CONTROL, ("release",)),
    ("rollback to a", CONTROL, ("rollback_to",)),
    ("set a.b = 1", CONTROL, ("set",)),
    ("reset all", CONTROL, ("reset",)),
    ("show all", READ, ("show",)),
    ("lock t", CONTROL, ("lock",)),
    ("listen c", CONTROL, ("listen",)),
    ("notify c", CONTROL, ("notify",)),
    ("discard all", CONTROL, ("discard",)),
    ("vacuum t", WRITE, ("vacuum",)),
    ("analyze t", WRITE, ("analyze",)),
    ("create table t (a int)", DEFINE, ("create",)),
    ("create table t as select 1", DEFINE, ("create",)),
    ("create view v as select 1", DEFINE, ("create",)),
    ("create function f() returns int language sql as 'select 1'", DEFINE, ("create",)),
    ("alter table t add b int", DEFINE, ("alter",)),
    ("alter table t owner to x", ADMINISTER, ("alter",)),
    ("alter table t disable row level security", ADMINISTER, ("alter",)),
    ("alter table t rename a to b", DEFINE, ("alter",)),
    ("alter role a rename to b", ADMINISTER, ("alter",)),
    ("drop table t", DEFINE, ("drop",)),
    ("drop policy p on t", ADMINISTER, ("drop",)),
    ("comment on table t is 'x'", DEFINE, ("comment",)),
    ("grant select on t to x", ADMINISTER, ("grant",)),
    ("revoke a from b", ADMINISTER, ("revoke",)),
    ("create role x", ADMINISTER, ("create",)),
    ("alter system set a = 1", ADMINISTER, ("alter_system",)),
    ("create extension x", ADMINISTER, ("create",)),
    ("load 'x'", ADMINISTER, ("load",)),
    ("checkpoint", ADMINISTER, ("checkpoint",)),
    ("begin; select 1; commit", CONTROL, ("begin", "select", "commit")),
    ("begin; insert into t values (1); commit", WRITE, ("begin", "insert", "commit")),
    ("select 1; drop table t", DEFINE, ("select", "drop")),
]


@pytest.mark.parametrize(("text", "effect", "verbs"), CASES, ids=[case[0] for case in CASES])
def test_effect_and_verbs(text: str, effect: Effect, verbs: tuple[str, ...]) -> None:
    found = facts(text)
    assert (found.effect, found.verbs, found.statements) == (effect, verbs, len(verbs))


@pytest.mark.parametrize("text", ["", " \n", ";", ";;", "-- select 1", "/* drop table t */ ;"])
def test_nothing_is_a_read_of_no_statements(text: str) -> None:
    found = facts(text)
    assert (found.effect, found.statements, found.verbs) == (READ, 0, ())


@pytest.mark.parametrize(
    ("call", "effect"),
    [
        ("lower('A')", READ),
        ("pg_catalog.lower('A')", READ),
        ("LOWER('A')", READ),
        ("count(*)", READ),
        ("now()", READ),
        ("random()", READ),
        ("gen_random_uuid()", READ),
        ("extract(year from now())", READ),
        ("current_setting('a.b')", READ),
        ("\"Lower\"('A')", UNKNOWN),
        ("my_function(1)", UNKNOWN),
        ("public.lower('A')", UNKNOWN),
        ("db.pg_catalog.lower('A')", UNKNOWN),
        ("query_to_xml('delete from t', true, false, '')", UNKNOWN),
        ("table_to_xml('t', true, false, '')", UNKNOWN),
        ("database_to_xml(true, false, '')", UNKNOWN),
        ("cursor_to_xml('c', 1, true, false, '')", UNKNOWN),
        ("ts_stat('select 1')", UNKNOWN),
        ("dblink('', '')", UNKNOWN),
        ("pg_read_file('x')", ADMINISTER),
        ("pg_ls_dir('x')", ADMINISTER),
        ("lo_import('x')", ADMINISTER),
        ("lo_export(1, 'x')", ADMINISTER),
        ("pg_terminate_backend(1)", ADMINISTER),
        ("nextval('s')", WRITE),
        ("setval('s', 1)", WRITE),
        ("txid_current()", WRITE),
        ("set_config('a.b', 'c', false)", CONTROL),
        ("pg_notify('a', 'b')", CONTROL),
        ("pg_advisory_lock(1)", CONTROL),
        ("pg_sleep(1)", CONTROL),
    ],
)
@pytest.mark.parametrize(
    "query",
    [
        "select {}",
        "select 1 where {} is null",
        "select 1 from t order by {}",
        "select 1 from t join u on {} is null",
        "with x as (select {}) select 1 from x",
        "select case when a then {} end from t",
        "values ({})",
        "select 1 limit ({})",
        "copy (select {}) to stdout",
    ],
)
def test_a_function_decides_wherever_it_is_called(query: str, call: str, effect: Effect) -> None:
    assert facts(query.format(call)).effect is effect


@pytest.mark.parametrize(
    "text",
    [
        "select a operator(public.+) b from t",
        "select a @#@ b from t",
        "select a from t order by a using operator(public.<)",
        "select a operator(public.=) any (select 1) from t",
        "select 'x'::public.secret",
        "select cast(a as evil.int4) from t",
        "select * from xmltable('/a' passing x columns a public.t)",
        "select json_value(a, '$' returning public.t) from t",
        "select * from t tablesample public.all_of_it (1)",
        "selec 1",
        "select 1 'x",
        "select $$ 1",
        "\0",
        "select '\0'",
        "select '\ud800'",
    ],
)
def test_what_is_not_built_in_or_no_sql_is_unknown_and_says_why(text: str) -> None:
    found = facts(text)
    assert found.effect is UNKNOWN
    assert found.reason


def test_the_reason_names_the_function() -> None:
    assert "app.pay" in facts("select app.pay(1)").reason


def test_other_dialects_are_refused() -> None:
    with pytest.raises(ValueError, match="dialect"):
        facts("select 1", "oracle")
