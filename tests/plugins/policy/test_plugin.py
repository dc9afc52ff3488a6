"""The hooks: what a session is told, and what of it is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.plugins.policy.deciding import AGENT, SESSION, config

from gatepost import Deny, EndCode, Facts, Limit, Reason, Restriction, Risk, Statement
from gatepost.testing import FakeGateway, make_statement
from gatepost.values import Target
from gatepost_policy import Policy, plugin, seen
from gatepost_sql import facts

TARGET = Target(name="shop", protocol="postgres", host="db", port=5432)
TOML = """
[risk]
sensitive = ["public.cards(pan)"]
hours = "08:00-18:00 UTC"

[roles.r]
require_catalogue = false
max_length = 60
allow = [
  { do = "read", on = "public.*" },
  { do = "write", on = "public.orders", unbounded = true },
  { do = ["define", "unknown", "administer"], on = "*" },
]
"""
NIGHT = 1767222000.0
FIRST = Risk(score=10, reasons=("this identity runs such a statement for the first time",))


class Clock:
    def __init__(self) -> None:
        self.now = 1767182400.0  # noon

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(plugin, "time", clock)
    return clock


@pytest.fixture
def policy(tmp_path: Path, clock: Clock) -> Iterator[Policy]:
    policy = Policy(config(TOML))
    gateway = FakeGateway(tmp_path)
    policy.on_start(gateway)
    policy.on_connect(SESSION, TARGET)
    yield policy
    policy.on_stop(gateway)


def statement(text: str, known: Facts | None = None, **changes: object) -> Statement:
    return make_statement(text, facts=known or facts(text), **changes)


def notes(policy: Policy, text: str) -> tuple[int, list[str]]:
    """The risk of a text that is not new."""
    policy.on_statement(SESSION, statement(text))
    answer = policy.on_statement(SESSION, statement(text))
    if answer is None:
        return 0, []
    assert isinstance(answer, tuple)
    (risk,) = answer
    assert isinstance(risk, Risk)
    return risk.score, list(risk.reasons)


def test_a_first_use_is_told_once_and_remembered_across_sessions(policy: Policy) -> None:
    text = "select 1 from orders where id = 5"
    prepared = statement(text, is_preparation=True)
    assert policy.on_statement(SESSION, prepared) == (FIRST,)
    assert policy.on_statement(SESSION, statement(text)) == (FIRST,)
    assert policy.on_statement(SESSION, statement(text)) is None
    policy.on_session_end(SESSION, Reason(code=EndCode.CLIENT_LEFT))

    again = replace(SESSION, id="s2")
    policy.on_connect(again, TARGET)
    assert policy.on_statement(again, statement("select 1 from orders where id = 6")) is None

    other = replace(SESSION, id="s3", identity=replace(AGENT, name="other"))
    policy.on_connect(other, TARGET)
    assert policy.on_statement(other, statement(text)) == (FIRST,)


def test_only_so_many_fingerprints_of_an_identity_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "KEPT", 3)
    store = seen.Seen(tmp_path / "seen.sqlite")
    store.add("other", "x")
    for number in range(5):
        store.add("bot", str(number))
    assert [store.has("bot", str(number)) for number in range(5)] == [False, False, True, True, True]
    assert store.has("other", "x")
    store.close()


@pytest.mark.parametrize(
    ("text", "score", "reasons"),
    [
        ("select id from orders", 0, []),
        ("select pan from cards where id = 1", 0, []),
        ("select pan from cards", 30, ["it reads sensitive columns of all rows"]),
        ("select * from cards", 30, ["it reads sensitive columns of all rows"]),
        ("select id from cards", 0, []),
        ("insert into orders values (1)", 10, ["it writes"]),
        ("delete from orders", 50, ["it writes", "it changes all rows of a table"]),
        ("truncate orders", 50, ["it writes", "it changes all rows of a table"]),
        ("create table z (a int)", 40, ["it changes definitions"]),
        ("create role z", 60, ["it administers the database"]),
        ("nonsense", 50, ["what it does is not known"]),
    ],
)
def test_risk(policy: Policy, text: str, score: int, reasons: list[str]) -> None:
    assert notes(policy, text) == (score, reasons)


def test_what_is_risky_is_riskier_at_night(policy: Policy, clock: Clock) -> None:
    assert notes(policy, "create table z (a int)") == (40, ["it changes definitions"])
    clock.now = NIGHT
    late = "it is outside the hours of work"
    assert notes(policy, "create table z (a int)") == (55, ["it changes definitions", late])
    assert notes(policy, "select 1") == (0, [])


def test_rules_begin_and_end_with_their_hours(clock: Clock) -> None:
    policy = Policy(config("[roles.r]\nhours = '08:00-18:00 UTC'\nallow = [{ do = 'read', on = '*' }]"))
    policy.on_connect(SESSION, TARGET)
    asked = statement("select 1 from t")
    assert policy.on_statement(SESSION, asked) is None
    clock.now = NIGHT
    answer = policy.on_statement(SESSION, asked)
    assert isinstance(answer, Deny)
    assert answer.rule == "policy.r.hours"
    clock.now = NIGHT + 12 * 3600
    assert policy.on_statement(SESSION, asked) is None


def test_the_length_counts_of_texts_with_the_same_facts(policy: Policy) -> None:
    text = "select 1 from orders where name = 'a'"
    known = facts(text)
    policy.on_statement(SESSION, statement(text))
    assert policy.on_statement(SESSION, statement(text)) is None
    answer = policy.on_statement(SESSION, statement(text.replace("a'", "a" * 60 + "'"), known))
    assert isinstance(answer, Deny)
    assert answer.rule == "policy.r.max_length"
    assert policy.on_statement(SESSION, statement(text)) is None


def test_a_limit_of_rows_goes_with_the_statement(clock: Clock) -> None:
    policy = Policy(config("[roles.r]\nrows = 5\nallow = [{ do = 'read', on = '*' }]"))
    policy.on_connect(SESSION, TARGET)
    for _ in range(2):
        answer = policy.on_statement(SESSION, statement("select a from t"))
        assert isinstance(answer, tuple)
        (limit,) = answer
        assert isinstance(limit, Limit)
        assert (limit.rows, limit.rule) == (5, "policy.r.allow[0]")


@pytest.mark.parametrize(
    ("allow", "is_read_only"),
    [
        ("", True),
        ("{ do = ['read', 'set', 'notify'], on = '*' }", True),
        ("{ do = 'read', on = '*' }, { do = 'insert', on = 't' }", False),
        ("{ do = 'read', on = '*' }, { do = 'insert', on = 't', targets = 'other' }", True),
        ("{ do = 'read', on = '*' }, { do = 'insert', on = 't', hours = '00:00-01:00 UTC' }", False),
        ("{ do = 'call', on = 'f' }", False),
        ("{ do = 'unknown', on = '*' }", False),
    ],
)
def test_a_session_whose_roles_write_nothing_is_read_only(allow: str, is_read_only: bool) -> None:
    policy = Policy(config(f"[roles.r]\nallow = [{allow}]"))
    assert policy.on_connect(SESSION, TARGET) == (Restriction(read_only=True) if is_read_only else None)


def test_an_identity_without_a_configured_role_may_do_nothing() -> None:
    policy = Policy(config("[roles.other]"))
    assert policy.on_connect(SESSION, TARGET) == Restriction(read_only=True)
    answer = policy.on_statement(SESSION, statement("select 1"))
    assert isinstance(answer, Deny)
    assert answer.rule == "policy.roles"
