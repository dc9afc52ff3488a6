"""Objects, columns, outputs, functions and settings."""

from __future__ import annotations

import pytest

from gatepost import Effect, Origin, Output, Use
from gatepost_sql import facts


def uses(text: str) -> set[tuple[str, str, tuple[str, ...] | None]]:
    return {(use.verb, use.name, use.columns) for use in facts(text).objects}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select a from Cards", {("select", "cards", None)}),
        ('select a from App."Cards"', {("select", "app.Cards", None)}),
        ("select 1 from a, b join c on true", {("select", n, None) for n in "abc"}),
        ("select (select 1 from b) from a where x in (select 1 from c)", {("select", n, None) for n in "abc"}),
        ("insert into t (a, b) select 1, 2 from u", {("insert", "t", ("a", "b")), ("select", "u", None)}),
        ("insert into t values (1)", {("insert", "t", None)}),
        ("update t set a = 1, (b, c) = (1, 2)", {("update", "t", ("a", "b", "c"))}),
        ("delete from t using u", {("delete", "t", None), ("select", "u", None)}),
        ("delete from t returning a", {("delete", "t", None), ("select", "t", None)}),
        (
            "insert into t (a) values (1) on conflict (a) do update set b = 2",
            {("insert", "t", ("a",)), ("update", "t", ("b",))},
        ),
        ("copy t (a) to stdout", {("copy_to", "t", ("a",))}),
        ("copy t from stdin", {("copy_from", "t", None)}),
        ("explain delete from t", {("select", "t", None)}),
        ("explain analyze delete from t", {("delete", "t", None)}),
        ("drop table a.b, c", {("drop", "a.b", None), ("drop", "c", None)}),
        ("create table x (a int references y)", {("create", "x", None), ("references", "y", None)}),
        ("alter table a.b rename to c", {("alter", "a.b", None), ("create", "a.c", None)}),
        ("alter view b rename to c", {("alter", "b", None), ("create", "c", None)}),
        ("alter table b rename x to y", {("alter", "b", None)}),
        ("alter table a.b set schema c", {("alter", "a.b", None), ("create", "c.b", None)}),
        ("alter function f() set schema c", {("alter", "f", None), ("create", "c.f", None)}),
        ("create view v as select 1 from t", {("create", "v", None), ("select", "t", None)}),
        ("select 1 into z from t", {("create", "z", None), ("select", "t", None)}),
        ("lock table t", {("lock", "t", None)}),
        ("grant select on t to x", {("grant", "t", None)}),
    ],
)
def test_objects(text: str, expected: set[tuple[str, str, tuple[str, ...] | None]]) -> None:
    assert uses(text) == expected


@pytest.mark.parametrize(
    ("text", "reads_cards"),
    [
        ("with cards as (select 1) select * from cards", False),
        ("with cards as (select * from cards) select * from cards", True),
        ("with recursive cards as (select 1 union select * from cards) select * from cards", False),
        ("with a as (select * from cards), cards as (select 1) select * from a", True),
        ("with cards as (select 1), a as (select * from cards) select * from a", False),
        ("select * from cards, (with cards as (select 1) select * from cards) x", True),
        ("with cards as (select 1) select * from public.cards", True),
        ("with cards as (select 1) select (select 1 from cards)", False),
        ("with cards as (select 1) insert into t select * from cards", False),
        ("with cards as (select 1) delete from cards", True),
        ("select 1 union (with cards as (select 1) select * from cards) union select 1 from cards", True),
    ],
)
def test_a_name_of_with_hides_a_table_only_where_it_is_in_scope(text: str, reads_cards: bool) -> None:
    assert any(use.name in ("cards", "public.cards") for use in facts(text).objects) == reads_cards


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("select a, t.b, s.t.c from t where d = 1 order by e", "abcde"),
        ("select Pan from t", {"pan"}),
        ('select "Pan" from t', {"Pan"}),
        ("select * from t", {"*"}),
        ("select t.* from t", {"*"}),
        ("select count(*) from t", set()),
        ("select t from t", {"t", "*"}),
        ("select c::text from cards c", {"c", "*"}),
        ("select row_to_json(c) from cards c", {"c", "*"}),
        ("select c.to_jsonb from cards c", {"to_jsonb", "*"}),
        ("select (c).pan from cards c", {"c", "pan", "*"}),
        ("select row(c.*) from cards c", {"*"}),
        ("select x from (select 1) x", {"x", "*"}),
        ("select f from f()", {"f", "*"}),
        ("select 1 from a join b using (pan)", {"pan"}),
        ("select 1 from a natural join b", {"*"}),
        ("insert into t (a) values (1) on conflict (b) do update set c = excluded.d", "abcd"),
        ("update t set a = 1 where b = 2", "ab"),
        ("delete from t returning old", {"old", "*"}),
        ("copy t (a) to stdout", "a"),
        ("copy t to stdout", {"*"}),
        ("merge into t using u on t.a = u.b when not matched then insert (c) values (u.d)", "abcd"),
        ("create index on t (a, lower(b)) include (c) where d", "abcd"),
        ("alter table t rename a to b", "ab"),
    ],
)
def test_columns(text: str, columns: set[str] | str) -> None:
    assert facts(text).columns == set(columns)


@pytest.mark.parametrize(
    ("text", "renamed"),
    [
        ("select a as b, c from t", {"b"}),
        ("select * from (select a as b from t) x", {"b"}),
        ("select c from t x(b, c)", {"*", "b", "c"}),
        ("select c from (t join u on true) x(b, c)", {"*", "b", "c"}),
        ("with x(b) as (select * from t) select * from x", {"*", "b"}),
        ("select a from t x", set()),
    ],
)
def test_names_that_are_given_to_columns(text: str, renamed: set[str]) -> None:
    assert facts(text).renamed == renamed


@pytest.mark.parametrize("alias", ["t x(b, c)", "(t join u on true) x(b, c)"])
def test_a_list_of_names_hides_those_of_a_table_s_columns(alias: str) -> None:
    assert "*" in facts(f"select c from {alias}").columns


def test_functions_as_the_text_names_them() -> None:
    found = facts("select Lower(a), app.F(b), pg_catalog.upper(c), extract(year from d), count(*) from t")
    assert set(found.functions) == {"lower", "app.f", "pg_catalog.upper", "extract", "count"}


def outputs(text: str) -> list[tuple[str, tuple[str, ...] | None]]:
    return [(output.name, names(output.origins)) for output in facts(text).outputs]


def names(origins: tuple[Origin, ...] | None) -> tuple[str, ...] | None:
    """The columns' names; the text alone does not tell their tables."""
    if origins is None:
        return None
    assert {origin.relation for origin in origins} <= {""}
    return tuple(origin.column for origin in origins)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select pan from cards", [("pan", ("pan",))]),
        ("select pan as x from cards", [("x", ("pan",))]),
        ("select c.pan || holder from cards c", [("?column?", ("holder", "pan"))]),
        ("select reverse(pan), 1 from cards", [("reverse", ("pan",)), ("?column?", ())]),
        ("select case when a then pan end from cards", [("case", ("a", "pan"))]),
        ("select a.x, b.y from a join b using (z)", [("x", ("x",)), ("y", ("y",))]),
        ("select max(pan) over (order by holder) from cards", [("max", ("holder", "pan"))]),
        ("select a from t union select b from u", [("a", ("a", "b"))]),
        ("values (1, 2)", [("column1", ()), ("column2", ())]),
        ("insert into t values (1) returning a, b + c", [("a", ("a",)), ("?column?", ("b", "c"))]),
        ("update t set a = 1 from u returning u.b", [("b", ("b",))]),
        ("update t set a = b returning a, c", [("a", None), ("c", None)]),
        ("insert into t select pan from cards returning a", [("a", None)]),
        ("copy (select pan as x from cards) to stdout", [("x", ("pan",))]),
        ("copy cards (id, pan) to stdout", [("id", ("id",)), ("pan", ("pan",))]),
        ("select row_to_json(c) from cards c", [("row_to_json", None)]),
        ("select cards from cards", [("cards", None)]),
        ("select (c).pan from cards c", [("pan", None)]),
        ("select c.to_jsonb from cards c", [("to_jsonb", None)]),
        ("select row(c.*) from cards c", [("row", None)]),
        ("select (select pan from cards) as x", [("x", None)]),
        ("select x from cards c(id, x)", [("x", None)]),
        ("select x from (select pan as x from cards) s", [("x", None)]),
        ("with s as (select pan as x from cards) select x from s", [("x", None)]),
        ("select e from cards, lateral jsonb_array_elements(meta) e", [("e", None)]),
        ("select a from t union select x from (select 1 as x) u", [("a", None)]),
        ("delete from t returning old", [("old", None)]),
        ("delete from t returning with (old as o) o", [("o", None)]),
        ("select * from cards", []),
        ("select 1, c.* from cards c", []),
        ("select 1 union select 1, 2", []),
        ("select 1; select 2", []),
        ("explain select pan from cards", []),
        ("copy cards to stdout", []),
        ("update t set a = 1", []),
    ],
)
def test_outputs(text: str, expected: list[tuple[str, tuple[str, ...] | None]]) -> None:
    assert outputs(text) == expected


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("set search_path to evil, public", [("search_path", "evil, public")]),
        ("set local Statement_Timeout = 5", [("statement_timeout", "5")]),
        ("set a.b to default", [("a.b", None)]),
        ("reset a.b", [("a.b", None)]),
        ("reset all", [("*", None)]),
        ("discard all", [("*", None)]),
        ("discard temp", []),
        ("set role admin", [("role", "admin")]),
        ("set session authorization admin", [("session_authorization", "admin")]),
        ("set time zone 'utc'", [("timezone", "utc")]),
        ("set names 'sjis'", [("client_encoding", "sjis")]),
        ("set transaction read write", [("transaction_read_only", "0")]),
        ("begin isolation level serializable", [("transaction_isolation", "serializable")]),
        ("set transaction snapshot 'x'", [("transaction_snapshot", "x")]),
        ("select set_config('Role', 'admin', false)", [("role", "admin")]),
        ("select pg_catalog.set_config('role', a, false) from t", [("role", None)]),
        ("select set_config(a, 'x', false) from t", [("*", None)]),
        ("update pg_settings set setting = 'x' where name = 'role'", [("*", None)]),
        ("alter role x set search_path = evil", [("search_path", "evil")]),
        ("select current_setting('a.b')", []),
    ],
)
def test_settings(text: str, settings: list[tuple[str, str | None]]) -> None:
    assert list(facts(text).settings) == settings


@pytest.mark.parametrize(
    ("text", "calls", "apart"),
    [
        ("select now(), count(*) from t", (), Effect.READ),
        ("select nextval('s'), now()", ("nextval",), Effect.READ),
        ("insert into t values (app.refund(1))", ("app.refund",), Effect.WRITE),
        ("select refund(1), 1 operator(app.+) 2", ("refund",), Effect.UNKNOWN),
        ("call app.abs(1)", ("app.abs",), Effect.READ),
        ("call abs(1)", ("abs",), Effect.READ),
        ("explain select nextval('s')", (), Effect.READ),
        ("do $$ begin end $$", (), Effect.UNKNOWN),
        ("create trigger g before insert on t execute function app.f()", ("app.f",), Effect.DEFINE),
    ],
)
def test_calls_are_told_apart_from_the_rest(text: str, calls: tuple[str, ...], apart: Effect) -> None:
    found = facts(text)
    assert (found.calls, found.apart) == (calls, apart)


def test_values_are_plain() -> None:
    found = facts("select a from t")
    assert found.objects == (Use(verb="select", name="t", is_bounded=False),)
    assert found.outputs == (Output(name="a", origins=(Origin("", "a"),), is_direct=True),)


def test_the_fingerprint_depends_on_everything_but_literals() -> None:
    one, same, other = (
        facts(text).fingerprint
        for text in ("select a from t where b = 1", "select a from t where b = 'x'", "select a from t where c = 1")
    )
    assert one == same
    assert one != other
    assert int(one, 16)
