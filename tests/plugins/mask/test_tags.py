"""Tagged columns, followed by a catalogue, and what may be asked about them."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace
from tests.protocols.sql.shop import SHOP, of

from gatepost import Column, Deny, Identity, Kind, Origin
from gatepost.testing import make_result, make_session, make_statement
from gatepost_mask import Mask, MaskConfig
from gatepost_mask.tags import Tags, Treatment
from gatepost_sql import Context

CONFIG = """
may_filter = ["matcher"]

[roles]
settlement = "clear"
fraud = "bin+last4"

[[columns]]
match = "cards.pan"
tag = "pan"

[[columns]]
match = "public.cards.cvv"
tag = "sad"

[[columns]]
match = "holder"
tag = "name"
"""
WITHOUT = Context()

MASK, REDACT, REMOVE = Treatment.MASK, Treatment.REDACT, Treatment.REMOVE


def config() -> MaskConfig:
    return msgspec.toml.decode(CONFIG, type=MaskConfig)


def column(name: str, base: str = "", is_direct: bool = False) -> Column:
    relation, _, of_base = base.rpartition(".")
    return Column(
        name=name,
        kind=Kind.TEXT,
        is_text=True,
        origin=(1, 1) if base or is_direct else None,
        base=Origin(relation, of_base) if base else None,
    )


def treatments(text: str, *columns: Column, context: Context = SHOP) -> list[Treatment | None]:
    result = make_result(*columns, statement=make_statement(text, facts=of(text, context)))
    found = Tags(config().columns).treatments(result)
    return [found.get(position) for position in range(len(columns))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select reverse(num) from numbers", REDACT),
        ("select twice from nested", REDACT),
        ("select x.c3 || '' from (select * from cards) x(c1, c2, c3)", REDACT),
        ("select to_jsonb(c) from cards c", REMOVE),
        ("select (select max(num) from numbers)", REDACT),
        ("select who || '' from numbers", REDACT),
        ("select cvv from cards union select x from a", REMOVE),
        ("select pan_of(id) from a", REDACT),
        ("select pan || '' from cards_today", REDACT),
        ("select id::text from cards where id = 1", None),
        ("select count(*) from cards", None),
        ("select n || '' from notes", None),
        ("select c from counting", None),
    ],
)
def test_what_an_expression_makes_of_a_tagged_column(text: str, expected: Treatment | None) -> None:
    assert treatments(text, column("x")) == [expected]


def test_a_direct_column_is_masked_whatever_its_name() -> None:
    assert treatments("select deep as id from nested", column("id", is_direct=True)) == [MASK]
    assert treatments("select deep as id from nested", column("id", "public.cards.pan")) == [MASK]
    assert treatments("select id as pan from cards", column("pan", "public.cards.id")) == [None]


def test_a_view_s_expression_is_no_direct_column() -> None:
    assert treatments("select twice from nested", column("twice", is_direct=True)) == [REDACT]


def test_columns_of_unknown_make_up_count_as_derived_if_a_tagged_one_is_touched() -> None:
    text = "select *, pan_of(1) from cards, jsonb_each('{}') e"
    described = [column("id", "public.cards.id"), column("pan", "public.cards.pan"), column("value")]
    assert treatments(text, *described) == [None, MASK, REMOVE]
    assert treatments("select *, scripted() from a, jsonb_each('{}') e", column("y"), column("z")) == [None, None]


def test_what_a_change_returns_may_have_come_from_a_tagged_column() -> None:
    moved = "update notes set n = c.pan from cards c returning n"
    assert treatments(moved, column("n", "public.notes.n")) == [REDACT]
    more = "update notes set n = c.pan from cards c, jsonb_each('{}') e returning *"
    assert treatments(more, column("n", "public.notes.n"), column("key")) == [REMOVE, REMOVE]
    assert treatments("update notes set n = '' returning n", column("n", "public.notes.n")) == [None]
    assert treatments("fetch c", column("x", "public.cards.pan")) == [MASK]
    assert treatments(moved, column("n", is_direct=True), context=WITHOUT) == [REDACT]


def test_a_table_of_another_schema_is_another_table() -> None:
    tags = Tags(config().columns)
    facts = of("select 1")
    assert tags.of([Origin("public.cards", "cvv")], facts) == {"sad"}
    assert tags.of([Origin("other.cards", "cvv")], facts) == set()
    assert tags.of([Origin("other.cards", "pan")], facts) == {"pan"}
    assert tags.of([Origin("public.bills", "pan")], facts) == set()


@pytest.mark.parametrize("roles", [(), ("matcher",), ("settlement",)])
def test_what_may_hide_a_tagged_column_is_denied(roles: tuple[str, ...]) -> None:
    facts = replace(of("select num from numbers", WITHOUT), may_hide=True)
    session = make_session(identity=Identity(name="agent", roles=roles))
    found = Mask(config()).on_statement(session, make_statement("select num from numbers", facts=facts))
    assert isinstance(found, Deny)
    assert found.rule == "mask.catalogue"
    assert "Try again" in found.hint


def test_what_may_hide_nothing_that_a_role_is_not_shown_is_not_denied() -> None:
    statement = make_statement("select 1", facts=replace(of("select num from numbers", WITHOUT), may_hide=True))
    clear = make_session(identity=Identity(name="agent", roles=("settlement",)))
    shown = MaskConfig(roles=config().roles, columns=tuple(each for each in config().columns if each.tag != "sad"))
    assert Mask(shown).on_statement(clear, statement) is None
    assert isinstance(Mask(shown).on_statement(make_session(), statement), Deny)
    assert Mask(MaskConfig()).on_statement(make_session(), statement) is None


ORACLES = [
    "select id from cards where pan like '4111%'",
    "select 1 from cards where id = 1 and pan >= '4111'",
    "select id from cards order by pan",
    "select id, pan from cards order by 2",
    "select count(*) from cards join (select '4111111111111111' as pan) g using (pan)",
    "select count(*) from cards natural join (select '4111111111111111' as pan) g",
    "select count(*) from cards group by pan",
    "select distinct pan from cards",
    "select '4111111111111111' intersect select pan from cards",
    "select case when pan > '4' then 1 end from cards",
    "select id, unnest(string_to_array(pan, '4')) from cards",
    "select 1 from cards c where c::text like '%4111%'",
    "select 1 from (select pan as x from cards) s where x > '4'",
    "with w as (select cvv as x from cards) select 1 from w where x > '4'",
    "select 1 from a where exists (select 1 from cards where cvv = '737')",
    "explain select 1 from cards where pan < '45'",
    "update cards set meta = '' where pan = '4111111111111111'",
    "delete from cards where pan = '4111111111111111' returning id",
]
HIDDEN_ORACLES = [
    "select 1 from numbers where num > '4'",
    "select 1 from nested order by twice",
    "select 1 from a where pan_of(id) > '4'",
]
FINE = [
    "select pan from cards where id = 1 order by id",
    "select holder from cards where holder like 'A%'",
    "select c from counting",
    "select pan from cards union all select x from a",
    "select id as pan from cards order by pan",
]


def verdict(text: str, context: Context, *roles: str) -> Deny | None:
    statement = make_statement(text, facts=of(text, context))
    return Mask(config()).on_statement(make_session(identity=Identity(name="agent", roles=roles)), statement)


@pytest.mark.parametrize("text", ORACLES)
@pytest.mark.parametrize("context", [SHOP, WITHOUT], ids=["with a catalogue", "without"])
def test_rows_cannot_be_chosen_by_values_that_are_hidden(text: str, context: Context) -> None:
    for roles in ((), ("reader",), ("fraud",)):
        found = verdict(text, context, *roles)
        assert isinstance(found, Deny)
        assert found.rule == "mask.may_filter"
        assert "WHERE" in found.hint
    assert verdict(text, context, "settlement") is None
    assert verdict(text, context, "reader", "matcher") is None


@pytest.mark.parametrize("text", HIDDEN_ORACLES)
def test_a_view_or_a_function_does_not_hide_them(text: str) -> None:
    assert isinstance(verdict(text, SHOP), Deny)
    assert verdict(text, SHOP, "settlement") is None


@pytest.mark.parametrize("text", FINE)
def test_other_columns_may_choose_rows(text: str) -> None:
    assert verdict(text, SHOP) is None


@pytest.mark.parametrize(
    "text",
    [
        "copy cards to stdout",
        "copy (select num from numbers) to stdout",
        "declare c cursor for select deep from nested",
        "prepare p as select n.num from numbers n",
        "do $$ begin raise notice '%', (select reverse(pan) from cards); end $$",
        "do 'begin execute concat(''sel'', ''ect 1''); end'",
    ],
)
def test_what_reads_them_out_without_their_columns_is_refused(text: str) -> None:
    found = verdict(text, SHOP)
    assert isinstance(found, Deny)
    assert found.rule == "mask.columns"


@pytest.mark.parametrize(
    "text",
    [
        "select query_to_xml('select pan from cards', true, true, '')",
        "select id from a where ts_rewrite('a'::tsquery, 'select 1') is null",
        "copy (select 1, table_to_xml('cards', true, true, '')) to stdout",
    ],
)
@pytest.mark.parametrize("context", [SHOP, WITHOUT], ids=["with a catalogue", "without"])
def test_what_reads_as_a_text_tells_it_to_is_refused(text: str, context: Context) -> None:
    found = verdict(text, context)
    assert isinstance(found, Deny)
    assert found.rule == "mask.columns"


def test_what_reads_other_columns_of_the_table_is_not() -> None:
    assert verdict("copy (select id, meta from cards) to stdout", SHOP) is None
    assert verdict("declare c cursor for select id from cards", SHOP) is None
