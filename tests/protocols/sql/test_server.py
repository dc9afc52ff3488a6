"""What we say of statements and functions, against what a running PostgreSQL says and does."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from tests.servers import Database

from gatepost import Effect
from gatepost_sql import facts
from gatepost_sql.functions import BUILT_IN, FUNCTIONS, OPERATORS, SETS

# Stable functions that are not taken as harmless, and volatile ones that are; postgres.toml says why.
KEPT_OUT = {
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "fmgr_c_validator",
    "fmgr_internal_validator",
    "fmgr_sql_validator",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_config",
    "pg_current_xact_id",
    "pg_extension_update_paths",
    "postgresql_fdw_validator",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "txid_current",
}

STATEMENTS = [
    "select 1",
    "select a, b as x, lower(b), a + 1, a::text, a::bigint, count(*) over () from t",
    "select case a when 1 then b end, case when true then 1 else a end, coalesce(a, 1), greatest(a, 2) from t",
    "select nullif(a, 1), a is null, array[a], row(a, b) from t",
    "select exists(select 1), array(select 1), (select a as q from t), 1 in (select 1)",
    "select current_date, current_user, localtime(1), session_user, current_catalog",
    "select extract(year from now()), position('a' in b), trim(both 'x' from b), now() at time zone 'utc' from t",
    "select json_scalar(1), json_array(1), json_object('a': 1), json_value('1', '$') from t",
    'select (array[1, 2])[1], (r).f, b collate "C", cast(b as varchar(3)) from (select b, row(1)::pair as r from t) x',
    "select grouping(a), a from t group by rollup (a)",
    "select a from t union all select b::int from t",
    "values (1, 2)",
    "insert into t values (1, 'x') returning a, upper(b)",
    "update t set a = 2 returning old.a, new.a, a * 2",
    "delete from t returning b",
    "merge into t using (select 1 as k) u on t.a = u.k when matched then delete returning merge_action(), t.a",
    "truncate t",
    "select a from t for update",
    "select nextval('s')",
    "select setval('s', 1)",
    "select txid_current()",
    "select writes()",
    "select * into z from t",
    "with x as (delete from t returning a) select a from x",
    "explain select a from t",
    "explain delete from t",
    "explain analyze delete from t",
    "explain analyze select a from t",
    "prepare p as delete from t",
    "declare c cursor for select a from t",
    "create table z (a int)",
    "create temp table z (a int)",
    "create view z as select a from t",
    "create index on t (a)",
    "alter table t add c int",
    "drop table t",
    "comment on table t is 'x'",
    "grant select on t to public",
    "create role z",
    "lock t in share mode",
    "analyze t",
    "do $$ begin delete from t; end $$",
    "call changes()",
    "notify z",
    "listen z",
    "set a.b = 'c'",
    "select set_config('a.b', 'c', false)",
    "show search_path",
    "savepoint z",
    "select random(), clock_timestamp(), gen_random_uuid()",
    "select pg_size_pretty(pg_total_relation_size('t'))",
    "select relname from pg_class",
    "select * from pg_stat_activity",
    "select lo_create(0)",
    "refresh materialized view m",
    "table t",
]


@pytest.fixture(scope="module")
def server(postgres: Database) -> Iterator[psycopg.Connection]:
    with postgres.connect() as connection:
        connection.execute("create schema facts")
        connection.execute("set search_path = facts")
        connection.execute("create table t (a int, b text)")
        connection.execute("create type pair as (f int)")
        connection.execute("create sequence s")
        connection.execute("create materialized view m as select 1 as a")
        connection.execute("create function writes() returns void language sql as 'delete from facts.t'")
        connection.execute("create procedure changes() language sql as 'delete from facts.t'")
        yield connection
        connection.execute("drop schema facts cascade")


def outcome(server: psycopg.Connection, text: str, mode: str) -> tuple[str | None, bool]:
    """The SQLSTATE that a statement fails with, if it does, and whether it was given a transaction id."""
    server.execute(sql.SQL("begin " + mode))  # type: ignore[arg-type]
    try:
        server.execute(text.encode())
        changed = server.execute("select pg_current_xact_id_if_assigned() is not null").fetchone()
        return None, bool(changed and changed[0])
    except psycopg.Error as error:
        return error.sqlstate, False
    finally:
        server.execute("rollback")


@pytest.mark.parametrize("text", STATEMENTS)
def test_what_a_read_only_transaction_refuses_is_no_read(server: psycopg.Connection, text: str) -> None:
    refusal, _ = outcome(server, text, "read only")
    if refusal == "25006":
        assert facts(text).effect is not Effect.READ


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_read_runs_in_a_read_only_transaction_and_changes_nothing(server: psycopg.Connection, text: str) -> None:
    if facts(text).effect is Effect.READ:
        assert outcome(server, text, "read only") == (None, False)
        assert outcome(server, text, "read write") == (None, False)


@pytest.mark.parametrize("text", STATEMENTS)
def test_outputs_have_the_names_that_the_server_gives(server: psycopg.Connection, text: str) -> None:
    found = facts(text)
    if not found.outputs or found.effect not in (Effect.READ, Effect.WRITE):
        return
    with server.transaction(force_rollback=True):
        description = server.execute(text.encode()).description
    assert description is not None
    assert [output.name for output in found.outputs] == [column.name for column in description]


def names(server: psycopg.Connection, query: str) -> set[str]:
    return {row[0] for row in server.execute(query.encode())}


def test_harmless_functions_are_the_stable_ones_of_this_version(server: psycopg.Connection) -> None:
    stable = names(
        server,
        """select proname from pg_proc
           where pronamespace = 'pg_catalog'::regnamespace and not 'internal'::regtype = any (proargtypes)
             and prorettype not in ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype)
           group by proname having bool_and(provolatile in ('i', 's'))""",
    )
    every = names(server, "select proname from pg_proc where pronamespace = 'pg_catalog'::regnamespace")
    known = set(FUNCTIONS)
    assert known <= every == BUILT_IN
    assert stable - known == KEPT_OUT - known
    assert not {name for name in KEPT_OUT if FUNCTIONS.get(name) is Effect.READ}


def test_functions_that_return_sets_are_those_of_this_version(server: psycopg.Connection) -> None:
    sets = names(
        server,
        "select proname from pg_proc where pronamespace = 'pg_catalog'::regnamespace and proretset and pronargs > 0",
    )
    assert {name for name in sets if FUNCTIONS.get(name) is Effect.READ} == SETS


def test_operators_are_those_of_this_version(server: psycopg.Connection) -> None:
    assert names(server, "select oprname from pg_operator where oprnamespace = 'pg_catalog'::regnamespace") == OPERATORS
    volatile = "select oprname from pg_operator join pg_proc p on p.oid = oprcode where provolatile = 'v'"
    assert names(server, volatile) == set()
