"""No text makes `facts` raise, and none that PostgreSQL's grammar refuses is taken for a read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from postgast import PgQueryError, parse
from tests.protocols.sql.shop import of

from gatepost import Effect
from gatepost_sql import facts

VOCABULARY = (
    "select insert into update delete merge with recursive as from where set values returning on conflict do using "
    "join natural cross left lateral order by group having limit for share union all except distinct case when then "
    "else end cast array row exists in like between is null not and or copy to stdin stdout program explain analyze "
    "prepare execute declare cursor create table view function drop alter add column rename grant revoke begin commit "
    "set_config nextval count a b t cards c.pan ( ) , ; . * = + :: [ ] $1 1 'x' \"Q\" $$ $$ /* */ -- \n operator"
)

words = st.lists(st.sampled_from(VOCABULARY.split(" ")), max_size=25).map(" ".join)
texts = st.one_of(st.text(), words, st.text("select(),;'\"$/*-\\ \n", max_size=40))


def is_accepted(text: str) -> bool:
    try:
        parse(text)
    except (PgQueryError, UnicodeEncodeError):
        return False
    return "\0" not in text


@given(texts)
def test_any_text_has_facts(text: str) -> None:
    found = facts(text)
    if not is_accepted(text):
        assert found.effect is Effect.UNKNOWN
    if found.effect is Effect.UNKNOWN:
        assert found.reason


@given(texts)
def test_any_text_has_facts_by_a_catalogue(text: str) -> None:
    alone, found = facts(text), of(text)
    assert found.verbs == alone.verbs or found.effect is Effect.UNKNOWN
    assert found.effect is not Effect.READ or alone.effect is Effect.READ
    if found.effect is Effect.UNKNOWN:
        assert found.reason
