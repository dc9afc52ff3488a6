"""What a session's texts mean: by its catalogue, its search path, and what it has prepared or made before."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from tests import wire
from tests.protocols.postgres.exchange import (
    BOUND,
    NO_DATA,
    PARSED,
    READY,
    READY_IN_BLOCK,
    error,
    errors,
    row,
    tag,
)
from tests.wire import SYNC, bind, describe, execute, message, parse, query

from gatepost.adapter import CLIENT, Limits, Redefined, TlsPolicy
from gatepost.testing import Player, RecordingHooks, make_environment
from gatepost.values import ALLOW, Effect, Facts, Interest, Origin
from gatepost_postgres import ADAPTER
from gatepost_sql import Context
from gatepost_sql.catalogue import Attribute, Catalogue, Function, Relation, RelationKind, Volatility


def table(oid: int, schema: str, name: str, *columns: str) -> Relation:
    attributes = tuple(Attribute(number, each, "pg_catalog.text") for number, each in enumerate(columns, 1))
    return Relation(oid=oid, schema=schema, name=name, kind=RelationKind.TABLE, attributes=attributes)


def catalogue(database: str = "shop", *more: Relation) -> Catalogue:
    relations = (
        table(1, "public", "cards", "id", "pan"),
        table(2, "old", "cards", "id", "number"),
        table(3, "public", "orders", "id"),
        *more,
    )
    place = Function(oid=9, schema="public", name="place", volatility=Volatility.VOLATILE, language="plpgsql")
    return Catalogue(1.0, relations, [place], database=database)


class Scene:
    """A session, and the catalogue that all know."""

    def __init__(self, path: str | None = '"$user", public', known: Catalogue | None = None, **changes: Any) -> None:
        self.catalogue: Catalogue | None = known or catalogue()
        self.hooks = RecordingHooks(Interest.EVERYTHING, wants_notices=False)
        environment = make_environment(
            self.hooks, client_tls=TlsPolicy.REQUIRED, catalogue=lambda: self.catalogue, **changes
        )
        self.player = Player(ADAPTER.session(environment))
        settings = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}
        if path is not None:
            settings["search_path"] = path
        self.player.client(wire.SSL_REQUEST).client(wire.startup("agent", "shop")).client(message("p", b"secret\0"))
        self.player.upstream(message("R", bytes(4)) + report(**settings) + message("K", bytes(8)) + READY)
        assert self.player.serving

    def run(self, text: str, *answers: bytes, status: bytes = READY) -> Facts:
        """A simple query, and its answer; what was found of it."""
        self.player.client(query(text))
        self.player.upstream(b"".join(answers) + tag("OK") + status)
        return self.facts

    @property
    def facts(self) -> Facts:
        """Of what was asked last."""
        return self.player.asked[-1].facts

    def reads(self, text: str = "SELECT id FROM cards") -> str:
        """The table that a text reads, or why that is not known."""
        known = self.run(text)
        return known.objects[0].name if known.is_resolved and known.effect is Effect.READ else known.effect.value


def report(**settings: str) -> bytes:
    return b"".join(message("S", f"{name}\0{value}\0".encode()) for name, value in settings.items())


def test_names_are_looked_up_in_the_search_path() -> None:
    scene = Scene()
    assert scene.reads() == "public.cards"
    scene.run("SET search_path = old, public", report(search_path="old, public"))
    assert scene.reads() == "old.cards"
    assert scene.reads("SELECT id FROM public.cards") == "public.cards"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ('"$user", public', "public.cards"),
        ("old", "old.cards"),
        ('"Old, one" , old', "old.cards"),
        ('"a""b",public', "public.cards"),
        ('""', "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_search_paths(path: str | None, name: str) -> None:
    assert Scene(path).reads() == name


def test_without_a_search_path_a_name_must_be_the_only_one() -> None:
    scene = Scene(None)
    assert scene.reads("SELECT id FROM orders") == "public.orders"
    assert scene.reads("SELECT id FROM cards") == "unknown"


@pytest.mark.parametrize(
    "who", ["SET ROLE other", "SET SESSION AUTHORIZATION other", "SELECT set_config(name, 'x', false) FROM pg_settings"]
)
def test_a_path_through_the_users_own_schema(who: str) -> None:
    service = table(4, "service", "cards", "id")
    scene = Scene(known=catalogue("shop", service))
    assert scene.reads() == "service.cards"
    scene.run("SELECT place()")
    scene.catalogue = catalogue("shop", service)
    assert scene.reads() == "service.cards"
    scene.run(who)
    scene.catalogue = catalogue("shop", service)
    assert scene.reads() == "unknown"


def test_the_catalogue_of_another_database_says_nothing() -> None:
    scene = Scene(known=catalogue("elsewhere"))
    assert not scene.run("SELECT id FROM cards").is_resolved


def test_a_path_that_a_statement_under_way_may_change_is_not_known() -> None:
    scene = Scene()
    scene.player.client(parse("SET search_path = old") + bind() + execute() + parse("SELECT id FROM cards", "s"))
    assert scene.facts.effect is Effect.UNKNOWN
    scene.player.client(SYNC)
    scene.player.upstream(PARSED + BOUND + NO_DATA + tag("SET") + PARSED + report(search_path="old") + READY)
    scene.player.client(bind("", "s") + SYNC)
    assert [use.name for use in scene.facts.objects] == ["old.cards"]


def test_what_is_prepared_is_judged_anew_when_its_names_stand_for_something_else() -> None:
    scene = Scene()
    scene.player.client(parse("SELECT id FROM cards", "s") + SYNC).upstream(PARSED + READY)
    assert [use.name for use in scene.facts.objects] == ["public.cards"]
    scene.run("SET search_path = old", report(search_path="old"))
    scene.player.client(bind("", "s") + SYNC).upstream(BOUND + READY)
    assert [use.name for use in scene.facts.objects] == ["old.cards"]
    scene.catalogue = None
    scene.player.client(bind("", "s") + SYNC).upstream(BOUND + READY)
    assert not scene.facts.is_resolved


def test_what_a_definition_has_changed_is_not_known_to_its_session_and_then_to_nobody() -> None:
    scene = Scene()
    scene.run("BEGIN", status=READY_IN_BLOCK)
    scene.run("ALTER TABLE cards RENAME TO plastic", status=READY_IN_BLOCK)
    assert scene.player.redefined == 0
    assert not scene.run("SELECT id FROM cards", status=READY_IN_BLOCK).is_resolved
    scene.run("COMMIT")
    assert scene.player.redefined == 1
    assert not scene.run("SELECT id FROM cards").is_resolved, "until the catalogue was read again"
    scene.catalogue = catalogue()
    assert scene.reads() == "public.cards"


def test_what_waits_behind_a_definition_is_judged_without_the_catalogue() -> None:
    scene = Scene()
    scene.player.client(parse("CREATE VIEW v AS SELECT 1") + bind() + execute() + SYNC)
    scene.player.client(query("SELECT id FROM cards"))
    assert not scene.facts.is_resolved
    stalled = Scene()
    stalled.player.client(parse("CREATE VIEW v AS SELECT 1") + bind() + execute() + query("SELECT id FROM cards"))
    stalled.player.upstream(PARSED + BOUND + NO_DATA + tag("CREATE VIEW"))
    assert not stalled.facts.is_resolved


def test_all_know_before_the_client_does() -> None:
    scene = Scene()
    scene.player.actions.clear()
    scene.run("CREATE VIEW v AS SELECT 1")
    kinds = [type(action).__name__ for action in scene.player.actions]
    assert kinds.index("Redefined") < kinds.index("SendClient")


@pytest.mark.parametrize(
    ("text", "answer", "said"),
    [
        ("CREATE VIEW v AS SELECT 1", tag("CREATE VIEW"), 1),
        ("GRANT SELECT ON cards TO other", tag("GRANT"), 1),
        ("SELECT place()", tag("SELECT 1"), 1),
        ("DO $$ BEGIN NULL; END $$", tag("DO"), 1),
        ("COMMIT PREPARED 'x'", tag("COMMIT PREPARED"), 1),
        ("CREATE VIEW v AS SELECT 1", error("42P07", "it exists"), 0),
        ("SELECT id FROM cards", tag("SELECT 0"), 0),
        ("INSERT INTO cards VALUES ('1', '2')", tag("INSERT 0 1"), 0),
        ("SET application_name = x", tag("SET"), 0),
        ("BEGIN", tag("BEGIN"), 0),
    ],
)
def test_who_says_that_the_catalogue_is_stale(text: str, answer: bytes, said: int) -> None:
    scene = Scene()
    scene.player.client(query(text)).upstream(answer + READY)
    assert scene.player.redefined == said


def test_a_session_that_ends_amid_a_definition_may_have_made_it() -> None:
    scene = Scene()
    scene.player.client(query("CREATE VIEW v AS SELECT 1"))
    scene.player.eof(CLIENT)
    assert any(isinstance(action, Redefined) for action in scene.player.actions)
    quiet = Scene()
    quiet.player.client(query("SELECT 1")).eof(CLIENT)
    assert quiet.player.redefined == 0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CREATE TEMP TABLE cards (id int)", "unknown"),
        ("SELECT 1 AS id INTO TEMPORARY cards", "unknown"),
        ('CREATE TABLE U&"pg\\005ftemp".cards (id int)', "unknown"),
        ("DO $$ BEGIN CREATE TEMP TABLE cards (id int); END $$", "unknown"),
        ("CREATE TABLE temperatures (id int)", "public.cards"),
    ],
)
def test_temporary_objects_make_names_unsure(text: str, name: str) -> None:
    scene = Scene()
    scene.run(text)
    scene.catalogue = catalogue()
    assert scene.reads() == name
    scene.catalogue = catalogue()
    assert scene.reads("SELECT id FROM public.cards") == "public.cards"


def test_a_table_in_the_schema_of_temporary_objects() -> None:
    scene = Scene()
    scene.run("SET search_path = pg_temp, public", report(search_path="pg_temp, public"))
    scene.run("CREATE TABLE cards (id int)")
    scene.catalogue = catalogue()
    assert scene.reads() == "unknown"


def test_execute_is_what_was_prepared() -> None:
    scene = Scene()
    scene.run("PREPARE p AS SELECT id FROM cards")
    known = scene.run("EXECUTE p")
    assert (known.effect, [use.name for use in known.objects]) == (Effect.READ, ["public.cards"])
    scene.run("SET search_path = old", report(search_path="old"))
    assert [use.name for use in scene.run("EXECUTE p").objects] == ["old.cards"]
    scene.run("DEALLOCATE p")
    assert scene.run("EXECUTE p").effect is Effect.UNKNOWN


def test_execute_of_what_a_message_has_prepared_and_the_reverse() -> None:
    scene = Scene()
    scene.player.client(parse("DELETE FROM cards", "m") + SYNC).upstream(PARSED + READY)
    assert scene.run("EXECUTE m").effect is Effect.WRITE
    scene.run('PREPARE "P 1" AS SELECT id FROM cards')
    scene.player.client(bind("", "P 1") + describe("P") + execute() + SYNC)
    assert scene.facts.effect is Effect.READ
    assert scene.player.asked[-1].text == 'EXECUTE "P 1"'


def test_an_execute_that_is_itself_prepared_is_judged_at_each_run() -> None:
    scene = Scene()
    scene.run("PREPARE p AS SELECT id FROM cards")
    scene.player.client(parse("EXECUTE p", "s") + SYNC).upstream(PARSED + READY)
    assert scene.facts.effect is Effect.READ
    scene.run("DEALLOCATE p")
    scene.run("PREPARE p AS DELETE FROM cards")
    scene.player.client(bind("", "s") + SYNC)
    assert scene.facts.effect is Effect.WRITE


def test_an_execute_of_itself_is_not_followed() -> None:
    scene = Scene()
    scene.player.client(parse("EXECUTE p", "p") + SYNC).upstream(PARSED + READY)
    assert scene.run("EXECUTE p").effect is Effect.UNKNOWN


def test_a_session_holds_no_catalogue_that_is_not_known_any_more() -> None:
    scene = Scene()
    scene.player.client(parse("SELECT id FROM cards", "s") + SYNC).upstream(PARSED + READY)
    scene.run("CREATE VIEW v AS SELECT 1")
    former = weakref.ref(scene.catalogue)
    scene.catalogue = catalogue()
    scene.run("SELECT 1")
    del scene.player.asked[:]
    gc.collect()
    held = [each for each in gc.get_referrers(former()) if isinstance(each, Context | dict)]
    assert not held


def test_a_preparation_that_failed_has_made_nothing() -> None:
    scene = Scene()
    scene.player.client(query("PREPARE p AS SELECT id FROM cards")).upstream(error("42P05", "it exists") + READY)
    assert scene.run("EXECUTE p").effect is Effect.UNKNOWN


def test_a_portal_that_was_not_executed_has_prepared_nothing() -> None:
    scene = Scene()
    scene.player.client(parse("DELETE FROM cards", "p") + SYNC).upstream(PARSED + READY)
    scene.player.client(parse("PREPARE p AS SELECT id FROM cards") + bind() + SYNC).upstream(PARSED + BOUND + READY)
    assert scene.run("EXECUTE p").effect is Effect.WRITE


def test_a_text_that_nobody_can_look_through_may_have_prepared_anything() -> None:
    scene = Scene()
    scene.run("PREPARE p AS SELECT id FROM cards")
    scene.run("DO $$ BEGIN EXECUTE 'DEALLOCATE p'; EXECUTE 'PREPARE p AS DELETE FROM cards'; END $$")
    assert scene.run("EXECUTE p").effect is Effect.UNKNOWN
    scene.player.client(bind("", "p") + SYNC)
    assert scene.facts.effect is Effect.UNKNOWN


def test_no_more_is_prepared_than_may_be() -> None:
    scene = Scene(limits=Limits(prepared=2))
    for name in ("a", "b", "c"):
        scene.run(f"PREPARE {name} AS SELECT id FROM cards")
    assert [scene.run(f"EXECUTE {name}").effect for name in ("a", "b", "c")] == [
        Effect.READ,
        Effect.READ,
        Effect.UNKNOWN,
    ]


def test_outside_of_a_session_too_names_are_looked_up() -> None:
    assert ADAPTER.facts("SELECT id FROM orders", catalogue()).objects[0].name == "public.orders"
    assert ADAPTER.facts("SELECT id FROM cards", catalogue()).effect is Effect.UNKNOWN
    assert not ADAPTER.facts("SELECT id FROM orders").is_resolved


def test_execute_waits_for_what_its_name_stands_for() -> None:
    scene = Scene()
    scene.run("PREPARE p AS SELECT id FROM cards")
    scene.player.client(query("DEALLOCATE p") + query("EXECUTE p"))
    assert scene.player.asked[-1].text == "DEALLOCATE p"
    scene.player.upstream(tag("DEALLOCATE") + READY)
    assert (scene.player.asked[-1].text, scene.facts.effect) == ("EXECUTE p", Effect.UNKNOWN)


def test_a_statement_that_means_something_else_after_a_wait_does_not_run() -> None:
    scene = Scene()
    scene.player._judge = lambda statement: None
    scene.player.client(query("SELECT id FROM cards"))
    scene.player.sent()
    scene.catalogue = catalogue("shop", table(4, "service", "cards", "id"))
    scene.player.resolve(ALLOW)
    assert b"SELECT id" not in scene.player.sent()[1]
    scene.player.upstream(error("42601", "syntax error") + READY)
    assert errors(scene.player.sent()[0]) == ["42501"]
    scene.player.client(query("SELECT id FROM public.cards"))
    scene.catalogue = catalogue()
    scene.player.resolve(ALLOW)
    assert scene.player.sent()[1] == query("SELECT id FROM public.cards")


def test_a_results_columns_name_their_base() -> None:
    scene = Scene()
    body = b"".join(
        [b"\0\3", b"p\0", field(1, 2), b"n\0", field(2, 2), b"x\0", field(0, 0)],
    )
    scene.player.client(query("SELECT c.pan AS p, o.number AS n, 1 AS x FROM public.cards c, old.cards o"))
    scene.player.upstream(message("T", body) + row(b"1", b"2", b"3") + tag("SELECT 1") + READY)
    (result,) = scene.hooks.results
    assert [column.base for column in result.columns] == [
        Origin("public.cards", "pan"),
        Origin("old.cards", "number"),
        None,
    ]
    scene.catalogue = catalogue()
    scene.player.client(query("SELECT c.pan AS p, o.number AS n, 1 AS x FROM public.cards c, old.cards o"))
    scene.player.upstream(message("T", body) + row(b"1", b"2", b"3") + tag("SELECT 1") + READY)
    assert len(scene.hooks.results) == 2, "what to do with rows is found out anew with a new catalogue"


def test_a_tables_columns_are_not_known_by_what_they_were_called() -> None:
    """The catalogue is lost and found: what was found out of columns before that is not used any more."""
    scene = Scene()
    body = message("T", b"\0\1" + b"x\0" + field(1, 2)) + row(b"1") + tag("SELECT 1") + READY
    for known, base in [(None, None), (catalogue(), Origin("public.cards", "pan")), (None, None)]:
        scene.catalogue = known
        scene.player.client(query("SELECT pan AS x FROM cards")).upstream(body)
        assert [column.base for column in scene.hooks.results[-1].columns] == [base]


def field(table: int, attribute: int) -> bytes:
    return table.to_bytes(4) + attribute.to_bytes(2) + (25).to_bytes(4) + b"\xff\xff" + b"\xff" * 4 + b"\0\0"


def view(oid: int, name: str, definition: str, *columns: str) -> Relation:
    attributes = tuple(Attribute(number, each, "pg_catalog.text") for number, each in enumerate(columns, 1))
    return Relation(
        oid=oid, schema="public", name=name, kind=RelationKind.VIEW, attributes=attributes, definition=definition
    )


NUMBERS = view(20, "numbers", "SELECT cards.pan AS num FROM public.cards;", "num")
MADE = Attribute(2, "made", "pg_catalog.text", sources=("pan",))


def kept(*more: Relation) -> Scene:
    """A scene of a target whose catalogue is to be had."""
    return Scene(known=catalogue("shop", NUMBERS, *more), has_catalogue=lambda: True)


@pytest.mark.parametrize(
    ("text", "may_hide"),
    [
        ("SELECT id FROM orders", True),
        ("SELECT num FROM numbers", True),
        ("SELECT num_of(1)", True),
        ("SELECT lower(1)", True),
        ("UPDATE orders SET id = 1 WHERE id = 2", True),
        ("INSERT INTO orders SELECT num FROM numbers", True),
        ("INSERT INTO numbers VALUES (1) RETURNING *", True),
        ("COPY numbers TO STDOUT", True),
        ("DECLARE c CURSOR FOR TABLE numbers", True),
        ("EXPLAIN ANALYZE SELECT num FROM numbers", True),
        ("CALL place()", True),
        ("CREATE TABLE made AS SELECT 1 FROM numbers WHERE num LIKE '4%'", True),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 FROM numbers WHERE num LIKE '4%'", True),
        ("CREATE TABLE made (id int REFERENCES orders)", False),
        ("ALTER TABLE orders ADD COLUMN x int", False),
        ("CREATE VIEW v AS TABLE numbers", False),
        ("INSERT INTO orders VALUES (1)", False),
        ("SELECT 1", False),
        ("SELECT pg_catalog.version()", False),
        ("SELECT relname FROM pg_catalog.pg_class", False),
        ("DO $$ BEGIN END $$", False),
        ("BEGIN", False),
        ("SHOW search_path", False),
    ],
)
def test_what_a_text_may_hide_while_the_catalogue_is_to_be_read(text: str, may_hide: bool) -> None:
    stale, without = kept(), Scene()
    stale.catalogue = without.catalogue = None
    assert stale.run(text).may_hide == may_hide
    assert not without.run(text).may_hide
    assert not kept().run(text).may_hide


DEFINED = "CREATE TABLE made (id int)"


@pytest.mark.parametrize(
    ("definition", "text", "may_hide"),
    [
        (DEFINED, "SELECT id FROM made", False),
        (DEFINED, "SELECT count(*) FROM made JOIN orders USING (id)", False),
        (DEFINED, "UPDATE orders SET id = 1 WHERE id = 2", False),
        (DEFINED, "SELECT num FROM numbers", True),
        (DEFINED, "SELECT num_of(1)", True),
        (DEFINED, "SELECT made FROM old_cards", True),
        (DEFINED, "SELECT number FROM cards_of_2024", True),
        (DEFINED, "SELECT id FROM nobody_knows", True),
        ("CREATE TABLE IF NOT EXISTS numbers (num text)", "SELECT num FROM numbers", True),
        ("ALTER TABLE orders ADD COLUMN x int", "UPDATE orders SET x = 1 WHERE id > 5", False),
        ("CREATE TYPE mood AS ENUM ('a')", "SELECT id FROM orders", False),
        ("CREATE VIEW v AS SELECT pan AS num FROM cards", "SELECT num FROM v", True),
        ("CREATE VIEW v AS SELECT pan AS num FROM cards", "UPDATE orders SET id = 1 WHERE id = 2", False),
        ("CREATE OR REPLACE VIEW orders AS SELECT pan AS id FROM cards", "SELECT id FROM orders", True),
        ("CREATE RECURSIVE VIEW v (n) AS SELECT pan FROM cards", "SELECT id FROM orders", True),
        ("ALTER TABLE numbers RENAME TO elsewhere", "SELECT id FROM orders", True),
        ("ALTER TABLE orders ADD COLUMN x text GENERATED ALWAYS AS (id) STORED", "SELECT x FROM orders", True),
        ("ALTER TABLE orders INHERIT cards", "SELECT id FROM orders", True),
        ("CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql AS ''", "SELECT lower(1)", True),
        ("CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql AS ''", "SELECT id FROM orders", True),
        ("DO $$ BEGIN END $$", "SELECT id FROM orders", True),
        ("CREATE TEMPORARY TABLE made (id int)", "SELECT id FROM made JOIN orders USING (id)", False),
        ("CREATE TEMP VIEW orders AS SELECT pan AS id FROM cards", "SELECT id FROM orders", True),
        ("DROP TABLE orders", "SELECT id FROM orders", False),
        ("DROP INDEX i", "UPDATE orders SET id = 1 WHERE id = 2", False),
        ("GRANT SELECT ON orders TO clerk", "UPDATE orders SET id = 1 WHERE id = 2", False),
        ("CREATE TABLE made (id int); CREATE VIEW w AS TABLE cards", "SELECT id FROM made", True),
        ("SELECT place()", "SELECT id FROM orders", True),
        ("SELECT place()", "FETCH c", True),
        ("SELECT place()", "SHOW search_path", True),
        ("SELECT place()", "COMMIT; SELECT id FROM orders", True),
        ("SELECT place()", "SET LOCAL statement_timeout = 1", False),
        ("SELECT place()", "ROLLBACK TO s", False),
        ("ALTER TABLE numbers RENAME TO elsewhere", "COMMIT", False),
        ("ALTER TABLE numbers RENAME TO elsewhere", "ROLLBACK", False),
    ],
)
def test_what_a_text_may_hide_within_the_transaction_that_defines(definition: str, text: str, may_hide: bool) -> None:
    old = Relation(
        oid=21, schema="public", name="old_cards", kind=RelationKind.TABLE, attributes=(Attribute(1, "pan"), MADE)
    )
    part = Relation(
        oid=22,
        schema="public",
        name="cards_of_2024",
        kind=RelationKind.TABLE,
        attributes=(Attribute(1, "number"),),
        parents=(1,),
    )
    scene = kept(old, part)
    scene.run("BEGIN", status=READY_IN_BLOCK)
    scene.run(definition, status=READY_IN_BLOCK)
    assert scene.run(text, status=READY_IN_BLOCK).may_hide == may_hide
    scene.run("COMMIT")
    assert scene.run("SELECT id FROM orders").may_hide, "until the catalogue was read again"
    scene.catalogue = catalogue("shop", NUMBERS)
    assert not scene.run("SELECT id FROM orders").may_hide


@pytest.mark.parametrize(
    ("text", "may_hide"),
    [
        ("CREATE TABLE made (id int); INSERT INTO made VALUES (1); SELECT id FROM made", False),
        ("CREATE TEMP TABLE made AS SELECT id FROM orders; SELECT id FROM made, orders", False),
        ("CREATE VIEW v (i, num) AS TABLE cards; SELECT num FROM v", True),
        ("CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql AS ''; SELECT lower(1)", True),
        ("CREATE VIEW v AS TABLE numbers; TABLE v", True),
        ("CREATE OR REPLACE VIEW orders AS SELECT pan AS id FROM cards; SELECT id FROM orders", True),
        ("ALTER VIEW numbers RENAME COLUMN num TO n; SELECT n FROM numbers", True),
        ("ALTER TABLE numbers RENAME TO orders; SELECT num FROM orders", True),
        ("DO $$ BEGIN END $$; SELECT id FROM orders", True),
        ("SELECT num FROM numbers; SELECT place()", False),
    ],
)
def test_what_a_text_may_hide_that_defines_what_it_reads(text: str, may_hide: bool) -> None:
    assert kept().run(text).may_hide == may_hide
    scene = kept()
    scene.run("BEGIN", status=READY_IN_BLOCK)
    scene.run(DEFINED, status=READY_IN_BLOCK)
    assert scene.run(text, status=READY_IN_BLOCK).may_hide == (may_hide or "numbers" in text)


def test_what_was_defined_is_remembered_until_the_transaction_ends() -> None:
    scene = kept()
    for text in ("BEGIN", "CREATE OR REPLACE VIEW orders AS SELECT pan AS id FROM cards", DEFINED):
        scene.run(text, status=READY_IN_BLOCK)
    assert scene.run("SELECT id FROM orders", status=READY_IN_BLOCK).may_hide
    scene.run("ROLLBACK")
    scene.catalogue = catalogue("shop", NUMBERS)
    scene.run("BEGIN", status=READY_IN_BLOCK)
    scene.run(DEFINED, status=READY_IN_BLOCK)
    assert not scene.run("SELECT id FROM orders", status=READY_IN_BLOCK).may_hide
    assert not scene.run("SELECT id FROM made", status=READY_IN_BLOCK).may_hide
    scene.run("ROLLBACK TO s", status=READY_IN_BLOCK)
    assert scene.run("SELECT id FROM made", status=READY_IN_BLOCK).may_hide


def test_a_portal_that_waits_to_define_is_not_forgotten() -> None:
    scene = kept()
    replaces = parse("CREATE OR REPLACE VIEW orders AS SELECT pan AS id FROM cards", "v") + bind("v", "v")
    scene.player.client(replaces + message("H", b"")).upstream(PARSED + BOUND)
    scene.player.client(parse("LISTEN x") + message("H", b"")).upstream(PARSED)
    scene.player.client(bind() + message("H", b"")).upstream(BOUND)
    scene.player.client(execute("v") + parse("SELECT id FROM orders", "s"))
    assert scene.facts.may_hide


def test_a_portal_that_waits_to_define_in_a_block_is_not_forgotten() -> None:
    scene = kept()
    scene.run("BEGIN", status=READY_IN_BLOCK)
    replaces = parse("CREATE OR REPLACE VIEW orders AS SELECT pan AS id FROM cards", "v") + bind("v", "v")
    scene.player.client(replaces + SYNC).upstream(PARSED + BOUND + READY_IN_BLOCK)
    scene.player.client(parse("LISTEN x") + SYNC).upstream(PARSED + READY_IN_BLOCK)
    scene.player.client(bind() + SYNC).upstream(BOUND + READY_IN_BLOCK)
    scene.player.client(execute("v") + parse("SELECT id FROM orders", "s"))
    assert scene.facts.may_hide


def test_a_prepared_statement_may_hide_something_from_a_definition_on() -> None:
    scene = kept()
    scene.player.client(parse("SELECT id FROM orders", "s") + SYNC).upstream(PARSED + READY)
    scene.run("BEGIN", status=READY_IN_BLOCK)
    scene.run(DEFINED, status=READY_IN_BLOCK)
    scene.player.client(bind("", "s") + SYNC).upstream(BOUND + READY_IN_BLOCK)
    assert not scene.facts.may_hide
    scene.run("COMMIT")
    scene.player.client(bind("", "s") + SYNC).upstream(BOUND + READY)
    assert scene.facts.may_hide
    asked = scene.player.asked[-1]
    scene.catalogue = catalogue("shop", NUMBERS)
    assert scene.player.session.renew(asked).facts.is_resolved


def test_an_execute_may_hide_what_it_runs() -> None:
    scene = kept()
    scene.run("PREPARE p AS SELECT num FROM numbers")
    scene.catalogue = None
    assert scene.run("EXECUTE p").may_hide


def test_a_session_in_another_database_goes_by_names() -> None:
    scene = Scene(known=catalogue("elsewhere"), has_catalogue=lambda: True)
    assert not scene.run("SELECT id FROM cards").may_hide
    scene.catalogue = None
    assert not scene.run("SELECT id FROM cards").may_hide
