"""What is remembered must not change what is said."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.sql.shop import of

from gatepost.values import Origin
from gatepost_sql import facts, postgres, tree
from gatepost_sql.bounds import encode
from gatepost_sql.remembered import Remembered
from gatepost_sql.tree import parse
from gatepost_sql.walk import Walk

literals = st.one_of(
    st.integers(0, 10**20).map(str),
    st.decimals(0, 100, allow_nan=False).map(str),
    st.text(string.printable, max_size=10).map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.text(string.ascii_letters + "'; ", max_size=10).map(lambda text: f"$q${text}$q$"),
    st.text(string.ascii_letters, max_size=5).map(lambda text: rf"E'\'{text}\n'"),
    st.sampled_from(
        ["true", "NULL", "$1", "x'1f'", "b'01'", "date '2020-01-01'", "interval '1' hour", "-1", "- 1", "'a'\n'b'"]
    ),
)
queries = st.sampled_from(
    [
        "select {0}",
        "select a, {0} from t where b = {1}",
        "select a from t where b in ({0}, {1}) limit {1}",
        "insert into t (a, b) values ({0}, {1})",
        "update t set a = {0} where b > {1} returning a",
        "delete from t where a between {0} and {1}",
        "select set_config({0}, {1}, false)",
        "select {0}::text, cast({1} as evil.t)",
        "select f({0}), lower({1}) from t",
        "select {0}; select {1}",
        "set a.b to {0}",
        "select {0} as x union select c from t order by {1}",
        "select distinct on ({0}) a, b from t",
        "select a from (select distinct on (c, {0}) a, b from t where a = {1}) s",
    ]
)


_WORDS = [
    *("where a =", "order by", "group by", "limit", "offset", "fetch first", "rows only", "union all select", "from u"),
    *("#", "#", "#", ",", "::int", "::varchar(#)", "cast(a as float(#))", "[#]", "f(#)", "in (#, #)", "having", "#.5"),
    *("between # and", "is null", "for update", ";", "set_config(a, b, false)", "tablesample system (#)"),
]


@given(queries, st.lists(st.tuples(literals, literals), min_size=2, max_size=4))
def test_facts_from_a_normal_form_are_those_of_the_text(query: str, pairs: list[tuple[str, str]]) -> None:
    for pair in pairs:
        text = query.format(*pair)
        remembered = facts(text)
        if remembered.fingerprint:
            assert remembered == Walk(parse(encode(text))).facts(remembered.fingerprint)


def test_a_form_is_remembered_across_literals() -> None:
    assert facts("select once from t where a = 1") is facts("select once from t where a = 'x'")


def test_texts_that_differ_in_integers_alone_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    once = facts("select glanced from t where a = 1 limit 10")
    monkeypatch.delattr(tree, "normalize")
    assert facts("select glanced from t where a = 20 limit 5") is once


@given(st.lists(st.sampled_from(_WORDS), min_size=1, max_size=8), st.integers(0, 10**12), st.integers(0, 10**12))
def test_what_is_the_same_at_a_glance_is_the_same(words: list[str], one: int, other: int) -> None:
    begin = "select a, b from t "
    facts(begin + " ".join(words).replace("#", str(one)))
    text = begin + " ".join(words).replace("#", str(other))
    remembered = facts(text)
    if remembered.fingerprint:
        assert remembered == Walk(parse(encode(text))).facts(remembered.fingerprint)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select set_config('a.b', 'c', true)", "select set_config('role', 'c', true)"),
        ("set a.b = 'c'", "set a.b = 'd'"),
        ("copy t to 'a'", "copy t to stdout"),
        ("explain (analyze 0) delete from t", "explain (analyze 1) delete from t"),
        ("select 'a' from t", "select a from t"),
        ("select a, b from t order by 1", "select a, b from t order by 2"),
    ],
)
def test_where_a_literal_matters_it_is_looked_at(one: str, other: str) -> None:
    assert facts(one) != facts(other)


@pytest.mark.parametrize("first", ["1", "$1"])
def test_an_output_s_number_is_no_literal(first: str) -> None:
    of(f"select distinct on ({first}) id, cvv from cards")
    assert of("select distinct on (2) id, cvv from cards").predicates == (Origin("public.cards", "cvv"),)


def test_the_memory_for_forms_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Remembered(room=1000)
    monkeypatch.setattr(postgres, "_forms", kept)
    for number in range(100):
        facts(f"select bounded_{number}")
    assert 10 < len(kept) < 100


def test_what_was_wanted_last_is_kept() -> None:
    kept = Remembered(room=30)
    for text in ("first_text", "second_one", "third_text"):
        kept.put(text, facts(f"select {text}"))
    first = kept.get("first_text")
    kept.put("fourth_one", facts("select fourth_one"))
    assert kept.get("second_one") is None
    assert kept.get("first_text") is first is not None
    kept.put("first_text", facts("select first_text"))
    assert len(kept) == 3


def test_no_one_text_has_all_the_room() -> None:
    kept = Remembered(room=30)
    kept.put("x" * 31, facts("select x"))
    assert len(kept) == 0
