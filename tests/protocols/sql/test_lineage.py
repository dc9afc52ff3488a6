"""Which base columns flow into which output, and which decide about rows, with a catalogue."""

from __future__ import annotations

import pytest
from tests.protocols.sql.shop import SHOP, of, short

from gatepost import Effect
from gatepost_sql import base

STAR = ["=cards.id", "=cards.holder", "=cards.pan", "=cards.cvv", "=cards.meta"]
ROW_OF_A = "a.id a.x"
ROW = "cards.cvv cards.holder cards.id cards.meta cards.pan"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select pan from cards", ["=cards.pan"]),
        ("select pan as x, 1, now() from cards", ["=cards.pan", "", ""]),
        ("select c.pan, public.cards.pan from cards c, public.cards", ["=cards.pan", "=cards.pan"]),
        ("select shop.public.cards.pan from shop.public.cards", ["=cards.pan"]),
        ("select pan::text, lower(pan), pan || holder from cards", ["cards.pan", None, "cards.holder cards.pan"]),
        ("select reverse(pan), left(pan, 8) from cards", ["cards.pan", "cards.pan"]),
        ('select pan collate "C" from cards', ["cards.pan"]),
        ("select string_agg(pan, ','), count(*) from cards", ["cards.pan", ""]),
        ("select case when cvv = '1' then pan else holder end from cards", ["cards.cvv cards.holder cards.pan"]),
        ("select coalesce(pan, cvv), row(pan, id) from cards", ["cards.cvv cards.pan", "cards.id cards.pan"]),
        ("select array[pan] from cards", ["cards.pan"]),
        ("select sum(id) over (partition by pan) from cards", ["cards.id cards.pan"]),
        ("select count(*) filter (where pan > '4') from cards", ["cards.pan"]),
        ("select ctid, xmin, c.tableoid from cards c", ["", "", ""]),
        ("select current_user, $1, null", ["", "", ""]),
        # stars and whole rows
        ("select * from a", ["=a.id", "=a.x"]),
        ("select n.*, 1 from a, notes n", ["=notes.n", ""]),
        ("select c from cards c", [ROW]),
        ("select c::text, to_jsonb(c) ->> 'pan', row(c.*)::text, row_to_json(c) from cards c", [ROW] * 4),
        ("select c.to_jsonb, c.row_to_json from cards c", [ROW] * 2),
        ("select (c).pan, (c).* from a c, cards", [ROW_OF_A, "=a.id", "=a.x"]),
        ("select (c).pan, (d).* from cards c, a d", ["=cards.pan", "=a.id", "=a.x"]),
        ("select (row(c.*)).f1 from cards c", [ROW]),
        ("select (select c from cards c limit 1)", [ROW]),
        ("select meta[1], (meta).f from cards", ["cards.meta", "cards.meta"]),
        # subqueries
        ("select x.c3 from (select * from cards) x(c1, c2, c3, c4, c5)", ["=cards.pan"]),
        ("select y from (select x as y from (select pan as x from cards) s) t", ["=cards.pan"]),
        ("select nick from cards as c(id, who, nick)", ["=cards.pan"]),
        ("select (select pan from cards c where c.id = a.id) from a", ["cards.pan"]),
        ("select exists (select pan from cards), array(select cvv from cards)", ["cards.pan", "cards.cvv"]),
        ("select '4' in (select pan from cards) from a", ["cards.pan"]),
        ("select id = any (select id from cards) from a", ["a.id cards.id"]),
        ("select (select x) from a", ["a.x"]),
        ("select s.x from (select x) s, a", [None]),
        ("select s.x from a, lateral (select x) s", ["=a.x"]),
        ("select q.pan from (select pan from cards) q join a using (id)", ["=cards.pan"]),
        ("select * from (values (1, 'x')) v", ["", ""]),
        ("select w from (values ((select pan from cards limit 1))) v(w)", ["cards.pan"]),
        # WITH
        ("with w as (select pan x from cards) select x from w", ["=cards.pan"]),
        ("with w(a, b) as (select * from cards) select a, b, pan from w", ["=cards.id", "=cards.holder", "=cards.pan"]),
        ("with a as (select pan as x from cards), b as (select x as y from a) select y from b", ["=cards.pan"]),
        ("with cards as (select 1 as pan) select pan from cards", [""]),
        ("with cards as (select 1 as pan) select pan from public.cards", ["=cards.pan"]),
        ("with d as (delete from cards returning pan) select pan from d", ["=cards.pan"]),
        (
            "with recursive r(n, p) as (select 1, pan from cards union all select n + 1, p from r) select n, p from r",
            ["", "cards.pan"],
        ),
        (
            "with recursive r(p, q, s) as (select id, '', '' from a union all "
            "select p, (select pan from cards), q from r) select p, q, s from r",
            ["a.id", "cards.pan", "cards.pan"],
        ),
        (
            "with recursive r as (select id from a union all select id from r) search depth first by id set o "
            "cycle id set m using p select o, m, p from r",
            ["a.id"] * 3,
        ),
        ("with recursive b as (select * from a), a as (select pan as x from cards) select x from b", [None]),
        ("with recursive w as (select pan from cards), v as (select pan from w) select pan from v", ["=cards.pan"]),
        # set operations
        ("select id from a union all select pan from cards", ["a.id cards.pan"]),
        ("select x from (select id as x from a union select cvv from cards except select 1) s", ["a.id cards.cvv"]),
        ("table a", ["=a.id", "=a.x"]),
        # joins
        ("select * from cards join notes on true join a using (id)", [*STAR, "=notes.n", "=a.x"]),
        ("select * from cards", STAR),
        ("select id from a right join cards using (id)", ["=cards.id"]),
        ("select id from a full join cards using (id)", ["a.id cards.id"]),
        ("select u.id from a join cards using (id) as u", ["=a.id"]),
        ("select * from notes natural join other.notes as o", ["=notes.n", "=other.notes.m"]),
        ("select j.q, s from (cards c join a using (id)) as j(p, q, r, s)", ["=cards.holder", "=cards.cvv"]),
        ("select j.x from (a join notes on true) as j", ["=a.x"]),
        ("select pan from ((a join notes on true) join cards using (id)) j", ["=cards.pan"]),
        ("select a.x from a tablesample system (10)", ["=a.x"]),
        # functions and tables of documents in FROM
        ("select e from cards, lateral jsonb_array_elements(meta -> 'pans') e", ["cards.meta"]),
        ("select k, v from cards, jsonb_each(meta) as e(k, v)", ["cards.meta", "cards.meta"]),
        ("select key, e.value from cards, jsonb_each(meta) e", ["cards.meta", "cards.meta"]),
        ("select g from generate_series(1, 3) g", [""]),
        ("select f.y from cards, xmltable('/a' passing meta columns y text) f", ["cards.meta"]),
        ("select f.y from cards, json_table(meta, '$' columns (y text path '$.y')) f", ["cards.meta"]),
        ("select (select pan from jsonb_each('{}') e) from cards", ["cards.pan"]),
        ("select p from json_to_record('{}') as r(p text, q int)", [""]),
        # views
        ("select num, who as x from numbers", ["=cards.pan", "=cards.holder"]),
        ("select * from nested", ["=cards.pan", "cards.pan"]),
        ("select s from stored", ["=cards.pan"]),
        ("select numbers::text from numbers", ["cards.holder cards.pan"]),
        ("select c from counting", [""]),
        ("select most_common_vals from pg_stats", ["=pg_catalog.pg_stats.most_common_vals"]),
        ("select table_name from information_schema.tables", ["=information_schema.tables.table_name"]),
        ("select b, l from broken, loop", [None, None]),
        # partitions
        ("select pan, more from cards_new", ["=cards.pan cards_new.pan", "=cards_new.more"]),
        ("select pan || '' from cards_today", ["cards.pan cards_new.pan cards_today.pan"]),
        # functions of users
        ("select twice(id), plus(id), similarity(pan, 'x') from cards", ["cards.id", "cards.id", "cards.pan"]),
        ("select pan_of(id) from a", [None]),
        ("select scripted()", [None]),
        # changes
        ("insert into a (x) select pan from cards returning x, id", ["a.x cards.pan", "=a.id"]),
        ("insert into a (x) values ($1) returning x, id", ["=a.x", "=a.id"]),
        ("update a set x = pan from cards returning a.*, old.x", ["=a.id", "a.x cards.pan", "=a.x"]),
        ("with u as (update a set x = pan from cards returning x) select x from u", ["a.x cards.pan"]),
        (
            "merge into a using cards c on c.id = a.id when matched then update set x = pan returning x",
            ["a.x cards.pan"],
        ),
        ("insert into a values (1) on conflict (id) do update set x = excluded.x returning *", ["=a.id", "=a.x"]),
        ("update cards set holder = '' returning old.pan, new.pan, cards.pan", ["=cards.pan"] * 3),
        ("update cards set meta[cvv] = '1' returning meta, id", ["cards.cvv cards.meta", "=cards.id"]),
        ("insert into cards (id, meta[(select n from notes)]) values (1, '1') returning meta", ["cards.meta notes.n"]),
        (
            "insert into cards select x from a on conflict (id) do update set meta[excluded.id] = '1' returning meta",
            ["a.x cards.meta"],
        ),
        (
            "merge into cards using a on true when matched then update set meta[a.x:2] = '1' returning meta",
            ["a.x cards.meta"],
        ),
        ("update a set x = '' from cards returning pan", ["=cards.pan"]),
        ("delete from cards using a returning a.*, with_.pan", ["=a.id", "=a.x", None]),
        ("delete from cards returning with (old as o) o.pan, o", ["=cards.pan", ROW]),
        ("merge into a using cards c on c.id = a.id when matched then delete returning c.pan", ["=cards.pan"]),
        ("merge into a using notes on n = a.x when matched then delete returning *", ["=notes.n", "=a.id", "=a.x"]),
        ("copy cards (pan, id) to stdout", ["=cards.pan", "=cards.id"]),
        ("copy a to stdout", ["=a.id", "=a.x"]),
        ("copy (select reverse(pan) from cards) to stdout", ["cards.pan"]),
        # names that mean nothing here
        ("select nothing from cards", [None]),
        ("select c.nothing from cards c", [ROW]),
        ("select other.cards.pan from cards", [None]),
        ("select missing.x, y from missing", [None, None]),
    ],
)
def test_outputs(text: str, expected: list[str | None]) -> None:
    """An "=" says that the values are the column's own."""
    found = [("=" if output.is_direct else "", short(output.origins)) for output in of(text).outputs]
    assert [None if origins is None else mark + origins for mark, origins in found] == expected


@pytest.mark.parametrize(
    "text",
    [
        "select *, x from cards, jsonb_each(meta) e",
        "select * from missing",
        "select 1 union select 1, 2",
        "explain select pan from cards",
        "prepare p as select pan from cards",
        "select 1; select 2",
        "delete from cards",
    ],
)
def test_outputs_that_cannot_be_counted_are_not_told(text: str) -> None:
    assert of(text).outputs == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select pan from cards", ""),
        ("select id from cards where pan like '4111%'", "cards.pan"),
        ("select 1 from cards where id = 1 and pan >= '4111'", "cards.pan cards.id"),
        ("select id from cards order by pan", "cards.pan"),
        ("select id, pan from cards order by 2", "cards.pan"),
        ("select id as pan from cards order by pan", "cards.id"),
        ("select pan as x from cards order by x", "cards.pan"),
        ("select id as pan from cards group by pan", "cards.pan"),
        ("select count(*) from cards group by cube (pan, holder)", "cards.pan cards.holder"),
        ("select pan, count(*) from cards group by grouping sets ((1))", "cards.pan"),
        ("select holder from cards group by holder having max(pan) > '4'", "cards.holder cards.pan"),
        ("select distinct pan, id from cards", "cards.pan cards.id"),
        ("select distinct on (holder) pan from cards", "cards.holder"),
        ("select 1 from cards limit (select count(pan) from cards)", "cards.pan"),
        ("select 1 from cards join (select '4111' as pan) g using (pan)", "cards.pan"),
        ("select 1 from cards natural join a", "a.id cards.id"),
        ("select 1 from cards natural join jsonb_each('{}')", None),
        ("select sum(id) over w from cards window w as (order by pan)", "cards.pan"),
        ("select string_agg(holder, ',' order by pan) from cards", "cards.pan"),
        ("select 1 from a where id in (select pan from cards)", "a.id cards.pan"),
        ("select 1 from a where exists (select from cards where pan = x)", "a.x cards.pan"),
        ("select 1 from (select pan as x from cards) s where x > '4'", "cards.pan"),
        ("with w as (select pan as x from cards) select 1 from w where x > '4'", "cards.pan"),
        ("select 1 from numbers where num > '4'", "cards.pan"),
        ("select 1 from nested where twice > '4'", "cards.pan"),
        ("select 1 from counting", ""),
        ("select 1 from cards c where c = row(1)", "cards.cvv cards.holder cards.id cards.meta cards.pan"),
        ("select 1 from cards c where c::text like '%4111%'", "cards.cvv cards.holder cards.id cards.meta cards.pan"),
        ("select '4111' intersect select pan from cards", "cards.pan"),
        ("select pan from cards union all select x from a", ""),
        ("select pan from cards union all select x from a order by 1", "cards.pan a.x"),
        ("select g from cards, generate_series(1, pan::int) g", "cards.pan"),
        ("select case when pan > '4' then 1 end from cards", "cards.pan"),
        ("select case pan when '4' then 1 end from cards", "cards.pan"),
        ("update cards set holder = '' where pan = '4'", "cards.pan"),
        ("delete from a using cards where a.x = pan", "a.x cards.pan"),
        ("merge into a using cards c on c.pan = a.x when matched and cvv = '1' then delete", "a.x cards.cvv cards.pan"),
        ("insert into a values (1) on conflict (id) do update set x = '' where a.x > '1'", "a.id a.x"),
        ("explain select 1 from cards where pan < '45'", "cards.pan"),
        ("declare c cursor for select 1 from cards where pan < '45'", "cards.pan"),
        ("select 1 from cards where scripted() is null", None),
        ("select 1 from cards where nothing = 1", None),
        ("select 1 from a where pan_of(id) = '4'", None),
        ("select 1, unnest(string_to_array(pan, '4')) from cards", "cards.pan"),
        ("select id, regexp_split_to_table(pan, '') from cards", "cards.pan"),
        ("select id from cards tablesample bernoulli (id) repeatable ((select x::int from a))", "a.x cards.id"),
        ("select 1, ids_like('4%')", None),
        ("select count(*) from ids_like('4%')", None),
        ("select pan_of(id) from a", ""),
        ("begin", ""),
    ],
)
def test_predicates(text: str, expected: str | None) -> None:
    found = short(of(text).predicates)
    assert found == (None if expected is None else " ".join(sorted(expected.split())))


@pytest.mark.parametrize(
    ("oid", "number", "expected"),
    [
        (1, 3, "cards.pan"),
        (10, 1, "cards.pan"),
        (11, 1, "cards.pan"),
        (11, 2, None),
        (12, 1, "cards.pan"),
        (16, 1, None),
        (20, 3, "pg_catalog.pg_stats.most_common_vals"),
        (6, 2, "cards.pan"),
        (7, 2, "cards.pan"),
        (6, 3, "cards_new.more"),
        (1, 9, None),
        (999, 1, None),
    ],
)
def test_a_described_column_is_followed_to_its_base(oid: int, number: int, expected: str | None) -> None:
    assert SHOP.catalogue is not None
    found = base(SHOP.catalogue, oid, number)
    assert (None if found is None else short((found,))) == expected


def test_following_ends_where_it_gets_too_deep() -> None:
    deep = "select 1 from a where id in (" * 400 + "select 1" + ")" * 400
    assert of(deep).effect is Effect.UNKNOWN
