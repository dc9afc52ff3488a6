"""Who may define in one place reaches no other, with the real server behind the gate, which would let it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import errors
from tests.servers import Database, Gate, eventually, gates

INSPECTED = """
[plugins.secrets.targets.shop.inspector]
user = "{user}"
database = "shop"
password = "file:upstream.password"
"""
ROLES = """
[plugins.policy.roles.maker]
allow = [{{ do = ["define", "truncate", "read"], on = "mine.*" }}]

[plugins.policy.roles.narrow]
allow = [{{ do = ["define", "read"], on = "mine.my_*" }}]

[plugins.policy.roles.open]
require_catalogue = {needs}
allow = [{{ do = "define", on = "public.*" }}, {{ do = "read", on = "mine.my_table" }}]

[plugins.policy.roles.most]
allow = [{{ do = ["define", "truncate", "read"], on = "*" }}]
deny = [{{ do = "define", on = "vault.cards" }}]
"""

# The login of the gate owns all of it.
DEFINED = """
CREATE SCHEMA mine AUTHORIZATION clerk;
CREATE SCHEMA vault AUTHORIZATION clerk;
SET ROLE clerk;
CREATE TYPE mine.mood AS ENUM ('calm');
CREATE TABLE mine.my_table (id int PRIMARY KEY, note text, kind int UNIQUE);
CREATE INDEX my_index ON mine.my_table (note);
CREATE TABLE mine.other (id int);
CREATE INDEX my_trap ON mine.other (id);
CREATE TABLE vault.cards (id int REFERENCES mine.my_table (id), kind int, mood mine.mood);
CREATE INDEX my_cards ON vault.cards (id);
CREATE VIEW vault.notes AS SELECT note FROM mine.my_table;
CREATE SEQUENCE mine.numbers;
CREATE FUNCTION vault.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE SCHEMA empty AUTHORIZATION clerk;
RESET ROLE;
"""

Connect = Callable[[str], psycopg.Connection]


@pytest.fixture(scope="module")
def defined(postgres: Database) -> Iterator[Database]:
    with postgres.connect() as connection:
        connection.execute(DEFINED)
        yield postgres
        connection.execute("DROP SCHEMA mine, vault, empty CASCADE")


@pytest.fixture(scope="module", params=["catalogue", "text"])
def policed(
    defined: Database, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gate, dict[str, str]]]:
    knows = request.param == "catalogue"
    with gates(tmp_path_factory.mktemp("defined")) as make:
        gate = make(
            defined, plugins=(INSPECTED + ROLES if knows else ROLES).format(user=defined.user, needs=str(knows).lower())
        )
        passwords = {role: gate.add_agent(role, role) for role in ("maker", "narrow", "open", "most")}
        # Whose rules deny needs the catalogue.
        eventually(lambda: not knows or _reads(gate, passwords, "most"))
        yield gate, passwords


def _reads(gate: Gate, passwords: dict[str, str], name: str) -> bool:
    """Whether a role that requires the catalogue may read, so that it is known."""
    with psycopg.connect(gate.address, autocommit=True, user=name, password=passwords[name]) as connection:
        try:
            connection.execute("SELECT note FROM mine.my_table")
        except errors.InsufficientPrivilege:
            return False
    return True


@pytest.fixture
def connect(policed: tuple[Gate, dict[str, str]]) -> Iterator[Connect]:
    gate, passwords = policed
    with ExitStack() as stack:

        def connect(name: str) -> psycopg.Connection:
            login = {"user": name, "password": passwords[name]}
            return stack.enter_context(psycopg.connect(gate.address, autocommit=True, **login))

        yield connect


REFUSED = [
    "DROP SCHEMA empty",
    "DROP SCHEMA vault CASCADE",
    "DROP SCHEMA mine CASCADE",
    "ALTER SCHEMA empty RENAME TO filled",
    "ALTER SCHEMA mine RENAME TO yours",
    "CREATE SCHEMA yours",
    "DROP TABLE mine.my_table CASCADE",
    "DROP TYPE mine.mood CASCADE",
    "ALTER TABLE mine.my_table DROP COLUMN note CASCADE",
    "ALTER TABLE mine.my_table DROP CONSTRAINT my_table_pkey CASCADE",
    "TRUNCATE mine.my_table CASCADE",
    "DROP INDEX vault.my_cards",
    "ALTER INDEX vault.my_cards RENAME TO z",
    "ALTER TABLE vault.my_cards RENAME TO z",
    "REINDEX INDEX vault.my_cards",
    "REINDEX SCHEMA vault",
    "ALTER TABLE mine.other SET SCHEMA vault",
    "ALTER SEQUENCE mine.numbers SET SCHEMA vault",
    "CREATE STATISTICS vault.joint ON id, note FROM mine.my_table",
    "CREATE TRIGGER noted BEFORE INSERT ON mine.other FOR EACH ROW EXECUTE FUNCTION vault.noted()",
    "COMMENT ON TABLE vault.cards IS ''",
    "COMMENT ON COLUMN vault.cards.id IS ''",
    "COMMENT ON CONSTRAINT cards_id_fkey ON vault.cards IS ''",
    "COMMENT ON INDEX vault.my_cards IS ''",
    "COMMENT ON SCHEMA vault IS ''",
    "COMMENT ON FUNCTION vault.noted() IS ''",
    'CREATE TABLE "mine.z" (id int)',
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_reaches_elsewhere_is_refused(connect: Connect, text: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege) as refused:
        connect("maker").execute(text.encode())
    assert "policy.maker" in (refused.value.diag.message_detail or "")


def test_the_server_alone_would_let_it(defined: Database) -> None:
    login = {"user": defined.user, "password": defined.password, "dbname": "shop"}
    with psycopg.connect(host="127.0.0.1", port=defined.server.port, autocommit=True, **login) as connection:
        for text in REFUSED:
            # Some run in no transaction, and change nothing that would have to be undone.
            with ExitStack() as stack:
                if not text.startswith("REINDEX"):
                    stack.enter_context(connection.transaction(force_rollback=True))
                connection.execute(text.encode())


ALLOWED = [
    "COMMENT ON TABLE mine.my_table IS 'x'",
    "COMMENT ON COLUMN mine.my_table.note IS 'x'",
    "COMMENT ON INDEX mine.my_index IS 'x'",
    "COMMENT ON TYPE mine.mood IS 'x'",
    "COMMENT ON SCHEMA mine IS 'x'",
    "ALTER INDEX mine.my_index SET (fillfactor = 50)",
    "REINDEX INDEX mine.my_index",
    "CREATE TYPE mine.size AS ENUM ('s')",
    "ALTER TYPE mine.size ADD VALUE 'm'",
    "DROP TYPE mine.size",
    "CREATE STATISTICS mine.joint ON id, note FROM mine.my_table",
    "DROP STATISTICS mine.joint",
    "ALTER TABLE mine.other RENAME TO another",
    "ALTER TABLE mine.another RENAME TO other",
    "CREATE INDEX again ON mine.other (id)",
    "DROP INDEX mine.again",
    "TRUNCATE mine.other",
]


def test_what_stays_there_is_allowed(connect: Connect) -> None:
    maker = connect("maker")
    for text in ALLOWED:
        maker.execute(text.encode())


def test_what_is_created_without_a_schema_is_in_the_first_that_there_is(
    connect: Connect, defined: Database, policed: tuple[Gate, dict[str, str]]
) -> None:
    """The path begins with a schema of the login's name, which there is not."""
    gate, passwords = policed
    eventually(lambda: _reads(gate, passwords, "open"))
    connect("open").execute("CREATE TABLE made_here (id int)")
    with defined.connect() as connection:
        assert connection.execute("SELECT 'public.made_here'::regclass::text").fetchone() == ("made_here",)
        connection.execute("DROP TABLE made_here")


def test_an_index_is_its_tables_whatever_it_is_called(connect: Connect, policed: tuple[Gate, dict[str, str]]) -> None:
    """Without a catalogue, it may be that of any table of its schema."""
    gate, passwords = policed
    knows = "inspector" in gate.config.read_text()
    if knows:
        eventually(lambda: _reads(gate, passwords, "most"))
    narrow = connect("narrow")
    with pytest.raises(errors.InsufficientPrivilege):
        narrow.execute("COMMENT ON INDEX mine.my_trap IS ''")
    if knows:
        narrow.execute("COMMENT ON INDEX mine.my_index IS ''")
    else:
        with pytest.raises(errors.InsufficientPrivilege) as refused:
            narrow.execute("COMMENT ON INDEX mine.my_index IS ''")
        assert "mine.*" in (refused.value.diag.message_primary or "")


@pytest.mark.parametrize(
    "text", ["DROP TABLE mine.my_table CASCADE", "DROP SCHEMA vault", "REINDEX INDEX vault.my_cards"]
)
def test_what_may_reach_a_denied_table_is_denied(connect: Connect, text: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege) as refused:
        connect("most").execute(text.encode())
    assert "policy.most" in (refused.value.diag.message_detail or "")
