"""What roles may do on a MySQL target, with a real MariaDB and a real MySQL behind the gate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import mysql.connector
import pymysql
import pytest
import sqlalchemy
from tests.mysql_servers import MySqlDatabase, connect, mysql_front
from tests.servers import Gate, eventually, gates

PASSWORD = "inspector-password"
PLUGINS = """
[plugins.secrets.targets.shop.inspector]
user = "inspector"
database = "shop"
password = "env:INSPECTOR_PASSWORD"

[plugins.policy.roles.reader]
rows = 50
allow = [{ do = "read", on = ["shop.orders", "shop.cards(id, brand, pan, expires)", "shop.renamed"] }]

[plugins.policy.roles.clerk]
allow = [
  { do = "read", on = "shop.*" },
  { do = "insert", on = "shop.orders" },
  { do = "update", on = "shop.orders(total)" },
  { do = "delete", on = "shop.orders" },
  { do = "define", on = "shop.*" },
  { do = "call", on = "shop.settle" },
]

[plugins.policy.roles.teller]
allow = [{ do = "read", on = ["shop.*", "information_schema.*"] }]

[plugins.policy.roles.runner]
allow = [{ do = "all", on = "*" }, { do = "all", on = "*.*" }]

[plugins.policy.roles.maker]
allow = [{ do = "define", on = "shop.my_*" }]

[plugins.policy.roles.caller]
require_catalogue = false
allow = [{ do = ["read", "call", "define"], on = "shop.*" }]
deny = [{ do = ["call", "define"], on = "shop.settle" }]

[plugins.policy.roles.limited]
rows = 5
allow = [{ do = ["read", "delete"], on = "shop.orders" }]

[plugins.mask.roles]
chargebacks = "clear"

[[plugins.mask.columns]]
match = "cards.expires"
tag = "expiry"

[[plugins.mask.columns]]
match = "cards.pan"
tag = "pan"

[plugins.audit]
"""
VIEW = "CREATE OR REPLACE VIEW renamed AS SELECT id, pan AS number, expires AS until FROM cards"

Connect = Callable[..., "pymysql.Connection[Any]"]


@pytest.fixture(scope="module")
def policed(mysql_server: MySqlDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    login = "inspector@'127.0.0.1'"
    prepared = [
        VIEW,
        f"CREATE USER IF NOT EXISTS {login} IDENTIFIED BY '{PASSWORD}'",
        f"GRANT REFERENCES ON *.* TO {login}",
        f"GRANT SELECT, SHOW VIEW ON shop.renamed TO {login}",
        "CREATE DATABASE IF NOT EXISTS vault",
        "CREATE TABLE IF NOT EXISTS vault.orders (id INT, KEY kept (id))",
        "GRANT ALL ON vault.* TO clerk@'127.0.0.1'",
        "DROP TRIGGER IF EXISTS vault.kept",
        "CREATE TRIGGER vault.kept BEFORE INSERT ON vault.orders FOR EACH ROW SET NEW.id = 1",
        "CREATE TABLE IF NOT EXISTS vault.notes (id INT) ENGINE=MyISAM",
        "CREATE TABLE IF NOT EXISTS merged (id INT) ENGINE=MERGE UNION=(vault.notes)",
        "CREATE TABLE IF NOT EXISTS receipts (id INT)",
        "CREATE TABLE IF NOT EXISTS my_slips (id INT)",
        "CREATE TRIGGER my_shown BEFORE INSERT ON receipts FOR EACH ROW SET NEW.id = 1",
        "CREATE TRIGGER shown BEFORE INSERT ON my_slips FOR EACH ROW SET NEW.id = 1",
        "CREATE TRIGGER my_unshown BEFORE UPDATE ON receipts FOR EACH ROW SET NEW.id = 1",
        f"GRANT TRIGGER ON shop.my_slips TO {login}",
        "DROP PROCEDURE IF EXISTS settle",
        "CREATE PROCEDURE settle(which INT) UPDATE orders SET total = 0 WHERE id = which",
    ]
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        for statement in prepared:
            cursor.execute(statement)
    with gates(tmp_path_factory.mktemp("mysqlpolicy")) as make:
        gate = mysql_front(
            make,
            mysql_server,
            plugins=PLUGINS,
            target='database = "shop"',
            environment={"INSPECTOR_PASSWORD": PASSWORD},
        )
        eventually(lambda: knows_the_catalogue(gate))
        yield gate
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP VIEW renamed")
        cursor.execute("DROP TABLE merged, receipts, my_slips")


def knows_the_catalogue(gate: Gate) -> bool:
    """A role with rules of columns is let through only with the catalogue."""
    with connect(gate) as connection, connection.cursor() as cursor:
        try:
            cursor.execute("SELECT id FROM cards LIMIT 1")
        except pymysql.Error:
            return False
    return True


@pytest.fixture(scope="module")
def passwords(policed: Gate) -> dict[str, str]:
    return {
        role: policed.add_agent(role, role)
        for role in ("caller", "clerk", "limited", "maker", "guest", "teller", "runner")
    } | {"agent": policed.password}


@pytest.fixture
def talk(policed: Gate, passwords: dict[str, str]) -> Iterator[Connect]:
    # What defines, or calls a procedure, leaves it unknown for a moment.
    eventually(lambda: knows_the_catalogue(policed))
    with ExitStack() as stack:

        def talk(name: str = "agent", **options: Any) -> pymysql.Connection[Any]:
            return stack.enter_context(connect(policed, user=name, password=passwords[name], **options))

        yield talk


def run(connection: pymysql.Connection[Any], statement: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return tuple(cursor.fetchall())


def refused(connection: pymysql.Connection[Any], statement: str) -> str:
    """The text of a denial, behind which the session goes on."""
    with pytest.raises(pymysql.Error) as denied:
        run(connection, statement)
    assert denied.value.args[0] == 1142, denied.value
    assert run(connection, "SELECT 1") == ((1,),)
    text: str = denied.value.args[1]
    return text


def test_what_a_role_may_do_it_does(talk: Connect) -> None:
    reader = talk()
    assert len(run(reader, "SELECT id, total FROM orders WHERE id <= 3")) == 3
    assert len(run(reader, "SELECT o.id, c.brand FROM orders o JOIN cards c ON c.id = o.id WHERE o.id < 3")) == 2


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("DELETE FROM orders WHERE id = 1", "orders"),
        ("SELECT name FROM customers", "shop.customers"),
        ("SELECT customer FROM cards", "customer"),
        ("SELECT * FROM cards", "customer"),
        ("SELECT id FROM cards WHERE customer = 1", "customer"),
        ("SELECT (SELECT MAX(name) FROM customers)", "shop.customers"),
        ("SELECT id FROM orders UNION SELECT id FROM customers", "shop.customers"),
        ("SELECT id FROM shop . `customers`", "shop.customers"),
        ("SELECT user FROM mysql.user", "mysql.user"),
        ("SELECT info FROM information_schema.processlist", "processlist"),
        ("SHOW PROCESSLIST", "administer"),
        ("SHOW CREATE PROCEDURE settle", "routines"),
        ("SHOW ENGINE INNODB STATUS", "administer"),
        ("CALL settle(1)", "shop.settle"),
        ("SELECT SLEEP(1)", "sleep"),
        ("LOCK TABLES orders WRITE", "orders"),
        ("SET GLOBAL max_connections = 1", "max_connections"),
        ("SET foreign_key_checks = 0", "foreign_key_checks"),
        ("SELECT id FROM orders /*!, (SELECT pan FROM cards LIMIT 1) */", "executable comment"),
        ("SELECT 1; DELETE FROM orders", "orders"),
    ],
)
def test_what_it_may_not_is_denied_and_the_session_goes_on(talk: Connect, statement: str, names: str) -> None:
    several = pymysql.constants.CLIENT.MULTI_STATEMENTS
    assert names in refused(talk(client_flag=several), statement)


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("CREATE INDEX thin ON vault.orders (id)", "vault.orders"),
        ("CREATE UNIQUE INDEX thin USING BTREE ON vault.orders (id)", "vault.orders"),
        ("DROP INDEX kept ON vault.orders", "vault.orders"),
        ("CREATE TABLE mine (id INT, FOREIGN KEY (id) REFERENCES vault.orders (id))", "vault.orders"),
        ("CREATE TABLE mine (id INT REFERENCES vault.orders (id))", "vault.orders"),
        ("ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES vault.orders (id)", "vault.orders"),
        ("CREATE TABLE mine LIKE vault.orders", "vault.orders"),
        ("ALTER TABLE orders EXCHANGE PARTITION p WITH TABLE vault.orders", "vault.orders"),
        ("ALTER TABLE orders CONVERT TABLE vault.orders TO PARTITION p VALUES LESS THAN (9)", "vault.orders"),
        ("CREATE TABLE mine (id INT) ENGINE=FEDERATED CONNECTION='mysql://127.0.0.1/x/y'", "engine"),
        ("ALTER TABLE orders CONNECTION='mysql://127.0.0.1/x/y'", "another server"),
        ("CREATE TABLE mine (id INT) ENGINE := CONNECT", "engine"),
        ("CREATE TABLE shop.column ENGINE SPIDER AS SELECT 1", "engine"),
        ("CREATE TABLE mine (id INT) ENGINE=MyISAM DATA DIRECTORY := '/tmp'", "folder"),
        ("CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')", "You may not create"),
        ("SET default_storage_engine = MyISAM", "default_storage_engine"),
        ("DROP TRIGGER vault.kept", "vault.*"),
        ("ANALYZE TABLE vault.orders", "vault.orders"),
        ("DROP FUNCTION settle", "loadable"),
        ("ALTER TABLE merged COMMENT = 'x'", "engine"),
        ("CREATE TABLE mine LIKE merged", "engine"),
        ("RENAME TABLE merged TO mine", "engine"),
    ],
)
def test_who_may_define_in_one_database_reaches_no_other(talk: Connect, statement: str, names: str) -> None:
    """The login of the gate has all rights on both, so what is refused, the gate refuses."""
    assert names in refused(talk("clerk"), statement)


def test_who_may_define_gives_tables_indexes_and_keys(talk: Connect, policed: Gate) -> None:
    statements = (
        "CREATE TABLE mine (id INT, engine INT, FOREIGN KEY (id) REFERENCES customers (id)) ENGINE=InnoDB",
        "CREATE INDEX thin ON mine (engine)",
        "DROP INDEX thin ON mine",
        "DROP TABLE mine",
    )
    for statement in statements:
        run(talk("clerk"), statement)
        eventually(lambda: knows_the_catalogue(policed))


def test_a_trigger_is_its_tables_whatever_it_is_called(talk: Connect, policed: Gate) -> None:
    """One that the inspector is not shown may be that of any table of its database."""
    maker = talk("maker")
    for trigger in ("my_shown", "my_unshown"):
        assert "shop.*" in refused(maker, f"DROP TRIGGER {trigger}")
    run(maker, "DROP TRIGGER shown")
    eventually(lambda: knows_the_catalogue(policed))
    run(talk("clerk"), "DROP TRIGGER my_unshown")
    eventually(lambda: knows_the_catalogue(policed))
    run(talk("clerk"), "ANALYZE TABLE my_slips")


def test_a_foreign_key_leads_to_the_database_of_its_table(mysql_server: MySqlDatabase) -> None:
    """What `gatepost_sql` reads into a name without a database's."""
    with mysql_server.connect() as direct:
        run(direct, "CREATE DATABASE other")
        run(direct, "CREATE TABLE other.customers (id INT PRIMARY KEY)")
        try:
            run(direct, "CREATE TABLE other.mine (id INT, FOREIGN KEY (id) REFERENCES customers (id))")
            assert run(
                direct,
                "SELECT referenced_table_schema FROM information_schema.key_column_usage"
                " WHERE table_schema = 'other' AND table_name = 'mine'",
            ) == (("other",),)
        finally:
            run(direct, "DROP DATABASE other")


def test_what_drivers_do_by_themselves_needs_no_rule(policed: Gate, passwords: dict[str, str]) -> None:
    url = f"mysql+pymysql://agent:{passwords['agent']}@127.0.0.1:{policed.port}/shop"
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT id FROM orders WHERE id = :id"), {"id": 2}).all() == [(2,)]
        connection.rollback()
    found = sqlalchemy.inspect(engine)
    assert "cards" in found.get_table_names()
    assert [column["name"] for column in found.get_columns("cards")][:2] == ["id", "customer"]
    assert found.get_pk_constraint("cards")["constrained_columns"] == ["id"]
    engine.dispose()
    options = {"host": "127.0.0.1", "port": policed.port, "user": "agent", "database": "shop", "use_pure": True}
    with mysql.connector.connect(password=passwords["agent"], **options) as connection:
        connection.autocommit = True
        connection.ping()


def test_an_agent_whose_role_has_no_rules_is_denied_all_tables(talk: Connect) -> None:
    with pytest.raises(pymysql.Error, match=r"policy\.roles"):
        run(talk("guest"), "SELECT id FROM orders")


def test_another_database_is_another_table(talk: Connect) -> None:
    for leave in ("select_db", "use"):
        reader = talk()
        reader.select_db("vault") if leave == "select_db" else run(reader, "USE vault")
        assert "vault.orders" in refused(reader, "SELECT id FROM orders")
        assert run(reader, "SELECT id FROM shop.orders WHERE id = 1") == ((1,),)
        several = talk(client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
        assert "USE" in refused(several, "USE vault; SELECT id FROM orders")


def test_writes_are_bounded(talk: Connect) -> None:
    clerk = talk("clerk")
    run(clerk, "INSERT INTO orders (customer, total) VALUES (1, 5)")
    run(clerk, "UPDATE orders SET total = 6 WHERE total = 5")
    assert "customer" in refused(clerk, "UPDATE orders SET customer = 2 WHERE total = 6")
    for unbounded in ("DELETE FROM orders", "DELETE FROM orders WHERE 1 = 1", "UPDATE orders SET total = 0"):
        assert "WHERE" in refused(clerk, unbounded)
    run(clerk, "DELETE FROM orders WHERE total = 6")
    run(clerk, "CALL settle(0)")


@pytest.mark.parametrize("name", ["settle", "SETTLE", "shop.Settle", "séttle", "shop.`sèttle`", "`SÉTTLE`"])
@pytest.mark.parametrize("statement", ["CALL {}(0)", "DROP PROCEDURE {}"])
def test_no_other_writing_of_a_routines_name_gets_around_a_deny_rule(talk: Connect, statement: str, name: str) -> None:
    """The servers look routines up without case, and without accents."""
    assert "policy" in refused(talk("caller"), statement.format(name))


def test_a_read_only_role_has_a_read_only_session(talk: Connect) -> None:
    reader = talk()
    assert "READ ONLY" in refused(reader, "SET SESSION TRANSACTION READ WRITE").upper().replace("-", " ")
    ((flag,),) = run(reader, "SELECT @@transaction_read_only" if is_mysql(reader) else "SELECT @@tx_read_only")
    assert flag == 1


def is_mysql(connection: pymysql.Connection[Any]) -> bool:
    return "MariaDB" not in str(run(connection, "SELECT VERSION()")[0][0])


def test_more_rows_than_the_limit_end_the_statement_alone(talk: Connect, mysql_server: MySqlDatabase) -> None:
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders (customer, total) VALUES (1, 1000)")
    try:
        assert "more than 50 rows" in refused(talk(), "SELECT id FROM orders")
        assert len(run(talk(), "SELECT id FROM orders LIMIT 50")) == 50
    finally:
        with mysql_server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM orders WHERE total = 1000")


def test_tagged_columns_are_masked_wherever_they_go(
    talk: Connect, policed: Gate, passwords: dict[str, str], mysql_server: MySqlDatabase
) -> None:
    binary = mysql.connector.connect(
        host="127.0.0.1",
        port=policed.port,
        user="agent",
        password=passwords["agent"],
        database="shop",
        use_pure=True,
    )
    statements = {
        "SELECT pan, expires FROM cards WHERE id = 1": (mysql_server.pans[0][-4:], "[removed]"[:5]),
        "SELECT number, until FROM renamed WHERE id = 1": (mysql_server.pans[0][-4:], "[removed]"[:5]),
        "SELECT a, b FROM (SELECT pan AS a, expires AS b FROM cards WHERE id = 1) c": (mysql_server.pans[0][-4:], ""),
        "WITH w(a, b) AS (SELECT number, until FROM renamed WHERE id = 1) SELECT a, b FROM w": ("", ""),
        "SELECT REVERSE(pan), CONCAT('x', expires) FROM cards WHERE id = 1": ("", ""),
    }
    try:
        for statement, (ending, _) in statements.items():
            shown = [run(talk(), statement)]
            cursor = binary.cursor(prepared=True)
            cursor.execute(statement)
            shown.append(tuple(cursor.fetchall()))
            for ((pan, expires),) in shown:
                assert str(pan).endswith(ending)
                assert mysql_server.pans[0][:12] not in str(pan)
                assert mysql_server.pans[0][::-1] not in str(pan)
                assert "12/31" not in str(expires)
    finally:
        binary.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id FROM cards WHERE pan LIKE '4%'",
        "SELECT id FROM renamed ORDER BY number",
        "SELECT id FROM cards GROUP BY id, pan",
        "SELECT DISTINCT pan FROM cards",
        "SELECT CASE WHEN pan LIKE '4%' THEN 1 END FROM cards",
        "SELECT id FROM cards ORDER BY 1",
        "SELECT pan FROM cards ORDER BY 1",
        "SELECT expires INTO @kept FROM cards LIMIT 1",
        "SELECT @kept := expires FROM cards LIMIT 1",
        "SET @kept = (SELECT expires FROM cards LIMIT 1)",
    ],
)
def test_hidden_values_cannot_be_guessed_or_kept(talk: Connect, statement: str) -> None:
    if statement == "SELECT id FROM cards ORDER BY 1":
        assert run(talk(), statement + " LIMIT 1") == ((1,),)
    else:
        assert "mask" in refused(talk(), statement)


def test_errors_quote_no_tagged_value(talk: Connect) -> None:
    with pytest.raises(pymysql.Error) as failed:
        run(talk("clerk"), "SELECT EXTRACTVALUE(1, CONCAT(0x7e, (SELECT expires FROM cards LIMIT 1)))")
    assert "12/31" not in str(failed.value)
    assert "removed" in str(failed.value)


def test_a_setting_is_given_no_tagged_value(talk: Connect) -> None:
    with pytest.raises(pymysql.OperationalError, match=r"reads tagged columns.*mask\.columns") as failed:
        run(talk("clerk"), "SET time_zone = (SELECT expires FROM cards LIMIT 1)")
    assert failed.value.args[0] == 1142
    assert "12/31" not in str(failed.value)


def test_errors_about_the_statement_itself_stay_as_they_are(talk: Connect) -> None:
    with pytest.raises(pymysql.Error, match="near 'FROM "):
        run(talk("clerk"), "CREATE TABLE FROM (id INT)")


def test_warnings_which_can_quote_any_value_need_a_rule(talk: Connect) -> None:
    clerk = talk("clerk")
    run(clerk, "SELECT CAST(expires AS SIGNED) FROM cards LIMIT 1")
    assert "information_schema.warnings" in refused(clerk, "SHOW WARNINGS")


@pytest.mark.parametrize("ask", ["SHOW WARNINGS", "SHOW ERRORS"])
def test_warnings_are_not_shown_where_they_could_quote_a_tagged_column(talk: Connect, ask: str) -> None:
    teller = talk("teller")
    run(teller, "SELECT CAST(expires AS SIGNED) FROM cards LIMIT 1")
    assert "Warnings can quote values of tagged columns" in refused(teller, ask)


@pytest.mark.parametrize(
    "keep",
    [
        "DO @kept := (SELECT expires FROM cards LIMIT 1)",
        "DO (SELECT @kept := expires FROM cards LIMIT 1)",
        "DO LAST_INSERT_ID((SELECT LEFT(pan, 9) FROM cards LIMIT 1))",
        "GET DIAGNOSTICS CONDITION 1 @kept = MESSAGE_TEXT",
        "HANDLER cards OPEN",
    ],
)
def test_who_may_do_everything_keeps_no_tagged_value_either(talk: Connect, keep: str) -> None:
    runner = talk("runner")
    run(runner, "SELECT CAST(expires AS SIGNED) FROM cards LIMIT 1")
    assert "mask." in refused(runner, keep)
    assert run(runner, "SELECT @kept") == ((None,),)


def test_who_may_do_everything_may_do_what_reads_nothing_tagged(talk: Connect) -> None:
    runner = talk("runner")
    run(runner, "DO SLEEP(0), @kept := 7")
    assert run(runner, "SELECT @kept") == ((7,),)


def test_grants_which_show_the_hash_of_the_gate_s_password_are_read_of_the_users_table(talk: Connect) -> None:
    assert "You may not select mysql.user" in refused(talk("teller"), "SHOW GRANTS")


def test_a_limit_is_not_told_behind_what_was_changed(policed: Gate, talk: Connect) -> None:
    several = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with pytest.raises(pymysql.Error, match="one by one"):
        run(talk("limited", client_flag=several), "SELECT id FROM orders; DELETE FROM orders WHERE id = 1")


def test_a_definition_makes_the_catalogue_stale_until_it_was_read_again(talk: Connect, policed: Gate) -> None:
    clerk, reader = talk("clerk"), talk()
    run(clerk, "CREATE TABLE orders2 (id INT, note VARCHAR(20))")
    try:
        eventually(lambda: knows_the_catalogue(policed))
        assert run(talk("clerk"), "SELECT note FROM orders2") == ()
        assert "orders2" in refused(reader, "SELECT note FROM orders2")
    finally:
        run(talk("clerk"), "DROP TABLE orders2")
        eventually(lambda: knows_the_catalogue(policed))


def test_temporary_tables_hide_others_so_nothing_is_certain_behind_them(talk: Connect, policed: Gate) -> None:
    clerk = talk("clerk")
    run(clerk, "CREATE TEMPORARY TABLE mine (id INT)")
    eventually(lambda: knows_the_catalogue(policed))
    assert "catalogue" in refused(clerk, "SELECT id FROM orders")
    assert run(talk("clerk"), "SELECT id FROM orders WHERE id = 1") == ((1,),)


def test_what_happened_is_on_record(policed: Gate, talk: Connect) -> None:
    reader = talk(program_name="recorded")
    run(reader, "SELECT total FROM orders WHERE id = 7")
    refused(reader, "DELETE FROM orders WHERE id = 7")
    asked = "SELECT total FROM orders WHERE id = 7"
    (found,) = eventually(
        lambda: [each for each in policed.audit("search", "--limit", "10000") if each["text"] == asked]
    )
    assert found["verdict"] == "allow"
    session = found["session"]
    denied = policed.audit("search", "--verdict", "deny", "--session", session)
    assert [each["text"] for each in denied] == ["DELETE FROM orders WHERE id = 7"]
    replayed = eventually(lambda: shown(policed, session))
    assert "row: 7.50" in replayed
    assert policed.command("audit", "verify")


def shown(gate: Gate, session: str) -> str | None:
    replayed = gate.command("audit", "replay", session)
    return replayed if "7.50" in replayed else None


def test_explain_tells_what_decides(policed: Gate) -> None:
    explained = json.loads(policed.command("policy", "explain", "reader", "SELECT name FROM customers", "--json"))
    assert "shop.customers" in json.dumps(explained)
