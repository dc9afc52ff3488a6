"""What names stand for: tables, functions, operators and types of a catalogue, and prepared statements."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.protocols.sql.shop import SHOP, function, of

from gatepost import Effect, Origin, Use
from gatepost_sql import Context, facts, preparation
from gatepost_sql.catalogue import Catalogue

READ, WRITE, DEFINE = Effect.READ, Effect.WRITE, Effect.DEFINE
CONTROL, UNKNOWN = Effect.CONTROL, Effect.UNKNOWN

NO_PATH = replace(SHOP, search_path=None)
OTHER_FIRST = replace(SHOP, search_path=("other", "public"))
TEMPORARY = replace(SHOP, has_temporary=True)


def uses(text: str, context: Context = SHOP) -> set[tuple[str, str, str | None, str]]:
    """Verb, name, columns, and the view or function that it is in."""
    return {
        (use.verb, use.name, None if use.columns is None else " ".join(use.columns), use.via)
        for use in of(text, context).objects
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select pan from cards where id = 1", {("select", "public.cards", "pan id", "")}),
        ("select * from cards", {("select", "public.cards", "id holder pan cvv meta", "")}),
        ("select c::text from a c", {("select", "public.a", "id x", "")}),
        ("select count(*) from cards", {("select", "public.cards", "", "")}),
        ("select 1 from other.notes", {("select", "other.notes", "", "")}),
        ("select relname from pg_class", {("select", "pg_catalog.pg_class", "relname", "")}),
        ("select most_common_vals from pg_stats", {("select", "pg_catalog.pg_stats", "most_common_vals", "")}),
        ("insert into a (x) values ('')", {("insert", "public.a", "x", "")}),
        (
            "insert into a select id, pan from cards",
            {("insert", "public.a", "id x", ""), ("select", "public.cards", "id pan", "")},
        ),
        (
            "insert into a values (1) on conflict do nothing returning x",
            {("insert", "public.a", "id x", ""), ("select", "public.a", "x", "")},
        ),
        (
            "insert into a values (1) on conflict (id) do update set x = ''",
            {("insert", "public.a", "id x", ""), ("update", "public.a", "x", ""), ("select", "public.a", "id", "")},
        ),
        ("update a set x = ''", {("update", "public.a", "x", "")}),
        (
            "update a set x = x || '' where id = 1",
            {("update", "public.a", "x", ""), ("select", "public.a", "id x", "")},
        ),
        ("delete from a", {("delete", "public.a", None, "")}),
        ("delete from a where id = 1", {("delete", "public.a", None, ""), ("select", "public.a", "id", "")}),
        (
            "merge into a using notes on n = x when matched then update set x = '' when not matched then do nothing",
            {("merge", "public.a", "x", ""), ("select", "public.a", "x", ""), ("select", "public.notes", "n", "")},
        ),
        ("explain delete from a", {("select", "public.a", None, "")}),
        ("truncate a", {("truncate", "public.a", None, "")}),
        ("copy a (x) to stdout", {("copy_to", "public.a", "x", "")}),
        ("copy a from stdin", {("copy_from", "public.a", "id x", "")}),
        ("lock a", {("lock", "public.a", None, "")}),
        ("create table z (a int)", {("create", "public.z", None, "")}),
        ("create table z as select x from a", {("create", "public.z", None, ""), ("select", "public.a", "x", "")}),
        ("create temp table z (a int)", {("create", "pg_temp.z", None, "")}),
        ("drop table cards", {("drop", "public.cards", None, "")}),
        ("alter table cards add z int", {("alter", "public.cards", None, "")}),
        ("create index on cards (pan)", {("alter", "public.cards", None, "")}),
        ("alter table a rename to z", {("alter", "public.a", None, ""), ("create", "public.z", None, "")}),
        ("create table z () inherits (a)", {("create", "public.z", None, ""), ("alter", "public.a", None, "")}),
        (
            "create table z (i int references a)",
            {("create", "public.z", None, ""), ("references", "public.a", None, "")},
        ),
        ("drop trigger t on a", {("alter", "public.a", None, "")}),
        ("grant select on cards to x", {("grant", "public.cards", None, "")}),
        (
            "select num from numbers",
            {("select", "public.numbers", "num", ""), ("select", "public.cards", "id pan", "public.numbers")},
        ),
        (
            "update numbers set who = ''",
            {("update", "public.numbers", "who", ""), ("update", "public.cards", "holder", "public.numbers")},
        ),
        (
            "delete from cards_new where pan = ''",
            {
                ("delete", "public.cards_new", None, ""),
                ("delete", "public.cards", None, "public.cards_new"),
                ("select", "public.cards_new", "pan", ""),
                ("select", "public.cards", "pan", "public.cards_new"),
            },
        ),
        ("drop index cards_pan", {("alter", "public.cards", None, "")}),
        ("drop index other.notes_n, cards_pan", {("alter", n, None, "") for n in ("other.notes", "public.cards")}),
        ("alter index other.cards_pan rename to z", {("alter", "other.lonely", None, "")}),
        ("alter table cards_pan set (fillfactor = 50)", {("alter", "public.cards", None, "")}),
        ("reindex index cards_pan", {("reindex", "public.cards", None, "")}),
        ("comment on index cards_pan is ''", {("comment", "public.cards", None, "")}),
        ("drop index other.missing", {("alter", "other.*", None, "")}),
        ("drop index missing", {("alter", "public.*", None, "")}),
        ("drop index lost.cards_pan", {("alter", "lost.*", None, "")}),
        ("comment on column cards.pan is ''", {("comment", "public.cards", None, "")}),
        ("alter table cards rename to z", {("alter", "public.cards", None, ""), ("create", "public.z", None, "")}),
        ("alter table cards set schema z", {("alter", "public.cards", None, ""), ("create", "z.cards", None, "")}),
        ("drop type mood", {("drop", "public.mood", None, "")}),
        ("drop function cards", {("drop", "public.cards", None, "")}),
        ("create type z as enum ()", {("create", "public.z", None, "")}),
        ("truncate a cascade", {("truncate", "public.a", None, ""), ("truncate", "*.*", None, "")}),
        ("select pan_of(1)", {("select", "public.cards", "pan id", "public.pan_of")}),
        ("select elsewhere()", {("select", "other.notes", "m", "public.elsewhere")}),
    ],
)
def test_objects(text: str, expected: set[tuple[str, str, str | None, str]]) -> None:
    assert uses(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "create index on lonely (k)",
        "create trigger t before insert on lonely execute function f()",
        "create rule r as on insert to lonely do instead nothing",
        "create statistics s on k from lonely",
        "create table public.z () inherits (lonely)",
        "create table public.z partition of lonely default",
        "create table public.z (k text references lonely)",
        "drop rule r on lonely",
    ],
)
def test_what_is_created_on_a_table_is_on_the_one_that_the_path_leads_to(text: str) -> None:
    """A new table is in the first schema of the path; one that is there already can be in another."""
    context = replace(SHOP, search_path=("public", "other"))
    assert {name for _, name, *_ in uses(text, context)} - {"public.z", "public.s"} == {"other.lonely"}


def test_a_view_lists_the_tables_behind_the_views_behind_it() -> None:
    assert {use.name for use in of("select deep from nested").objects} == {
        "public.nested",
        "public.numbers",
        "public.cards",
    }


@pytest.mark.parametrize(
    ("text", "effect", "reason"),
    [
        ("select 1 from missing", UNKNOWN, "missing is not in the catalogue"),
        ("select 1 from other.cards", UNKNOWN, "other.cards is not in the catalogue"),
        ("select 1 from elsewhere.public.cards", UNKNOWN, "in another database"),
        ("insert into missing values (1)", UNKNOWN, "missing is not in the catalogue"),
        ("truncate missing", UNKNOWN, "missing is not in the catalogue"),
        ("copy missing to stdout", UNKNOWN, "missing is not in the catalogue"),
        ("create table missing (a int)", DEFINE, ""),
        ("drop table missing", DEFINE, ""),
        ("create view v as select pan from cards; select pan from v", UNKNOWN, "v is not in the catalogue"),
        ("select now(), upper('a'), count(*) from cards", READ, ""),
        ("select nextval('s')", WRITE, "function nextval"),
        ("select pg_notify('a', 'b')", CONTROL, "function pg_notify"),
        ("select query_to_xml('', true, true, '')", UNKNOWN, "query_to_xml is volatile or not known"),
        ("select other.query_to_xml('', true, true, '')", READ, ""),
        ("select missing()", UNKNOWN, "function missing is not in the catalogue"),
        ("select app.missing()", UNKNOWN, "function app.missing is not in the catalogue"),
        ("select pg_catalog.lower('A')", READ, ""),
        ("select lower('A')", UNKNOWN, "function public.lower is volatile"),
        ("select twice(1), plus(1), plus(1, 2), similarity('a', 'b')", READ, ""),
        ("select plus(1, 2, 3)", UNKNOWN, "plus is not in the catalogue"),
        ("select hidden()", UNKNOWN, "hidden is not in the catalogue"),
        ("select other.hidden()", READ, ""),
        ("select paid(1)", UNKNOWN, "public.paid is volatile"),
        ("select owned()", UNKNOWN, "its owner's rights"),
        ("select scripted()", UNKNOWN, "plpgsql"),
        ("select crosstab('select pan from cards')", UNKNOWN, "does not tell"),
        ("select lying()", UNKNOWN, "public.paid is volatile"),
        ("select around()", UNKNOWN, "function public.around"),
        ("select totals(id) from a", UNKNOWN, "no plain function"),
        ("select 1 from cards c order by c.paid", UNKNOWN, "public.paid is volatile"),
        ("select w from writing", UNKNOWN, "view public.writing: function public.paid is volatile"),
        ("select b from broken", UNKNOWN, "view public.broken"),
        ("select l from loop", UNKNOWN, "view public.loop"),
        ("select s from stored", READ, ""),
        ("select 'a' =~ 'b'", READ, ""),
        ("select 1 &&& 2", UNKNOWN, "public.noisy is volatile"),
        ("select '{}'::jsonb @> '{}'", UNKNOWN, "public.noisy is volatile"),
        ("select 1 operator(pg_catalog.+) 2", READ, ""),
        ("select 1 operator(public.+) 2", UNKNOWN, "operator"),
        ("select 'sad'::mood, '1'::int", READ, ""),
        ("select 'sad'::public.mood", READ, ""),
        ("select 'sad'::public.missing", UNKNOWN, "type public.missing"),
        ("select 'x'::checked", UNKNOWN, "checks its values"),
        ("select x::coin from a", UNKNOWN, "public.noisy is volatile"),
        ("update cards set holder = '' where id = 1", WRITE, "update"),
        ("execute p", UNKNOWN, "not known"),
        ("call paid(1)", UNKNOWN, ""),
    ],
)
def test_effects(text: str, effect: Effect, reason: str) -> None:
    found = of(text)
    assert found.effect is effect
    assert reason in found.reason


@pytest.mark.parametrize(
    ("context", "text", "table"),
    [
        (SHOP, "select 1 from notes", "public.notes"),
        (OTHER_FIRST, "select 1 from notes", "other.notes"),
        (OTHER_FIRST, "select 1 from cards", "public.cards"),
        (SHOP, "select 1 from lonely", None),
        (NO_PATH, "select 1 from lonely", "other.lonely"),
        (NO_PATH, "select 1 from notes", None),
        (NO_PATH, "select 1 from pg_class", "pg_catalog.pg_class"),
        (TEMPORARY, "select 1 from cards", None),
        (TEMPORARY, "select 1 from public.cards", "public.cards"),
        (replace(SHOP, search_path=()), "select 1 from cards", None),
    ],
)
def test_a_name_without_a_schema_is_looked_up_in_the_search_path(
    context: Context, text: str, table: str | None
) -> None:
    found = of(text, context)
    assert found.is_resolved == (table is not None)
    if table is None:
        assert found.effect is UNKNOWN
    else:
        assert [use.name for use in found.objects] == [table]


def test_functions_of_users_are_named_with_their_schemas() -> None:
    assert set(of("select twice(1), upper('a'), lower('a')").functions) == {
        "public.twice",
        "upper",
        "lower",
        "public.lower",
    }


@pytest.mark.parametrize("context", [SHOP, Context()], ids=["with a catalogue", "without"])
def test_execute_does_what_was_prepared(context: Context) -> None:
    found = preparation("PREPARE p AS UPDATE cards SET holder = '' WHERE id = $1 RETURNING pan", context)
    assert found is not None
    name, prepared = found
    assert (name, prepared.effect) == ("p", WRITE)
    executed = facts("EXECUTE p(1)", context=replace(context, prepared={name: prepared}))
    assert (executed.effect, executed.verbs) == (WRITE, ("execute",))
    assert (executed.objects, executed.outputs, executed.predicates) == (
        prepared.objects,
        prepared.outputs,
        prepared.predicates,
    )
    assert facts("EXECUTE q", context=replace(context, prepared={name: prepared})).effect is UNKNOWN
    assert facts("EXECUTE p(1)", context=context).effect is UNKNOWN
    assert facts("EXECUTE p(paid(1))", context=replace(context, prepared={name: prepared})).effect is UNKNOWN


def test_what_is_handed_to_execute_is_read() -> None:
    found = preparation("PREPARE p AS SELECT $1", SHOP)
    assert found is not None
    context = replace(SHOP, prepared=dict([found]))
    executed = facts("EXECUTE p(pan_of(1))", context=context)
    assert executed.objects == facts("SELECT pan_of(1)", context=SHOP).objects != ()
    assert (executed.outputs, executed.predicates) == ((), None)
    assert facts("EXECUTE p(now())", context=context).outputs == found[1].outputs


@pytest.mark.parametrize(
    "text",
    [
        "copy cards from stdin where pan_of(1) = holder",
        "alter table a add column y text default lower(pan_of(1))",
    ],
)
def test_what_a_function_reads_outside_of_a_query_is_read(text: str) -> None:
    (expected,) = facts("SELECT pan_of(1)", context=SHOP).objects
    known = facts(text, context=SHOP)
    assert expected in known.objects
    assert known.predicates == ()


@pytest.mark.parametrize("context", [SHOP, Context()], ids=["with a catalogue", "without"])
@pytest.mark.parametrize(
    "text",
    [
        "select query_to_xml('select pan from cards', true, true, '')",
        "select * from pg_catalog.ts_stat('select 1')",
        "select 1 from a where ts_rewrite('a'::tsquery, 'select 1') is null",
    ],
)
def test_what_reads_as_a_text_tells_it_to_reads_anything(text: str, context: Context) -> None:
    known = facts(text, context=context)
    assert Use(verb="select", name="*.*", is_bounded=False) in known.objects
    assert known.effect is UNKNOWN


@pytest.mark.parametrize(("language", "reads"), [("c", True), ("internal", True), ("sql", False), ("plpgsql", False)])
def test_an_extension_s_function_reads_as_a_text_tells_it_to(language: str, reads: bool) -> None:
    dblink = function(30_000, "public.dblink", 1, "v", language, "select 1")
    context = Context(catalogue=Catalogue(1.0, (), [dblink], database="shop"), search_path=("public",))
    known = facts("select dblink('select 1')", context=context)
    assert bool(known.objects) == reads


@pytest.mark.parametrize("text", ["select 1", "prepare p as select 1; select 1", "prepare p as", "\0"])
def test_what_prepares_nothing_has_no_preparation(text: str) -> None:
    assert preparation(text, SHOP) is None


def test_without_a_catalogue_the_text_alone_is_judged() -> None:
    assert facts("select pan from cards", context=Context(search_path=("other",))) is facts("select pan from cards")
    assert not facts("select pan from cards").is_resolved


@pytest.mark.parametrize("text", ["select nick from cards", "select 1 from cards where nick > '4'"])
def test_a_column_that_the_catalogue_does_not_have_may_be_any(text: str) -> None:
    (use,) = of(text).objects
    assert use.columns == ("id", "holder", "pan", "cvv", "meta")


def test_what_a_function_makes_rows_of_decides_how_many_there_are() -> None:
    text = "select id, generate_series(1, left(pan, 1)::int) from cards"
    assert of(text).predicates == (Origin("public.cards", "pan"),)


@pytest.mark.parametrize(
    ("text", "context", "names"),
    [
        ("drop index cards_pan", OTHER_FIRST, {"other.lonely"}),
        ("drop index missing", OTHER_FIRST, {"other.*", "public.*"}),
        ("drop index cards_pan", NO_PATH, {"*"}),
        ("drop index notes_n", NO_PATH, {"other.notes"}),
        ("drop index cards_pan", TEMPORARY, {"public.*"}),
        ("drop function f", OTHER_FIRST, {"other.f", "public.f"}),
        ("drop function f", NO_PATH, {"f"}),
        ("drop function cards_pan", SHOP, {"public.cards_pan"}),
        ("drop type other.notes_n", SHOP, {"other.notes_n"}),
        ("alter type cards add attribute a int", OTHER_FIRST, {"other.cards", "public.cards"}),
        ("alter type cards rename attribute a to b", OTHER_FIRST, {"other.cards", "public.cards"}),
    ],
)
def test_what_has_its_name_in_a_schema_of_the_path(text: str, context: Context, names: set[str]) -> None:
    assert {use.name for use in of(text, context).objects} == names


def test_an_index_is_no_table_that_can_be_read() -> None:
    found = of("select 1 from cards_pan")
    assert (found.effect, found.is_resolved) == (UNKNOWN, False)
    assert "index" in found.reason
    assert SHOP.catalogue is not None
    assert not {"public.cards_pan", "other.notes_n"} & SHOP.catalogue.tables.keys()
