"""The inspector against a real server: what it reads, with a login that has no right on any table."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import psycopg
import pytest
from tests.servers import Database

from gatepost import tls
from gatepost.adapter import TlsPolicy, TlsTerms
from gatepost.errors import UpstreamFault
from gatepost.values import Origin, Secret, Target, UpstreamCredentials
from gatepost_postgres import ADAPTER, inspector
from gatepost_sql import Context, facts
from gatepost_sql.catalogue import Attribute, Cast, Catalogue, RelationKind, Volatility

PASSWORD = "inspector-password"
DEFINED = """
CREATE SCHEMA trade;
CREATE SCHEMA idle;
CREATE TYPE trade.mood AS ENUM ('calm', 'wild');
CREATE DOMAIN trade.percent AS int CHECK (VALUE <= 100);
CREATE TABLE trade.deals (id serial PRIMARY KEY, gone text, share trade.percent, "Odd Name" text);
ALTER TABLE trade.deals DROP COLUMN gone;
CREATE TABLE trade.made (b text, a text, joined text GENERATED ALWAYS AS (reverse(b) || a) STORED, c text DEFAULT 'x');
CREATE VIEW trade.shares AS SELECT id AS deal, share FROM trade.deals;
CREATE MATERIALIZED VIEW trade.stored AS SELECT pan FROM public.cards;
CREATE TABLE trade.parted (at date) PARTITION BY RANGE (at);
CREATE TABLE trade.part PARTITION OF trade.parted DEFAULT;
CREATE INDEX by_day ON trade.parted (at);
CREATE FUNCTION trade.half(n int, m int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n / m';
CREATE FUNCTION trade.parsed() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;
CREATE FUNCTION trade.noted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET work_mem = '8MB'
    AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noted BEFORE INSERT ON trade.deals FOR EACH ROW EXECUTE FUNCTION trade.noted();
CREATE RULE quiet AS ON DELETE TO trade.parted DO INSTEAD NOTHING;
CREATE FUNCTION trade.alike(trade.mood, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR trade.=== (LEFTARG = trade.mood, RIGHTARG = text, FUNCTION = trade.alike);
CREATE FUNCTION trade.told(trade.mood) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE CAST (trade.mood AS int) WITH FUNCTION trade.told(trade.mood);
"""


def prepare(server: Database) -> None:
    with server.connect() as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS trade, idle CASCADE; {DEFINED}")
        with contextlib.suppress(psycopg.errors.DuplicateObject):
            connection.execute(f"CREATE ROLE inspector LOGIN PASSWORD '{PASSWORD}'")


@pytest.fixture(scope="module")
def inspected(postgres: Database) -> Iterator[Database]:
    prepare(postgres)
    yield postgres
    with postgres.connect() as connection:
        connection.execute("DROP SCHEMA trade, idle CASCADE; DROP ROLE inspector")


NO_TLS = TlsTerms()


def inspect(server: Database, terms: TlsTerms = NO_TLS, database: str = "shop", password: str = PASSWORD) -> Catalogue:
    target = Target(name="shop", protocol="postgres", host="127.0.0.1", port=server.server.port, database=database)
    credentials = UpstreamCredentials(user="inspector", password=Secret(password))
    catalogue = asyncio.run(ADAPTER.inspect(target, credentials, terms))
    assert isinstance(catalogue, Catalogue)
    return catalogue


@pytest.fixture(scope="module")
def catalogue(inspected: Database) -> Catalogue:
    return inspect(inspected)


def test_tables_and_their_columns(catalogue: Catalogue) -> None:
    assert catalogue.database == "shop"
    assert catalogue.tables["trade.deals"] == ("id", "share", "Odd Name")
    assert catalogue.tables["public.cards"] == ("id", "customer", "brand", "pan", "expires")
    assert "pg_catalog.pg_stats" in catalogue.tables
    deals = catalogue.relations_named("deals")["trade"][0]
    assert deals.attributes == (
        Attribute(1, "id", "pg_catalog.int4", sequences=("trade.deals_id_seq",)),
        Attribute(3, "share", "trade.percent"),
        Attribute(4, "Odd Name", "pg_catalog.text"),
    )
    assert deals.has_triggers
    assert not deals.has_rules
    assert catalogue.relations_named("parted")["trade"][0].has_rules
    kinds = {name: catalogue.relations_named(name)["trade"][0].kind for name in ("stored", "parted", "deals_id_seq")}
    assert kinds == {
        "stored": RelationKind.MATERIALIZED,
        "parted": RelationKind.PARTITIONED,
        "deals_id_seq": RelationKind.SEQUENCE,
    }


def test_a_generated_column_is_what_it_is_made_of(catalogue: Catalogue) -> None:
    made = catalogue.relations_named("made")["trade"][0]
    assert {each.name: each.sources for each in made.attributes} == {"b": (), "a": (), "joined": ("b", "a"), "c": ()}
    (output,) = ADAPTER.facts("SELECT joined FROM trade.made", catalogue).outputs
    assert set(output.origins or ()) == {Origin("trade.made", name) for name in ("joined", "a", "b")}
    assert not output.is_direct


def test_views_are_defined_with_all_names_in_full(catalogue: Catalogue) -> None:
    shares = catalogue.relations_named("shares")["trade"][0]
    assert " ".join(shares.definition.split()) == "SELECT id AS deal, share FROM trade.deals;"
    assert not shares.has_rules


def test_functions_operators_casts_and_types(catalogue: Catalogue) -> None:
    half = catalogue.functions_named("half")["trade"][0]
    assert (half.language, half.volatility, half.body) == ("sql", Volatility.IMMUTABLE, "SELECT n / m")
    assert [half.takes(count) for count in range(4)] == [False, True, True, False]
    assert "SELECT 1" in catalogue.functions_named("parsed")["trade"][0].body
    noted = catalogue.functions_named("noted")["trade"][0]
    assert (noted.is_definer, noted.language, noted.body) == (True, "plpgsql", "")
    assert noted.settings == ("work_mem=8MB",)
    assert noted.owner == "postgres"
    (operator,) = catalogue.operators_named("===")["trade"]
    alike = catalogue.function(operator.function)
    assert alike is not None
    assert alike.name == "alike"
    (told,) = catalogue.functions_named("told")["trade"]
    assert catalogue.casts == (Cast(source="trade.mood", target="pg_catalog.int4", function=told.oid),)
    assert catalogue.types_named("percent")["trade"][0].is_checked
    assert not catalogue.types_named("mood")["trade"][0].is_checked
    assert catalogue.types_named("deals") == {}


def test_an_older_server_with_tls(postgres_tls: Database) -> None:
    prepare(postgres_tls)
    context = tls.client_context(tls.UpstreamMode.REQUIRE, "", "", "", ADAPTER.alpn)
    catalogue = inspect(postgres_tls, TlsTerms(policy=TlsPolicy.REQUIRED, context=context))
    assert "trade.shares" in catalogue.tables
    with pytest.raises(UpstreamFault, match="28000"):
        inspect(postgres_tls)


def test_tls_where_there_is_none(inspected: Database) -> None:
    context = tls.client_context(tls.UpstreamMode.PREFER, "", "", "", ADAPTER.alpn)
    assert inspect(inspected, TlsTerms(policy=TlsPolicy.OPTIONAL, context=context)).tables
    with pytest.raises(UpstreamFault, match="cannot be inspected"):
        inspect(inspected, TlsTerms(policy=TlsPolicy.REQUIRED, context=context))


def test_a_login_that_is_refused_is_told_without_its_name(inspected: Database) -> None:
    with pytest.raises(UpstreamFault, match="SQLSTATE 28P01") as refused:
        inspect(inspected, password="wrong")
    assert "inspector" not in str(refused.value)


def test_a_database_must_be_named(inspected: Database) -> None:
    with pytest.raises(UpstreamFault, match="which database"):
        inspect(inspected, database="")


def test_a_catalogue_that_is_too_large_is_not_taken(inspected: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector, "MAX_ROWS", 100)
    with pytest.raises(UpstreamFault, match="too large"):
        inspect(inspected)


def test_a_database_that_is_down() -> None:
    target = Target(name="shop", protocol="postgres", host="127.0.0.1", port=1, database="shop")
    with pytest.raises(UpstreamFault, match="cannot be inspected"):
        asyncio.run(ADAPTER.inspect(target, UpstreamCredentials(user="x"), TlsTerms()))


def test_partitions_know_what_they_are_part_of(catalogue: Catalogue) -> None:
    (parted,), (part,) = (catalogue.relations_named(name)["trade"] for name in ("parted", "part"))
    assert (parted.parents, part.parents) == ((), (parted.oid,))


def test_indexes_know_their_tables(catalogue: Catalogue) -> None:
    tables = {}
    for name in ("deals_pkey", "by_day", "part_at_idx"):
        (index,) = catalogue.relations_named(name)["trade"]
        assert index.attributes == ()
        table = catalogue.relation(index.table)
        tables[index.kind, name] = table and table.qualified
    assert tables == {
        (RelationKind.INDEX, "deals_pkey"): "trade.deals",
        (RelationKind.PARTITIONED_INDEX, "by_day"): "trade.parted",
        (RelationKind.INDEX, "part_at_idx"): "trade.part",
    }
    assert "trade.by_day" not in catalogue.tables
    assert [use.name for use in ADAPTER.facts("DROP INDEX trade.part_at_idx", catalogue).objects] == ["trade.part"]


def test_schemas_are_known_though_they_hold_nothing(catalogue: Catalogue) -> None:
    names = ("idle", "public", "pg_catalog", "inspector")
    assert [catalogue.may_have(name) for name in names] == [True, True, True, False]
    context = Context(catalogue=catalogue, search_path=("inspector", "idle", "public"))
    (use,) = facts("CREATE TABLE made (id int)", context=context).objects
    assert use.name == "idle.made"
    assert [use.name for use in facts("DROP TYPE made", context=context).objects] == ["idle.made", "public.made"]
