"""Which columns decide what comes, whether something bounds it, and how deeply queries are nested, by text alone."""

from __future__ import annotations

import pytest

from gatepost import Origin
from gatepost_sql import facts


def predicates(text: str) -> set[str] | None:
    found = facts(text).predicates
    return None if found is None else {origin.column for origin in found}


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("select a from t", ""),
        ("select a from t where b = 1", "b"),
        ("select a from t where exists (select c from u where d = t.e)", "cde"),
        ("select a from t order by b, lower(c)", "bc"),
        ("select a, b from t order by 2", "b"),
        ("select *, b from t order by 2", None),
        ("select a as x, b from t order by x", "ax"),
        ("select a as b from t order by t.c", "c"),
        ("select count(*) from t group by b having min(c) > 1", "bc"),
        ("select a, count(*) from t group by rollup (1)", "a"),
        ("select distinct a, b from t", "ab"),
        ("select distinct on (b) a from t", "b"),
        ("select distinct on (2) a, b from t", "ab"),
        ("select * from t limit (select max(b) from u)", "b"),
        ("select a from t offset b", "b"),
        ("select 1 from t join u on t.b = u.c", "bc"),
        ("select 1 from t join u using (b)", "b"),
        ("select 1 from t natural join u", None),
        ("select sum(a) filter (where b) over (partition by c order by d) from t", "bcd"),
        ("select sum(a) over w from t window w as (order by b)", "b"),
        ("select string_agg(a, ',' order by b) from t", "b"),
        ("select case when b > 1 then a end from t", "b"),
        ("select case b when 1 then a end from t", "b"),
        ("select a from t union all select b from u", ""),
        ("select a from t union select b from u", "ab"),
        ("select a from t union all select b from u order by 1", "ab"),
        ("select 1 intersect select a from t", "a"),
        ("select e from t, jsonb_array_elements(b) e", "b"),
        ("select 1, unnest(string_to_array(a, '4')) from t", "a"),
        ("select lower(a) from t", ""),
        ("select a > 1 and set_config('application_name', 'x', false) > '' from t", None),
        ("with w as (select pg_sleep(1)) select a > 1 and exists (select from w) from t", None),
        ("select 1 from t where t = row(1)", None),
        ("select 1 from t group by t.to_json", None),
        ("select 1 from (select a as x from t) s where x > 1", None),
        ("select 1 from (select a as x, b from t) s where b > 1", "b"),
        ("select 1 from t as s(x) where x > 1", None),
        ("with w(x) as (select a from t) select 1 from w where x > 1", None),
        ("update t set a = 1 where b = 2", "b"),
        ("delete from t using u where t.b = u.c", "bc"),
        ("merge into t using u on t.b = u.c when matched and d > 1 then delete", "bcd"),
        ("insert into t values (1) on conflict (a) do update set b = 1 where t.c = 1", "ac"),
        ("copy (select a from t where b = 1) to stdout", "b"),
        ("explain select a from t where b = 1", "b"),
    ],
)
def test_predicates(text: str, columns: str | None) -> None:
    assert predicates(text) == (None if columns is None else set(columns))


def test_the_text_does_not_tell_a_predicate_s_table() -> None:
    assert facts("select a from t where b = 1").predicates == (Origin("", "b"),)


@pytest.mark.parametrize(
    ("text", "bounded", "unbounded"),
    [
        ("select 1 from t", "", "t"),
        ("select 1 from t where a = 1", "t", ""),
        ("select 1 from t where true", "", "t"),
        ("select 1 from t where 1 = 1 and now() > '2000-01-01'", "", "t"),
        ("select 1 from t where a = a", "", "t"),
        ("select 1 from t where a = 1 or true", "", "t"),
        ("select 1 from t where a = 1 and true", "t", ""),
        ("select 1 from t where a = b", "t", ""),
        ("select 1 from t limit 10", "t", ""),
        ("select 1 from t limit null", "", "t"),
        ("select 1 from t limit all", "", "t"),
        ("select 1 from t limit $1", "", "t"),
        ("select 1 from t fetch first 3 rows only", "t", ""),
        ("select 1 from t, u where t.a = u.a", "tu", ""),
        ("select 1 from t, u", "", "tu"),
        ("select 1 from t join u on t.a = u.a", "tu", ""),
        ("select 1 from t join u using (a)", "tu", ""),
        ("select 1 from t join u on true", "", "tu"),
        ("select 1 from t cross join u", "", "tu"),
        ("select 1 from t where a in (select a from u)", "t", "u"),
        ("select 1 from (select * from t) s where a = 1", "", "t"),
        ("select 1 from t where a = 1 union all select 1 from t", "", "t"),
        ("delete from t", "", "t"),
        ("delete from t where a = 1", "t", ""),
        ("delete from t where current of c", "t", ""),
        ("update t set a = 1", "", "t"),
        ("update t set a = 1 where b = 2", "t", ""),
        ("insert into t values (1)", "t", ""),
        ("merge into t using u on true when matched then delete", "", "tu"),
        ("merge into t using u on t.a = u.a when matched then delete", "tu", ""),
        ("truncate t", "", "t"),
        ("copy t to stdout", "", "t"),
        ("copy t from stdin", "t", ""),
    ],
)
def test_bounds(text: str, bounded: str, unbounded: str) -> None:
    uses = facts(text).objects
    assert {use.name for use in uses if use.is_bounded} == set(bounded)
    assert {use.name for use in uses if not use.is_bounded} == set(unbounded)


def test_a_limit_s_literal_is_looked_at_where_it_may_be_none() -> None:
    (five,) = facts("select of_five from t limit 5").objects
    (none,) = facts("select of_five from t limit NULL").objects
    assert (five.is_bounded, none.is_bounded) == (True, False)


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("select 1", 1),
        ("delete from t", 1),
        ("select 1 union select 2", 1),
        ("select 1 from (select 1) s", 2),
        ("select (select 1)", 2),
        ("with w as (select 1) select 1 from w", 2),
        ("select 1 where exists (select 1 from (select 1) s)", 3),
        ("insert into t select 1 from (select 1) s", 2),
    ],
)
def test_depth(text: str, depth: int) -> None:
    assert facts(text).depth == depth
