"""What roles may do, with the real server behind the gate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import asyncpg
import psycopg
import pytest
from psycopg import errors
from tests.servers import Database, Gate, eventually, gates
from tests.wire import SYNC, Wire, bind, execute, parse

PLUGINS = """
[plugins.secrets.targets.shop.inspector]
user = "{user}"
database = "shop"
password = "file:upstream.password"

[plugins.policy.risk]
sensitive = ["public.cards(pan)"]

[plugins.policy.roles.reader]
rows = 50
allow = [
  {{ do = "read", on = ["public.orders", "public.cards(id, brand)"] }},
]

[plugins.policy.roles.clerk]
allow = [
  {{ do = "read", on = "public.*" }},
  {{ do = "update", on = "public.orders(amount)" }},
  {{ do = "delete", on = "public.orders" }},
]

[plugins.policy.roles.strict]
allow = [{{ do = "read", on = ["public.cards(id, brand)", "public.renamed"] }}]

[plugins.policy.roles.wanderer]
allow = [{{ do = "read", on = "public.*" }}, {{ do = "set", on = "search_path" }}]
deny = [{{ do = "all", on = "counters.*" }}]

[plugins.policy.roles.teller]
allow = [{{ do = "insert", on = ["public.receipts(note)", "public.slips"] }}]

[plugins.mask]
[plugins.audit]
"""

Connect = Callable[[str], psycopg.Connection]


@pytest.fixture(scope="module")
def policed(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with postgres.connect() as connection:
        connection.execute("CREATE VIEW renamed AS SELECT id, pan AS number FROM cards")
        connection.execute(f"GRANT SELECT ON renamed TO {postgres.user}")
        connection.execute(
            "CREATE TABLE receipts (id serial PRIMARY KEY, note text, number int GENERATED ALWAYS AS IDENTITY)"
        )
        connection.execute("CREATE SCHEMA counters; CREATE SEQUENCE counters.slips")
        connection.execute("CREATE TABLE filed (id bigint DEFAULT nextval('counters.slips'), note text)")
        connection.execute("CREATE VIEW slips AS SELECT note FROM filed")
        connection.execute("CREATE TABLE counters.filed AS SELECT 1 AS id, 'kept' AS note")
        connection.execute(f"GRANT USAGE ON SCHEMA counters TO {postgres.user}")
        connection.execute(f"GRANT SELECT ON filed, counters.filed TO {postgres.user}")
    with gates(tmp_path_factory.mktemp("policed")) as make:
        gate = make(postgres, plugins=PLUGINS.format(user=postgres.user))
        eventually(lambda: _knows_the_catalogue(gate))
        yield gate
    with postgres.connect() as connection:
        connection.execute("DROP VIEW renamed, slips; DROP TABLE receipts, filed; DROP SCHEMA counters CASCADE")


def _knows_the_catalogue(gate: Gate) -> bool:
    with psycopg.connect(gate.address, autocommit=True) as connection:
        try:
            connection.execute("SELECT id FROM cards LIMIT 1")
        except errors.InsufficientPrivilege:
            return False
    return True


@pytest.fixture(scope="module")
def passwords(policed: Gate) -> dict[str, str]:
    roles = ("clerk", "strict", "guest")
    return {role: policed.add_agent(role, role) for role in roles} | {"agent": policed.password}


@pytest.fixture
def connect(policed: Gate, passwords: dict[str, str]) -> Iterator[Connect]:
    with ExitStack() as stack:

        def connect(name: str = "agent") -> psycopg.Connection:
            login = {"user": name, "password": passwords[name]}
            return stack.enter_context(psycopg.connect(policed.address, autocommit=True, **login))

        yield connect


def state(postgres: Database) -> list[tuple]:
    """What statements that must not run would change."""
    with postgres.connect() as connection:
        return connection.execute(
            "SELECT (SELECT array_agg(relname ORDER BY relname) FROM pg_class WHERE relkind = 'r'),"
            " (SELECT md5(string_agg(c::text, '' ORDER BY id)) FROM cards c),"
            " (SELECT md5(string_agg(o::text, '' ORDER BY id)) FROM orders o),"
            " (SELECT array_agg(rolname ORDER BY rolname) FROM pg_roles)"
        ).fetchall()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; COMMIT; DROP SCHEMA public CASCADE",
        "WITH d AS (DELETE FROM cards RETURNING *) SELECT * FROM d",
        "SELECT * INTO z FROM cards",
        "EXPLAIN (ANALYZE, FORMAT json) DELETE FROM cards",
        "DO $x$BEGIN EXECUTE 'DR'||'OP TABLE cards'; END$x$",
        "PREPARE p AS DELETE FROM cards",
        "COPY cards TO PROGRAM 'cat'",
        "COPY (DELETE FROM cards RETURNING pan) TO STDOUT",
        "COPY cards TO STDOUT",
        "SET ROLE admin",
        "SET SESSION AUTHORIZATION admin",
        "SELECT set_config('role', 'admin', false)",
        "SET search_path = evil, public",
        "CREATE TEMP TABLE cards (id int, pan text)",
        "SELECT * FROM pg_read_file('/etc/passwd')",
        "SELECT query_to_xml('select pan from cards', true, false, '')",
        "SELECT * FROM dblink('dbname=app', 'delete from cards returning pan') AS t(p text)",
        "SELECT pg_notify('c', pan) FROM cards",
        "LISTEN c",
        "SELECT nextval('s'), pg_advisory_lock(1), pg_terminate_backend(42)",
        "SELECT my_security_definer_fn(1)",
        "/* /* SELECT */ */ DROP TABLE cards -- SELECT",
        "CREATE VIEW v AS SELECT pan AS x FROM cards",
        "ALTER TABLE cards RENAME pan TO nick",
        "SELECT pan FROM cards",
        "SELECT pan AS x FROM cards",
        "SELECT md5(pan) FROM cards",
        "SELECT c::text FROM cards c",
        "SELECT x.c3 FROM (SELECT * FROM cards) x(c1, c2, c3)",
        "SELECT (c).pan FROM cards c",
        "SELECT 1 FROM cards WHERE pan >= '4111'",
        "SELECT id FROM cards ORDER BY pan",
        "SELECT most_common_vals FROM pg_stats WHERE tablename = 'cards'",
        "SELECT query FROM pg_stat_activity",
        "SELECT get_raw_page('cards', 0)",
        "EXPLAIN SELECT 1 FROM cards WHERE pan < '45'",
        "UPDATE orders SET amount = 0 WHERE id = 1",
        "SELECT id FROM orders FOR UPDATE",
    ],
)
def test_what_no_rule_allows_is_refused_and_changes_nothing(connect: Connect, postgres: Database, text: str) -> None:
    before = state(postgres)
    agent = connect()
    with pytest.raises(errors.InsufficientPrivilege) as caught:
        agent.execute(text)  # type: ignore[call-overload]
    diag = caught.value.diag
    assert diag.message_primary
    assert "policy.reader" in (diag.message_detail or "")
    assert diag.message_hint
    assert agent.execute("SELECT count(*) FROM orders").fetchone() == (200,)
    assert state(postgres) == before


def test_a_denial_says_what_the_role_may_do_instead(connect: Connect) -> None:
    with pytest.raises(errors.InsufficientPrivilege) as caught:
        connect().execute("SELECT id, pan FROM cards")
    diag = caught.value.diag
    assert diag.message_primary == "You may not select public.cards(pan)."
    assert diag.message_hint == "You may select public.cards(id, brand); leave out pan."


def test_views_are_followed_to_the_columns_below(connect: Connect) -> None:
    strict = connect("strict")
    assert strict.execute("SELECT id FROM renamed WHERE id = 1").fetchone() == (1,)
    for text in (
        "SELECT number FROM renamed",
        "SELECT * FROM renamed",
        "SELECT id FROM renamed WHERE number LIKE '4%'",
    ):
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            strict.execute(text)
        assert "pan" in (caught.value.diag.message_primary or "")


def test_a_role_without_rules_may_do_nothing(connect: Connect) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        connect("guest").execute("SELECT 1")


def test_a_role_may_write_what_it_may_and_only_rows_that_it_selects(connect: Connect) -> None:
    clerk = connect("clerk")
    with clerk.transaction(force_rollback=True):
        assert clerk.execute("UPDATE orders SET amount = 1 WHERE id = 1").rowcount == 1
        assert clerk.execute("DELETE FROM orders WHERE id = 2").rowcount == 1
    for text in ("UPDATE orders SET amount = 1", "DELETE FROM orders", "UPDATE orders SET card = 1 WHERE id = 1"):
        with pytest.raises(errors.InsufficientPrivilege):
            clerk.execute(text)


def test_a_role_that_writes_nothing_has_a_session_that_cannot(connect: Connect) -> None:
    assert connect().execute("SHOW default_transaction_read_only").fetchone() == ("on",)
    assert connect("clerk").execute("SHOW default_transaction_read_only").fetchone() == ("off",)
    with pytest.raises(errors.InsufficientPrivilege):
        connect().execute("BEGIN READ WRITE")


@pytest.mark.parametrize("text", ["SELECT id FROM orders", "COPY (SELECT id FROM orders) TO STDOUT"])
def test_no_more_rows_leave_than_a_role_may_read(connect: Connect, text: str) -> None:
    agent = connect()
    with pytest.raises(errors.InsufficientPrivilege) as caught, agent.cursor() as cursor:
        if text.startswith("COPY"):
            with cursor.copy(text) as copy:
                list(copy)
        else:
            cursor.execute(text)  # type: ignore[call-overload]
    assert "policy.reader.allow[0]" in (caught.value.diag.message_detail or "")
    assert caught.value.diag.message_hint == ("Add LIMIT 50, narrow it with WHERE, or let the database count and sum.")
    assert len(agent.execute("SELECT id FROM orders LIMIT 50").fetchall()) == 50


def test_drivers_find_out_about_types_by_themselves(policed: Gate, passwords: dict[str, str]) -> None:
    async def work() -> list[str]:
        address = policed.url.replace(f"agent:{policed.password}", f"clerk:{passwords['clerk']}")
        pool = await asyncpg.create_pool(address, min_size=1, max_size=1, ssl=False)
        async with pool, pool.acquire() as connection:
            # A composite type, which asyncpg has to look up.
            return [row["c"]["brand"] for row in await connection.fetch("SELECT c FROM cards c WHERE id = 1")]

    assert asyncio.run(work()) == ["Visa"]


def test_risk_is_on_record_and_past_statements_are_tried_again(policed: Gate, connect: Connect) -> None:
    clerk = connect("clerk")
    clerk.execute("SELECT pan FROM cards").fetchall()
    (found,) = policed.audit("search", "--text", "SELECT pan FROM cards", "--identity", "clerk")
    assert "it reads sensitive columns of all rows" in found["risks"]
    assert found["risk"] >= 30
    shown = policed.command("audit", "show", found["id"])
    assert "it reads sensitive columns of all rows" in shown

    policed.command("policy", "backtest", "--since", "1h")
    other = policed.folder / "other.toml"
    other.write_text(policed.config.read_text().replace('on = "public.*"', 'on = "public.orders"'))
    printed = policed.command("policy", "backtest", "--config", str(other), "--json", status=1)
    lines = [json.loads(line) for line in printed.splitlines()]
    assert ("SELECT pan FROM cards", "allow", "deny") in {(line["text"], line["was"], line["now"]) for line in lines}
    assert any("backtest" in event["detail"] for event in policed.audit("events", "--kind", "access"))


def test_explain_and_grants_ask_the_database(policed: Gate) -> None:
    explained = json.loads(policed.command("policy", "explain", "clerk", "DELETE FROM orders", "--json"))
    assert (explained["verdict"], explained["rules"]) == ("deny", ["policy.clerk.allow[2]"])
    grants = policed.command("policy", "grants", "strict").splitlines()
    assert [line for line in grants if "TABLE" in line] == [
        'GRANT SELECT ("id", "brand") ON TABLE "public"."cards" TO "strict";',
        'GRANT SELECT ON TABLE "public"."renamed" TO "strict";',
    ]


def test_a_database_role_that_is_granted_to_insert_can(policed: Gate, postgres: Database) -> None:
    """Defaults of serial columns draw from sequences, for which PostgreSQL asks whoever inserts."""
    grants = policed.command("policy", "grants", "teller")
    with postgres.connect() as connection:
        connection.execute("CREATE ROLE teller LOGIN PASSWORD 'teller-password'")
        try:
            connection.execute(grants)
            login = {"host": "127.0.0.1", "port": postgres.server.port, "user": "teller", "dbname": "shop"}
            with psycopg.connect(password="teller-password", autocommit=True, **login) as teller:
                teller.execute("INSERT INTO receipts (note) VALUES ('granted')")
                teller.execute("INSERT INTO slips (note) VALUES ('granted')")
                for refused in ("SELECT setval('counters.slips', 1)", "SELECT note FROM receipts", "TABLE filed"):
                    with pytest.raises(errors.InsufficientPrivilege):
                        teller.execute(refused)
        finally:
            connection.execute("DROP OWNED BY teller; DROP ROLE teller")
    assert [line.split(" ON ")[1] for line in grants.splitlines() if "SEQUENCE" in line] == [
        'SEQUENCE "public"."receipts_id_seq" TO "teller";',
        'SEQUENCE "counters"."slips" TO "teller";',
    ]


def test_a_copy_reads_the_table_that_was_judged_whatever_path_is_set_behind_its_bind(policed: Gate) -> None:
    with Wire(policed.port).log_in("wanderer", policed.add_agent("wanderer", "wanderer")) as wire:
        denied = wire.query("COPY counters.filed TO STDOUT")
        path = parse("SET search_path = counters") + bind() + execute()
        wire.send(parse("COPY filed TO STDOUT"), bind("p"), path, execute("p"), SYNC)
        moved = wire.read_until("Z")
        wire.send(parse("COPY filed TO STDOUT"), bind("p"), execute("p"), SYNC)
        answers = wire.read_until("Z")
    assert [message.fields["C"] for message in (*denied, *moved) if message.kind == "E"] == ["42501"] * 2
    assert "d" not in {message.kind for message in (*denied, *moved)}
    assert "E" not in {message.kind for message in answers}
