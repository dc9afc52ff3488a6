"""Which rule decides about what."""

from __future__ import annotations

import pytest
from tests.plugins.policy.deciding import NOON, Decider

from gatepost import Effect, Facts, Use
from gatepost_sql import Context, facts

READER = """
[roles.r]
require_catalogue = false
allow = [
  { do = "read", on = ["public.orders", "cards(id, holder)"] },
  { do = "update", on = "public.orders(state)" },
  { do = "delete", on = "public.notes", unbounded = true },
  { do = "delete", on = "public.orders" },
  { do = "call", on = "app.refund" },
]
"""
ALLOWED = ""
NO_RULE = "policy.r: no rule"


def resolved(verb: str, name: str, *columns: str, effect: Effect = Effect.READ) -> Facts:
    """Facts of one use of a table, as the catalogue settles them."""
    use = Use(verb=verb, name=name, columns=columns or None)
    return Facts(effect=effect, verbs=(verb,), objects=(use,), is_resolved=True)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("select 1, now()", ALLOWED),
        ("select * from orders", ALLOWED),
        ("select * from public.orders o where exists (select 1 from orders)", ALLOWED),
        ("select * from evil.orders", NO_RULE),
        ("select * from shop.public.orders", ALLOWED),
        ("select id, holder from cards where id = 1", ALLOWED),
        ("select id from other.cards", ALLOWED),
        ("select pan from cards", NO_RULE),
        ("select * from cards", NO_RULE),
        ("select c from cards c", NO_RULE),
        ("select id from cards where pan like '4%'", NO_RULE),
        ("select id from cards as c (x, y, id)", NO_RULE),
        ("select count(id) from cards as c (x, y, id)", NO_RULE),
        ("select 1 from cards as c (x, y, id) where id > '4'", NO_RULE),
        ("select id from (select * from cards) as c (x, y, id)", NO_RULE),
        ("update orders set state = c.id from cards as c (x, y, id) where orders.id = 1", NO_RULE),
        ("select count(*) from cards", ALLOWED),
        ("select id from cards order by pan", NO_RULE),
        ("with d as (delete from orders where id = 1 returning *) select * from d", ALLOWED),
        ("with d as (delete from orders returning *) select * from d", "policy.r.allow[3]"),
        ("delete from orders", "policy.r.allow[3]"),
        ("delete from notes", ALLOWED),
        ("delete from cards where id = 1", NO_RULE),
        ("update orders set state = 'x' where id = 1", ALLOWED),
        ("update orders set state = 'x'", "policy.r.allow[1]"),
        ("update orders set amount = 1 where id = 1", NO_RULE),
        ("update orders set state = (select pan from cards) where id = 1", NO_RULE),
        ("insert into orders values (1)", NO_RULE),
        ("truncate orders", NO_RULE),
        ("merge into orders using cards on true when matched then delete", NO_RULE),
        ("select * from orders for update", ALLOWED),
        ("select id from cards for update", NO_RULE),
        ("select * into z from orders", NO_RULE),
        ("create table z (a int)", NO_RULE),
        ("drop table orders", NO_RULE),
        ("alter table orders rename state to pan", NO_RULE),
        ("copy orders to stdout", ALLOWED),
        ("copy (select * from orders) to stdout", ALLOWED),
        ("copy (select pan from cards) to stdout", NO_RULE),
        ("copy orders from stdin", NO_RULE),
        ("copy orders to '/tmp/x'", NO_RULE),
        ("copy orders to program 'cat'", NO_RULE),
        ("explain select * from orders", ALLOWED),
        ("explain analyze delete from orders", "policy.r.allow[3]"),
        ("explain select pan from cards", NO_RULE),
        ("declare c cursor for select pan from cards", NO_RULE),
        ("prepare p as delete from cards", NO_RULE),
        ("execute p", NO_RULE),
        ("do $$ begin delete from cards; end $$", NO_RULE),
        ("select app.refund(1)", ALLOWED),
        ("call app.refund(1)", ALLOWED),
        ("select refund(1)", NO_RULE),
        ("select app.other(1)", NO_RULE),
        ("select app.refund(pan) from cards", NO_RULE),
        ("select app.refund(1) operator(app.+) 2", NO_RULE),
        ("select nextval('s')", NO_RULE),
        ("select pg_advisory_lock(1)", NO_RULE),
        ("select pg_read_file('/etc/passwd')", NO_RULE),
        ("select query_to_xml('select pan from cards', true, false, '')", NO_RULE),
        ("select pg_get_viewdef('v'::regclass)", NO_RULE),
        ("select pg_catalog.pg_stat_get_activity(1)", NO_RULE),
        ("select pg_notify('c', holder) from cards", NO_RULE),
        ("listen c", NO_RULE),
        ("notify c", NO_RULE),
        ("grant select on orders to public", NO_RULE),
        ("create role r", NO_RULE),
        ("alter system set x = 1", NO_RULE),
        ("prepare transaction 'x'", NO_RULE),
        ("vacuum orders", NO_RULE),
        ("lock table cards", NO_RULE),
        ("select 1; commit; drop schema public cascade", NO_RULE),
        ("this is no SQL", NO_RULE),
    ],
)
def test_a_role_may_do_what_its_rules_allow_and_nothing_else(text: str, rule: str) -> None:
    assert Decider(READER).rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "begin isolation level serializable",
        "start transaction read only",
        "commit",
        "savepoint a; rollback to a; release a",
        "set application_name = 'x'; set statement_timeout = '5s'; set time zone 'UTC'; set datestyle = 'iso'",
        "select set_config('jit', 'off', false), current_setting('jit')",
        "select pg_advisory_unlock_all(); close all; unlisten *; reset all",
        "discard all",
        "show server_version",
        "select t.oid, format_type(t.oid, null) from pg_type t join pg_namespace n on n.oid = typnamespace",
        "select column_name from information_schema.columns, pg_catalog.pg_class",
        "select oid, proname from pg_proc",
        "deallocate p",
        "",
    ],
)
def test_what_sessions_and_drivers_do_by_themselves_needs_no_rule(text: str) -> None:
    assert Decider("[roles.r]").rule(text) == ALLOWED


@pytest.mark.parametrize(
    "text",
    [
        "set role admin",
        "reset role; set session authorization admin",
        "set search_path = evil, public",
        "set row_security = off",
        "set session_replication_role = replica",
        "select set_config('role', 'admin', false)",
        "select set_config('ro' || 'le', 'admin', false)",
        "update pg_settings set setting = 'x'",
        "select * from pg_authid",
        "select most_common_vals from pg_stats",
        "select query from pg_stat_activity",
        "select prosrc from pg_catalog.pg_proc",
        "select * from pg_proc",
        "select definition from pg_views",
        "select view_definition from information_schema.views",
        "select * from pg_largeobject",
        "select * from pg_read_file('/etc/passwd')",
        "select pg_catalog.lo_import('/etc/passwd')",
        "select pg_terminate_backend(1)",
        "select pg_get_functiondef('f'::regproc)",
    ],
)
def test_what_is_guarded_needs_a_rule_that_names_it(text: str) -> None:
    decider = Decider("[roles.r]\nrequire_catalogue = false\nallow = [{ do = 'all', on = '*' }]")
    assert decider.rule(text) == NO_RULE
    assert decider.rule("select * from anything") == ALLOWED


def test_rules_that_name_what_is_guarded_allow_it() -> None:
    decider = Decider(
        """
        [roles.r]
        allow = [
          { do = "set", on = ["role", "app.*"] },
          { do = "select", on = "pg_catalog.pg_stat_*" },
          { do = "call", on = "pg_get_viewdef" },
        ]
        """
    )
    assert decider.rule("set role admin") == ALLOWED
    assert decider.rule("select set_config('app.user', 'x', true)") == ALLOWED
    assert decider.rule("select query from pg_stat_activity") == ALLOWED
    assert decider.rule("select pg_get_viewdef('v'::regclass)") == ALLOWED
    assert decider.rule("set search_path = x") == NO_RULE


@pytest.mark.parametrize(
    ("allow", "deny", "facts", "rule"),
    [
        ("'public.*'", "'public.cards'", resolved("select", "public.cards", "id"), "policy.r.deny[0]"),
        ("'public.*'", "'public.cards'", resolved("select", "public.orders", "id"), ALLOWED),
        ("'public.cards'", "'public.*'", resolved("select", "public.cards", "id"), ALLOWED),
        ("'public.cards'", "'public.cards'", resolved("select", "public.cards", "id"), "policy.r.deny[0]"),
        ("'*.cards'", "'public.*'", resolved("select", "public.cards", "id"), ALLOWED),
        ("'cards'", "'public.cards'", resolved("select", "public.cards", "id"), "policy.r.deny[0]"),
        ("'public.car*'", "'public.ca*'", resolved("select", "public.cards", "id"), ALLOWED),
        ("'public.cards'", "'public.cards(pan)'", resolved("select", "public.cards", "id"), ALLOWED),
        ("'public.cards'", "'public.cards(pan)'", resolved("select", "public.cards", "id", "pan"), "policy.r.deny[0]"),
        ("'public.cards'", "'public.cards(pan)'", resolved("select", "public.cards"), "policy.r.deny[0]"),
        ("'public.cards'", "'*(pan)'", resolved("select", "public.cards", "pan"), ALLOWED),
        ("'public.cards(pan_last4)'", "'public.cards(pan*)'", resolved("select", "public.cards", "pan_last4"), ALLOWED),
        ("'public.cards(p*)'", "'public.cards(pan)'", resolved("select", "public.cards", "pan"), "policy.r.deny[0]"),
        ("'public.cards(id)'", "'public.cards(pan)'", resolved("select", "public.cards", "name"), NO_RULE),
        ("'public.cards(*)'", "'x'", resolved("select", "public.cards"), ALLOWED),
    ],
)
def test_the_most_specific_rule_decides_and_deny_over_allow(allow: str, deny: str, facts: Facts, rule: str) -> None:
    decider = Decider(
        f"[roles.r]\nallow = [{{ do = 'select', on = {allow} }}]\ndeny = [{{ do = 'select', on = {deny} }}]"
    )
    assert decider.rule(facts) == rule


@pytest.mark.parametrize(
    ("do", "on", "fact"),
    [
        ("select", "shop.payroll", resolved("select", "shop.Payroll", "id")),
        ("select", "shop.payroll", resolved("select", "SHOP.PAYROLL", "id")),
        ("select", "Shop.Pay*", resolved("select", "shop.payroll", "id")),
        ("select", "shop.cards(PAN)", resolved("select", "shop.cards", "pan")),
        ("select", "shop.cards(pan)", resolved("select", "shop.cards", "PAN")),
        ("select", "shop.cards(P*)", Facts(effect=Effect.READ, objects=(Use(verb="select", name="shop.cards"),))),
        ("call", "app.refund", facts("CALL app.REFUND()", dialect="mysql")),
        ("call", "app.refund", facts("CALL App.Refund()", dialect="mysql")),
        ("call", "app.Refund", facts("SELECT app.refund()", dialect="mysql")),
        ("define", "app.refund", facts("DROP PROCEDURE app.REFUND", dialect="mysql")),
    ],
)
def test_another_case_of_letters_gets_around_no_deny_rule(do: str, on: str, fact: Facts) -> None:
    """MySQL takes names of columns and routines for the same in any case; those of tables, where it is told to."""
    decider = Decider(
        f'''[roles.r]
        require_catalogue = false
        allow = [{{ do = "all", on = ["*", "*.*"] }}]
        deny = [{{ do = "{do}", on = "{on}" }}]'''
    )
    assert decider.rule(fact) == "policy.r.deny[0]"


@pytest.mark.parametrize(
    "fact",
    [
        resolved("select", "MySQL.user", "authentication_string"),
        resolved("select", "PG_TOAST.pg_toast_1", "chunk_data"),
        facts("SELECT SYS_EXEC('id')", dialect="mysql"),
        facts("SELECT `Sys_Exec`('id')", dialect="mysql"),
    ],
)
def test_what_is_guarded_is_so_in_any_case_of_letters(fact: Facts) -> None:
    decider = Decider('[roles.r]\nrequire_catalogue = false\nallow = [{ do = "all", on = "*" }]')
    assert decider.rule(fact) == NO_RULE


@pytest.mark.parametrize("call", ["`LOAD_FILE`('/etc/hostname')", "`SLEEP`(9)"])
def test_a_function_of_the_server_in_quotes_is_none_of_the_current_database(call: str) -> None:
    decider = Decider('[roles.r]\nrequire_catalogue = false\nallow = [{ do = ["read", "call"], on = "shop.*" }]')
    shop = Context(search_path=("shop",))
    assert decider.rule(facts("SELECT `mine`()", "mysql", shop)) == ALLOWED
    assert decider.rule(facts(f"SELECT {call}", "mysql", shop)) == NO_RULE


def test_an_allow_rule_allows_names_as_they_are_written() -> None:
    decider = Decider('[roles.r]\nrequire_catalogue = false\nallow = [{ do = "select", on = "public.cards(id)" }]')
    assert decider.rule(resolved("select", "public.cards", "id")) == ALLOWED
    assert decider.rule(resolved("select", "public.Cards", "id")) == NO_RULE
    assert decider.rule(resolved("select", "public.cards", "ID")) == NO_RULE


def test_a_verb_that_is_named_is_more_specific_than_its_group_and_a_target_than_any() -> None:
    decider = Decider(
        """
        [roles.r]
        allow = [{ do = "insert", on = "t" }, { do = "read", on = "t", targets = "shop" }]
        deny = [{ do = "write", on = "t" }, { do = "read", on = "t" }]
        """
    )
    insert = resolved("insert", "public.t", "a", effect=Effect.WRITE)
    update = resolved("update", "public.t", "a", effect=Effect.WRITE)
    select = resolved("select", "public.t", "a")
    assert decider.rule(insert) == ALLOWED
    assert decider.rule(update) == "policy.r.deny[0]"
    assert decider.rule(select) == ALLOWED
    assert decider.rule(select, target="other") == "policy.r.deny[1]"


def test_rows_without_any_column_are_counted_by_whoever_may_read_one() -> None:
    decider = Decider("[roles.r]\nallow = [{ do = 'select', on = 'cards(id)' }]")
    count = Facts(
        effect=Effect.READ,
        verbs=("select",),
        objects=(Use(verb="select", name="public.cards", columns=()),),
        is_resolved=True,
    )
    assert decider.rule(count) == ALLOWED


def test_of_several_roles_each_thing_must_be_allowed_by_one() -> None:
    decider = Decider(
        """
        [roles.a]
        allow = [{ do = "read", on = "public.orders" }]
        deny = [{ do = "read", on = "public.cards" }]
        [roles.b]
        allow = [{ do = "read", on = "public.cards" }]
        require_catalogue = false
        """
    )
    both = Facts(
        effect=Effect.READ,
        verbs=("select",),
        objects=(Use(verb="select", name="public.orders"), Use(verb="select", name="public.cards")),
        is_resolved=True,
    )
    assert decider.rule(both, "a", "b") == ALLOWED
    assert decider.rule(both, "a") == "policy.a.deny[0]"
    assert decider.rule(both, "b") == "policy.b: no rule"
    assert decider.rule(both, "nobody") == "policy.roles"
    assert decider.rule("begin", "nobody") == "policy.roles"


def test_a_name_without_a_schema_means_each_in_the_search_path() -> None:
    rules = "allow = [{ do = 'read', on = 'public.cards' }, { do = 'read', on = 'app.*' }]"
    assert Decider(f"[roles.r]\n{rules}").rule("select id from cards") == ALLOWED
    both = Decider(f"[roles.r]\nsearch_path = ['app', 'public']\n{rules}")
    assert both.rule("select id from cards") == ALLOWED
    assert both.rule("select id from orders") == NO_RULE
    assert Decider(f"[roles.r]\nsearch_path = []\n{rules}").rule("select id from cards") == "policy.r.search_path"


def test_a_role_whose_rules_depend_on_the_catalogue_waits_for_it() -> None:
    with_columns = Decider("[roles.r]\nallow = [{ do = 'read', on = 'public.cards(id)' }]")
    with_denials = Decider(
        "[roles.r]\nallow = [{ do = 'read', on = '*' }]\ndeny = [{ do = 'read', on = 'public.cards' }]"
    )
    for decider in (with_columns, with_denials):
        denial = decider.denial("select id from cards" if decider is with_columns else "select id from v")
        assert denial is not None
        assert denial.rule == "policy.r.require_catalogue"
        assert "try again in a moment" in denial.hint
        assert decider.rule("begin; set statement_timeout = 1; select 1") == ALLOWED
        assert decider.rule("select oid from pg_type") == ALLOWED
    assert with_denials.rule("select id from cards") == "policy.r.deny[0]"
    assert with_columns.rule("select id from unknown") == NO_RULE


def test_hours_networks_length_and_depth_bound_a_role() -> None:
    decider = Decider(
        """
        [roles.r]
        hours = "mon-fri 08:00-18:00 Europe/Berlin"
        networks = ["10.0.0.0/8", "::1"]
        max_length = 40
        max_depth = 2
        allow = [{ do = "read", on = "public.*" }]
        """
    )
    inside = {"client": "10.1.2.3:5"}
    assert decider.rule("select * from t", **inside) == ALLOWED
    assert decider.rule("select * from t", client="[::1]:5") == ALLOWED
    assert decider.rule("select * from t", client="[::ffff:10.0.0.1]:5") == ALLOWED
    assert decider.rule("select * from t", client="192.168.0.1:5") == "policy.r.networks"
    assert decider.rule("select * from t", client="") == "policy.r.networks"
    assert decider.rule("select * from t", **inside, at=NOON + 6 * 3600) == "policy.r.hours"
    assert decider.rule("select * from t", **inside, at=NOON + 3 * 86400) == "policy.r.hours"
    assert decider.rule("select * from t where aaaaaaaaaaaaaaaaaaaa = 1", **inside) == "policy.r.max_length"
    assert decider.rule("select (select (select 1)) from t", **inside) == "policy.r.max_depth"


def test_a_rule_holds_in_its_hours_and_networks_alone() -> None:
    decider = Decider(
        """
        [roles.r]
        require_catalogue = false
        allow = [
          { do = "read", on = "public.*" },
          { do = "delete", on = "public.*", hours = "22:00-06:00 UTC", networks = ["10.0.0.1"] },
        ]
        deny = [{ do = "read", on = "public.*", hours = "sat,sun 00:00-24:00 UTC" }]
        """
    )
    night = NOON + 11 * 3600
    assert decider.rule("delete from t where a = 1", client="10.0.0.1:5", at=night) == ALLOWED
    assert decider.rule("delete from t where a = 1", client="10.0.0.1:5", at=night + 4 * 3600) == ALLOWED
    assert decider.rule("delete from t where a = 1", client="10.0.0.1:5") == NO_RULE
    assert decider.rule("delete from t where a = 1", client="10.0.0.2:5", at=night) == NO_RULE
    assert decider.rule("select a from t", at=NOON + 3 * 86400) == "policy.r.deny[0]"


@pytest.mark.parametrize(
    "text",
    [
        f"select {', '.join(f'f{n}()' for n in range(600))}",
        f"select 1 from {', '.join(f't{n}' for n in range(600))}",
        f"insert into orders ({', '.join(f'c{n}' for n in range(5000))}) select 1",
    ],
)
def test_what_would_take_long_to_judge_is_refused(text: str) -> None:
    assert Decider("[roles.r]\nallow = [{ do = 'all', on = '*' }]").rule(text) == "policy.size"


def test_the_smallest_limit_of_rows_holds() -> None:
    decider = Decider(
        """
        [roles.r]
        rows = 1000
        allow = [
          { do = "read", on = "public.orders" },
          { do = "read", on = "public.cards", rows = 10 },
          { do = "read", on = "public.logs", rows = 5000 },
        ]
        """
    )

    def limit(text: str) -> tuple[int, str]:
        found = decider.ruling(text).limit
        assert found is not None
        return found.rows, found.rule

    assert limit("select * from orders") == (1000, "policy.r.allow[0]")
    assert limit("select * from orders join cards on true") == (10, "policy.r.allow[1]")
    assert limit("select * from logs") == (5000, "policy.r.allow[2]")
    assert limit("select generate_series(1, 1000000)") == (1000, "policy.r.rows")
    assert decider.ruling("select oid from pg_type").limit is None
    assert decider.ruling("begin").limit is None


def test_of_several_roles_the_most_generous_limit_of_rows_holds() -> None:
    decider = Decider(
        """
        [roles.few]
        rows = 10
        allow = [{ do = "read", on = ["public.orders", "public.cards"] }]
        [roles.many]
        rows = 1000
        allow = [{ do = "read", on = "public.orders" }]
        [roles.all]
        allow = [{ do = "read", on = "public.orders" }]
        """
    )

    def rows(text: str, *roles: str) -> int | None:
        limit = decider.ruling(text, *roles).limit
        return None if limit is None else limit.rows

    assert rows("select * from orders", "few", "many") == 1000
    assert rows("select * from orders", "few", "all") is None
    assert rows("select * from orders, cards", "few", "many") == 10
    assert rows("select generate_series(1, 100)", "few", "many") == 1000


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        (
            "select id, pan from cards",
            "You may not select cards(pan).",
            "You may select cards(id, holder); leave out pan.",
        ),
        (
            "select * from cards",
            "You may not select all columns of cards.",
            "You may select cards(id, holder); name the columns that you need, and no *.",
        ),
        (
            "select * from secrets",
            "You may not select all columns of secrets.",
            "What your roles let you select: public.orders, cards(id, holder).",
        ),
        (
            "delete from orders",
            "The statement would delete all rows of orders.",
            "Add a WHERE that selects the rows that you mean.",
        ),
        ("select evil()", "You may not call the function evil.", "What your roles let you call: app.refund."),
        (
            "drop table orders",
            "You may not create, alter or drop orders.",
            "Your roles allow no such thing. "
            "Do not try to get around this; ask the operator of the gate if you need it.",
        ),
        (
            "nonsense",
            "What the statement does cannot be told: PostgreSQL's grammar does not accept the text.",
            "Write it as plain statements, one at a time, with the built-in functions and operators.",
        ),
    ],
)
def test_a_denial_says_what_was_refused_and_what_to_do_instead(text: str, reason: str, hint: str) -> None:
    denial = Decider(READER).denial(text)
    assert denial is not None
    assert (denial.reason, denial.hint) == (reason, hint)


@pytest.mark.parametrize(
    ("do", "on", "rule"),
    [
        ('["insert", "load"]', "shop.orders", ALLOWED),
        ('["insert", "load"]', "shop.orders(id, total)", ALLOWED),
        ('["insert", "load"]', "shop.orders(id)", NO_RULE),
        ('"all"', "shop.*", ALLOWED),
        ('["read", "write"]', "shop.*", NO_RULE),
        ('"load"', "shop.*", NO_RULE),
    ],
)
def test_a_local_file_is_loaded_by_who_may_insert_and_load(do: str, on: str, rule: str) -> None:
    decider = Decider(f'[roles.r]\nrequire_catalogue = false\nallow = [{{ do = {do}, on = "{on}" }}]')
    load = "LOAD DATA LOCAL INFILE 'x' INTO TABLE shop.orders (id) SET total = 1"
    assert decider.rule(facts(load, "mysql")) == rule
    assert decider.rule(facts(load.replace("shop", "vault"), "mysql")) == NO_RULE
    # What the server reads from its own files is another thing.
    if do != '"all"':
        assert decider.rule(facts(load.replace("LOCAL", ""), "mysql")) == NO_RULE


def test_an_agent_may_end_its_own_sessions_without_a_rule() -> None:
    decider = Decider("[roles.r]")
    assert decider.rule(facts("KILL 12", "mysql")) == ALLOWED
    assert decider.rule(facts("KILL USER root", "mysql")) == NO_RULE


DEFINER = """
[roles.r]
require_catalogue = false
allow = [{ do = "define", on = "shop.*" }, { do = "set", on = "*" }]
"""


@pytest.mark.parametrize(
    ("text", "dialect", "rule"),
    [
        ("CREATE INDEX i ON shop.cards (pan)", "mysql", ALLOWED),
        ("CREATE INDEX i ON vault.cards (pan)", "mysql", NO_RULE),
        ("DROP INDEX i ON vault.cards", "mysql", NO_RULE),
        ("CREATE TABLE shop.z (a INT REFERENCES cards (id)) ENGINE=InnoDB", "mysql", ALLOWED),
        ("CREATE TABLE shop.z (a INT REFERENCES vault.cards (id))", "mysql", NO_RULE),
        ("ALTER TABLE shop.z ADD FOREIGN KEY (a) REFERENCES vault.cards (id)", "mysql", NO_RULE),
        ("CREATE TABLE shop.z LIKE vault.cards", "mysql", NO_RULE),
        ("ALTER TABLE shop.z CONVERT TABLE vault.cards TO PARTITION p VALUES LESS THAN (1)", "mysql", NO_RULE),
        ("CREATE TABLE shop.z (a INT) ENGINE=FEDERATED CONNECTION='mysql://127.0.0.1/x/y'", "mysql", NO_RULE),
        ("SET default_storage_engine = CONNECT", "mysql", NO_RULE),
        ("SET sort_buffer_size = 1", "mysql", ALLOWED),
        ("CREATE INDEX ON shop.cards (pan)", "postgres", ALLOWED),
        ("CREATE INDEX ON vault.cards (pan)", "postgres", NO_RULE),
        ("CREATE TABLE shop.z (a int REFERENCES shop.cards)", "postgres", ALLOWED),
        ("CREATE TABLE shop.z (a int REFERENCES vault.cards)", "postgres", NO_RULE),
        ("ALTER TABLE shop.z ADD FOREIGN KEY (a) REFERENCES vault.cards", "postgres", NO_RULE),
        ("CREATE TABLE shop.z (LIKE vault.cards)", "postgres", NO_RULE),
        ("CREATE TABLE shop.z PARTITION OF vault.cards DEFAULT", "postgres", NO_RULE),
        ("CREATE TABLE shop.z () INHERITS (vault.cards)", "postgres", NO_RULE),
        ("DROP TRIGGER t ON vault.cards", "postgres", NO_RULE),
        # Before the name of the trigger stands that of its table.
        ("DROP TRIGGER t ON shop", "postgres", NO_RULE),
        ("CREATE FOREIGN TABLE shop.z (a int) SERVER s", "postgres", NO_RULE),
        ("ALTER FOREIGN TABLE shop.z OPTIONS (SET filename '/etc/passwd')", "postgres", NO_RULE),
        ("ALTER FOREIGN TABLE shop.z ALTER a OPTIONS (ADD column_name 'b')", "postgres", NO_RULE),
        ("CREATE SERVER s FOREIGN DATA WRAPPER f", "postgres", NO_RULE),
        ("COMMENT ON COLUMN shop.cards.pan IS ''", "postgres", ALLOWED),
        ("COMMENT ON COLUMN vault.cards.pan IS ''", "postgres", NO_RULE),
        ("COMMENT ON SCHEMA shop IS ''", "postgres", ALLOWED),
        ("COMMENT ON DATABASE shop IS ''", "postgres", NO_RULE),
        ("DROP INDEX shop.i", "postgres", ALLOWED),
        ("DROP INDEX vault.i", "postgres", NO_RULE),
        ("DROP TRIGGER shop.i", "mysql", ALLOWED),
        ("DROP TRIGGER vault.i", "mysql", NO_RULE),
        ("DROP SCHEMA shop", "postgres", ALLOWED),
        ("DROP SCHEMA vault", "postgres", NO_RULE),
        ("DROP SCHEMA shop CASCADE", "postgres", NO_RULE),
        ("DROP TABLE shop.z CASCADE", "postgres", NO_RULE),
        ("DROP TABLE shop.z", "postgres", ALLOWED),
        ("ALTER TABLE shop.z DROP COLUMN a CASCADE", "postgres", NO_RULE),
        ("ALTER TABLE shop.z SET SCHEMA vault", "postgres", NO_RULE),
        ("ALTER SCHEMA shop RENAME TO vault", "postgres", NO_RULE),
        ("ALTER SEQUENCE shop.q OWNED BY vault.cards.id", "postgres", NO_RULE),
        ("CREATE STATISTICS vault.x ON a, b FROM shop.z", "postgres", NO_RULE),
        ("CREATE TRIGGER t BEFORE INSERT ON shop.z EXECUTE FUNCTION app.refund()", "postgres", NO_RULE),
        ("CREATE TYPE shop.mood AS ENUM ()", "postgres", ALLOWED),
        ("CREATE FUNCTION shop.f() RETURNS int RETURN 1", "postgres", NO_RULE),
        ("CREATE SCHEMA shop CREATE TABLE z (a int)", "postgres", NO_RULE),
        ("VACUUM", "postgres", NO_RULE),
        ("ANALYZE TABLE shop.z", "mysql", ALLOWED),
        ("ANALYZE TABLE vault.cards", "mysql", NO_RULE),
    ],
)
def test_who_may_define_in_one_place_reaches_no_other(text: str, dialect: str, rule: str) -> None:
    assert Decider(DEFINER).rule(facts(text, dialect)) == rule


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("CREATE TABLE shop.z (a INT) ENGINE=CONNECT", "mysql"),
        ("CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')", "mysql"),
        ("CREATE FOREIGN TABLE shop.z (a int) SERVER s", "postgres"),
        ("CREATE SERVER s FOREIGN DATA WRAPPER f", "postgres"),
        ("COPY shop.z FROM PROGRAM 'cat'", "postgres"),
    ],
)
def test_who_may_define_all_that_is_in_the_database_reaches_nothing_outside(text: str, dialect: str) -> None:
    everything = DEFINER.replace("shop.*", "*").replace('do = "set"', 'do = ["set", "write", "read"]')
    assert Decider(everything).rule(facts(text, dialect)) == NO_RULE
    allowed = everything.replace('do = "define"', 'do = ["define", "administer"]')
    assert Decider(allowed).rule(facts(text, dialect)) == ALLOWED


def test_a_denial_tells_what_reaches_out() -> None:
    denial = Decider(DEFINER).denial(facts("CREATE TABLE shop.z (a INT) ENGINE=S3", "mysql"))
    assert denial is not None
    assert denial.reason.startswith("You may not administer the database: the table's engine is none that keeps rows")


SOME_OF_ALL = """
[roles.r]
require_catalogue = false
allow = [{ do = ["define", "truncate"], on = "*" }]
deny = [{ do = "all", on = "vault.payroll_*" }]
"""
DENIED = "policy.r.deny[0]"


@pytest.mark.parametrize(
    ("text", "dialect", "rule"),
    [
        ("DROP TABLE shop.z", "postgres", ALLOWED),
        ("DROP TABLE shop.z CASCADE", "postgres", DENIED),
        ("TRUNCATE shop.z", "postgres", ALLOWED),
        ("TRUNCATE shop.z CASCADE", "postgres", DENIED),
        ("DROP SCHEMA shop", "postgres", ALLOWED),
        ("DROP SCHEMA vault", "postgres", DENIED),
        ("DROP INDEX shop.i", "postgres", ALLOWED),
        ("DROP INDEX vault.i", "postgres", DENIED),
        ("DROP TRIGGER shop.t", "mysql", ALLOWED),
        ("DROP TRIGGER vault.t", "mysql", DENIED),
    ],
)
def test_what_may_reach_a_denied_table_is_denied(text: str, dialect: str, rule: str) -> None:
    assert Decider(SOME_OF_ALL).rule(facts(text, dialect)) == rule


@pytest.mark.parametrize("on", ["shop.my_*", "shop.*_i", "shop.i", "*.i", "*_*"])
def test_an_index_is_not_judged_by_its_own_name(on: str) -> None:
    decider = Decider(f'[roles.r]\nrequire_catalogue = false\nallow = [{{ do = "define", on = "{on}" }}]')
    for name in ("i", "my_i"):
        assert decider.rule(facts(f"DROP INDEX shop.{name}")) == NO_RULE


def test_a_denial_tells_that_more_may_be_reached() -> None:
    denial = Decider(DEFINER).denial("DROP TABLE shop.z CASCADE")
    assert denial is not None
    assert denial.reason == "You may not create, alter or drop *.*."
    assert denial.hint == (
        "It may reach what it does not name: leave out CASCADE, name what is meant, and write names with schemas. "
        "What your roles let you define: shop.*."
    )
