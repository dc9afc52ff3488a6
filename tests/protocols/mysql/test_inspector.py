"""The inspector against real servers: what it reads with a login that may read no row, and what that makes of texts."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pymysql
import pytest
from tests import mysql_wire as wire
from tests.mysql_servers import MySqlDatabase

from gatepost import tls
from gatepost.adapter import TlsPolicy, TlsTerms
from gatepost.errors import FaultCode, UpstreamFault
from gatepost.values import Effect, Origin, Secret, Target, UpstreamCredentials
from gatepost_mysql import ADAPTER, inspector
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.handshake import Upstream
from gatepost_sql.catalogue import Catalogue, RelationKind, Volatility

PASSWORD = "inspector-password"
LOGIN = "watcher@'127.0.0.1'"
DEFINED = [
    "CREATE TABLE deals (id INT PRIMARY KEY, Share DECIMAL(5, 2), secret INT INVISIBLE)",
    "CREATE TABLE made (`od``d` TEXT AS (REVERSE(B)), later TEXT AS (CONCAT(`od``d`, 'a')), b TEXT, a TEXT)",
    "CREATE VIEW shares AS SELECT id AS deal, share FROM deals WHERE secret > 0",
    "CREATE VIEW unseen AS SELECT pan FROM cards",
    "CREATE FUNCTION half(n INT) RETURNS INT DETERMINISTIC NO SQL RETURN n / 2",
    "CREATE TABLE kept (id INT) ENGINE=MyISAM",
    "CREATE TRIGGER noted BEFORE INSERT ON kept FOR EACH ROW SET NEW.id = 1",
    "CREATE TRIGGER unshown BEFORE INSERT ON deals FOR EACH ROW SET NEW.id = 1",
    f"CREATE USER {LOGIN} IDENTIFIED BY '{PASSWORD}'",
    f"GRANT REFERENCES ON shop.* TO {LOGIN}",
    f"GRANT SELECT, SHOW VIEW ON shop.shares TO {LOGIN}",
    f"GRANT TRIGGER ON shop.kept TO {LOGIN}",
    f"GRANT EXECUTE ON FUNCTION shop.half TO {LOGIN}",
]
DROPPED = ["DROP TABLE deals, kept, made", "DROP VIEW shares, unseen", "DROP FUNCTION half", f"DROP USER {LOGIN}"]


@pytest.fixture(scope="module")
def inspected(mysql_server: MySqlDatabase) -> Iterator[MySqlDatabase]:
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        for statement in DEFINED:
            cursor.execute(statement)
        yield mysql_server
        for statement in DROPPED:
            cursor.execute(statement)


NO_TLS = TlsTerms()
# TLS that believes every certificate.
ANY = tls.client_context(tls.UpstreamMode.REQUIRE, "", "", "", ADAPTER.alpn)


def inspect(server: MySqlDatabase, terms: TlsTerms = NO_TLS, password: str = PASSWORD) -> Catalogue:
    target = Target(name="shop", protocol="mysql", host="127.0.0.1", port=server.server.port, database="shop")
    credentials = UpstreamCredentials(user="watcher", password=Secret(password))
    catalogue = asyncio.run(ADAPTER.inspect(target, credentials, terms))
    assert isinstance(catalogue, Catalogue)
    return catalogue


@pytest.fixture(scope="module")
def catalogue(inspected: MySqlDatabase) -> Catalogue:
    return inspect(inspected)


def test_tables_and_their_columns(catalogue: Catalogue) -> None:
    (deals,) = catalogue.relations_named("deals")["shop"]
    assert deals.kind is RelationKind.TABLE
    assert [(each.name, each.is_hidden) for each in deals.attributes] == [
        ("id", False),
        ("Share", False),
        ("secret", True),
    ]
    assert catalogue.tables["shop.cards"] == ("id", "customer", "brand", "pan", "expires")
    assert "table_name" in catalogue.tables["information_schema.tables"]
    assert catalogue.database == "shop"


def test_a_generated_column_is_what_it_is_made_of(catalogue: Catalogue) -> None:
    (made,) = catalogue.relations_named("made")["shop"]
    assert {each.name: each.sources for each in made.attributes} == {
        "od`d": ("b",),
        "later": ("od`d", "b"),
        "b": (),
        "a": (),
    }
    (output,) = ADAPTER.facts("SELECT later FROM made", catalogue).outputs
    assert set(output.origins or ()) == {Origin("shop.made", name) for name in ("later", "od`d", "b")}
    assert not output.is_direct


def test_views_have_their_definitions_where_the_login_is_shown_them(catalogue: Catalogue) -> None:
    (shares,) = catalogue.relations_named("shares")["shop"]
    (unseen,) = catalogue.relations_named("unseen")["shop"]
    assert shares.kind is unseen.kind is RelationKind.VIEW
    assert "deals" in shares.definition
    assert not unseen.definition


def test_routines(catalogue: Catalogue) -> None:
    (half,) = catalogue.functions_named("half")["shop"]
    assert (half.kind, half.volatility, half.is_definer) == ("f", Volatility.IMMUTABLE, True)


def test_triggers_where_the_login_is_shown_them(catalogue: Catalogue) -> None:
    assert (catalogue.trigger("shop", "noted"), catalogue.trigger("shop", "unshown")) == ("shop.kept", "")
    found = [ADAPTER.facts(f"DROP TRIGGER {name}", catalogue).objects[0].name for name in ("noted", "shop.unshown")]
    assert found == ["shop.kept", "shop.*"]


def test_engines(catalogue: Catalogue) -> None:
    (kept,), (shares,) = (catalogue.relations_named(name)["shop"] for name in ("kept", "shares"))
    assert (kept.engine, shares.engine) == ("MyISAM", "")


def test_texts_are_judged_by_it(catalogue: Catalogue) -> None:
    found = ADAPTER.facts("SELECT * FROM shares", catalogue)
    assert (found.effect, found.is_resolved) == (Effect.READ, True)
    assert [output.origins for output in found.outputs] == [
        (Origin("shop.deals", "id"),),
        (Origin("shop.deals", "Share"),),
    ]
    assert {(use.name, use.via) for use in found.objects} == {("shop.shares", ""), ("shop.deals", "shop.shares")}
    assert ADAPTER.facts("SELECT * FROM unseen", catalogue).effect is Effect.UNKNOWN
    assert ADAPTER.facts("SELECT half(1)", catalogue).calls == ("shop.half",)


def test_the_login_reads_no_row(inspected: MySqlDatabase) -> None:
    options = {"host": "127.0.0.1", "port": inspected.server.port, "user": "watcher", "password": PASSWORD}
    with pymysql.connect(**options) as connection, connection.cursor() as cursor:
        for table in ("shop.cards", "shop.deals", "shop.unseen"):
            with pytest.raises(pymysql.OperationalError, match="denied"):
                cursor.execute(f"SELECT * FROM {table}")


def test_a_wrong_password_is_the_upstreams_refusal_and_not_quoted(inspected: MySqlDatabase) -> None:
    with pytest.raises(UpstreamFault) as refused:
        inspect(inspected, password="wrong-password")
    assert refused.value.code is FaultCode.UPSTREAM_REFUSED
    assert "watcher" not in str(refused.value)
    assert "wrong-password" not in str(refused.value)


def test_a_server_that_is_not_there() -> None:
    target = Target(name="shop", protocol="mysql", host="127.0.0.1", port=1)
    with pytest.raises(UpstreamFault):
        asyncio.run(ADAPTER.inspect(target, UpstreamCredentials(user="watcher"), TlsTerms()))


def test_a_catalogue_that_is_too_large(inspected: MySqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector, "MAX_ROWS", 10)
    with pytest.raises(UpstreamFault, match="too large"):
        inspect(inspected)


# Queries whose outputs are told, and so must be what the servers make of them.
QUERIES = """
SELECT * FROM cards
SELECT * FROM deals
SELECT deals.*, secret FROM deals
SELECT * FROM cards c, orders o
SELECT * FROM cards c RIGHT JOIN orders o ON c.id = o.id
SELECT * FROM cards c LEFT JOIN (orders o JOIN customers k ON k.id = o.customer) ON c.id = o.id
SELECT o.*, c.* FROM cards c RIGHT JOIN orders o ON c.id = o.id
SELECT * FROM (SELECT * FROM cards c RIGHT JOIN (SELECT total FROM orders) o ON 1 = 1) x
SELECT cards.* FROM cards JOIN orders USING (id)
SELECT cards.* FROM cards NATURAL JOIN orders
SELECT * FROM shares, deals
SELECT *, 1 AS one FROM cards
SELECT DISTINCT * FROM shares
SELECT * FROM cards STRAIGHT_JOIN orders
WITH w(q, r) AS (SELECT * FROM shares) SELECT * FROM w, cards
WITH RECURSIVE n(i, s) AS (SELECT 1, pan FROM cards UNION ALL SELECT i + 1, s FROM n WHERE i < 2) SELECT * FROM n
SELECT id FROM cards UNION SELECT total FROM orders
SELECT pan p, COUNT(*) many FROM cards GROUP BY p HAVING many > 0 ORDER BY p
SELECT BINARY pan AS a, pan COLLATE utf8mb4_bin AS b, id BETWEEN 1 AND 2 AS c, pan REGEXP 'x' AS d FROM cards
SELECT DATE_ADD(placed, INTERVAL 1 DAY) AS a, EXTRACT(YEAR FROM placed) AS b, IFNULL(total, 0) AS c FROM orders
SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = DATABASE()
""".strip().splitlines()


@pytest.mark.parametrize("query", QUERIES)
def test_outputs_are_those_of_the_server(inspected: MySqlDatabase, catalogue: Catalogue, query: str) -> None:
    with inspected.connect() as connection, connection.cursor() as cursor:
        cursor.execute(query)
        names = [str(each[0]).lower() for each in cursor.description]
    found = ADAPTER.facts(query, catalogue)
    assert found.effect is Effect.READ
    assert [output.name.lower() for output in found.outputs] == names


@pytest.mark.parametrize("policy", [TlsPolicy.OPTIONAL, TlsPolicy.REQUIRED])
def test_tls(inspected: MySqlDatabase, policy: TlsPolicy) -> None:
    assert inspect(inspected, TlsTerms(policy=policy, context=ANY)).tables


def test_a_server_without_tls_is_told_nothing_of_a_login_that_demands_it(plain_mysql_server: MySqlDatabase) -> None:
    with plain_mysql_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER {LOGIN} IDENTIFIED BY '{PASSWORD}'")
        cursor.execute(f"GRANT REFERENCES ON shop.* TO {LOGIN}")
    assert inspect(plain_mysql_server, TlsTerms(policy=TlsPolicy.OPTIONAL, context=ANY)).tables
    with pytest.raises(UpstreamFault) as refused:
        inspect(plain_mysql_server, TlsTerms(policy=TlsPolicy.REQUIRED, context=ANY))
    assert refused.value.code is FaultCode.TLS_REQUIRED


@pytest.mark.parametrize("terms", [NO_TLS, TlsTerms(policy=TlsPolicy.REQUIRED, context=ANY)])
def test_a_login_by_ed25519(inspected: MySqlDatabase, terms: TlsTerms) -> None:
    if inspected.flavour == "mysql":
        pytest.skip("MySQL has no such authentication")
    with inspected.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER USER {LOGIN} IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}')")
        try:
            assert inspect(inspected, terms).tables
            with pytest.raises(UpstreamFault, match="refused"):
                inspect(inspected, terms, password="wrong")
        finally:
            cursor.execute(f"ALTER USER {LOGIN} IDENTIFIED BY '{PASSWORD}'")


def recognise(port: int) -> Upstream:
    found = asyncio.run(ADAPTER.recognise(Target(name="shop", protocol="mysql", host="127.0.0.1", port=port)))
    assert isinstance(found, Upstream)
    return found


def test_what_a_server_is_without_a_login(inspected: MySqlDatabase) -> None:
    found = recognise(inspected.server.port)
    with inspected.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        ((version,),) = cursor.fetchall()
    assert found.version.decode().endswith(version)
    assert found.is_mariadb is (inspected.flavour == "mariadb")
    assert bool(found.capabilities & Capability.CACHE_METADATA) is found.is_mariadb
    assert bool(found.capabilities & Capability.QUERY_ATTRIBUTES) is not found.is_mariadb


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", FaultCode.UPSTREAM_DOWN),
        (wire.greeting()[:-1], FaultCode.UPSTREAM_DOWN),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None),
        (wire.packet(0, b"x" * 2000), None),
        (wire.packet(0, b""), None),
        (wire.packet(0, wire.err(1129, "Host is blocked")), FaultCode.UPSTREAM_REFUSED),
    ],
)
def test_a_server_that_says_something_else(said: bytes, code: FaultCode | None) -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(UpstreamFault) as refused:
            recognise(listener.getsockname()[1])
        thread.join()
    assert code is None or refused.value.code is code


def test_what_is_not_there_is_not_recognised() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UpstreamFault) as refused:
        recognise(port)
    assert refused.value.code is FaultCode.UPSTREAM_DOWN
