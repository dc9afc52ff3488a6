"""Columns that the configuration tags, and roles that may see more than four digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import psycopg
import pytest
from tests.cards import found_in
from tests.servers import Database, Gate, gates

ROLES = {"reader": "reader", "analyst": "fraud", "clerk": "chargebacks"}
PLUGINS = """
[plugins.mask.roles]
chargebacks = "clear"
fraud = "bin+last4"

[[plugins.mask.columns]]
match = "cards.pan"
tag = "pan"
[[plugins.mask.columns]]
match = "cards.expires"
tag = "expiry"
[[plugins.mask.columns]]
match = "dated.expires"
tag = "expiry"
[[plugins.mask.columns]]
match = "customers.name"
tag = "name"
[[plugins.mask.columns]]
match = "cvv"
tag = "sad"

[plugins.audit]
"""
GONE = "[removed]"

Connect = Callable[[str], psycopg.Connection]


@pytest.fixture(scope="module")
def tagging(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with postgres.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS checks")
        connection.execute("CREATE TABLE checks AS SELECT id AS card, '73' || id % 10 AS cvv FROM cards")
        connection.execute(f"GRANT SELECT ON checks TO {postgres.user}")
    with gates(tmp_path_factory.mktemp("tagging")) as make:
        yield make(postgres, plugins=PLUGINS)


@pytest.fixture(scope="module")
def agents(tagging: Gate) -> Iterator[dict[str, psycopg.Connection]]:
    """A connection for each role."""
    with ExitStack() as stack:
        connections = {}
        for name, role in ROLES.items():
            login = {"user": name, "password": tagging.add_agent(name, role)}
            connection = psycopg.connect(tagging.address, autocommit=True, **login)
            connections[role] = stack.enter_context(connection)
        yield connections


@pytest.fixture(params=[False, True], ids=["in text", "in binary"])
def fetch(request: pytest.FixtureRequest, agents: dict[str, psycopg.Connection]):
    """What a role gets for a query."""

    def fetch(role: str, text: str) -> Sequence[tuple]:
        return agents[role].execute(text, binary=request.param).fetchall()

    return fetch


def last4(pan: str) -> str:
    return "*" * (len(pan) - 4) + pan[-4:]


def bin_and_last4(pan: str) -> str:
    return pan[:6] + "*" * (len(pan) - 10) + pan[-4:]


def test_a_star_shows_each_role_what_it_may_see(fetch, postgres: Database) -> None:
    text = "SELECT * FROM cards ORDER BY id"
    with postgres.connect() as direct:
        clear = direct.execute(text).fetchall()
    for role, shown in (("reader", last4), ("fraud", bin_and_last4)):
        expected = [(number, customer, brand, shown(pan), GONE) for number, customer, brand, pan, _ in clear]
        assert fetch(role, text) == expected
    assert fetch("chargebacks", text) == clear


@pytest.mark.parametrize("type_", ["date", "timestamp", "timestamptz", "time", "int", "json"])
def test_a_type_that_holds_no_text_shows_null(fetch, postgres: Database, type_: str) -> None:
    value = {"int": "1231", "json": "'{}'", "time": "'12:31'"}.get(type_, "'2031-12-31'")
    with postgres.connect() as direct:
        direct.execute(f"DROP TABLE IF EXISTS dated; CREATE TABLE dated AS SELECT {value}::{type_} AS expires")
        direct.execute(f"GRANT SELECT ON dated TO {postgres.user}")
    assert fetch("reader", f"SELECT expires AS {type_}s FROM dated") == [(None,)]
    assert fetch("chargebacks", f"SELECT expires AS {type_}s FROM dated") != [(None,)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT pan AS note FROM cards ORDER BY id",
        "SELECT k.pan AS id FROM cards k ORDER BY k.id",
        "SELECT x FROM (SELECT id, pan AS x FROM cards) AS inner_ ORDER BY id",
        "WITH c AS (SELECT id, pan AS x FROM cards) SELECT x FROM c ORDER BY id",
    ],
)
def test_another_name_does_not_show_more(fetch, postgres: Database, text: str) -> None:
    assert [pan for (pan,) in fetch("reader", text)] == [last4(pan) for pan in postgres.pans]


@pytest.mark.parametrize(
    "expression",
    [
        "reverse(pan)",
        "substr(pan, 1, 8)",
        "encode(pan::bytea, 'base64')",
        "encode(pan::bytea, 'hex')",
        "translate(pan, '0123456789', 'abcdefghij')",
        "left(expires, 2)",
        "pan || brand",
        "string_to_array(pan, NULL)::text",
    ],
)
def test_what_is_made_of_a_tagged_column_is_removed(fetch, postgres: Database, expression: str) -> None:
    text = f"SELECT {expression} FROM cards ORDER BY id"
    assert set(fetch("reader", text)) == {(GONE,)}
    with postgres.connect() as direct:
        assert fetch("chargebacks", text) == direct.execute(text).fetchall()


def test_names_are_removed_from_a_join_and_the_rest_is_left(fetch) -> None:
    text = (
        "SELECT name, email, brand, amount "
        "FROM orders o JOIN cards k ON k.id = card JOIN customers u ON u.id = customer"
    )
    rows = fetch("reader", text)
    assert {name for name, *_ in rows} == {GONE}
    assert all("@" in email and brand and amount > 0 for _, email, brand, amount in rows)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT k FROM checks c(n, k)",
        "SELECT * FROM (SELECT card AS cvv, cvv AS k FROM checks) c",
        "WITH c(cvv, k) AS (SELECT * FROM checks) SELECT * FROM c",
        "SELECT card AS cvv, cvv AS k FROM (TABLE checks) c",
    ],
)
def test_names_that_a_statement_gives_hide_no_column(fetch, text: str) -> None:
    for role in ROLES.values():
        assert {row[-1] for row in fetch(role, text)} == {GONE}


def test_security_codes_are_shown_to_nobody(fetch) -> None:
    for role in ROLES.values():
        assert {cvv for _, cvv in fetch(role, "SELECT * FROM checks")} == {GONE}
        assert {cvv for (cvv,) in fetch(role, "SELECT cvv || '' FROM checks")} == {GONE}


@pytest.mark.parametrize("text", ["COPY cards TO STDOUT", "COPY (SELECT reverse(pan) FROM cards) TO STDOUT"])
@pytest.mark.parametrize("role", ["reader", "fraud"])
def test_a_copy_that_would_show_tagged_columns_is_denied(
    agents: dict[str, psycopg.Connection], role: str, text: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught, agents[role].cursor().copy(text) as copy:
        copy.read()
    assert caught.value.diag.message_detail == "rule mask: mask.columns"
    assert agents[role].execute("SELECT 1").fetchone() == (1,)


def test_a_copy_of_other_columns_is_as_it_is(agents: dict[str, psycopg.Connection], postgres: Database) -> None:
    text = "COPY (SELECT id, brand FROM cards ORDER BY id) TO STDOUT"
    with (
        postgres.connect() as direct,
        direct.cursor().copy(text) as clear,
        agents["reader"].cursor().copy(text) as copy,
    ):
        assert b"".join(copy) == b"".join(clear)


def test_a_copy_shows_clear_numbers_to_whom_may_see_them(
    agents: dict[str, psycopg.Connection], postgres: Database
) -> None:
    with agents["chargebacks"].cursor().copy("COPY (SELECT pan FROM cards ORDER BY id) TO STDOUT") as copy:
        assert b"".join(copy).decode().split() == list(postgres.pans)
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        agents["chargebacks"].cursor().copy("COPY checks TO STDOUT") as copy,
    ):
        copy.read()


def test_who_was_shown_clear_numbers_is_on_record_and_the_numbers_are_not(
    tagging: Gate, agents: dict[str, psycopg.Connection], postgres: Database
) -> None:
    text = "SELECT pan, 'for the record' FROM cards"
    assert {pan for pan, _ in agents["chargebacks"].execute(text)} == set(postgres.pans)
    (statement,) = tagging.audit("search", "--text", "for the record")
    assert (statement["identity"], statement["rows"]) == ("clerk", len(postgres.pans))
    (session,) = tagging.audit("sessions", "--identity", "clerk")
    assert session["roles"] == ["chargebacks"]
    assert found_in(tagging.state, list(postgres.pans)) == []
