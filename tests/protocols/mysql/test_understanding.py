"""What a MySQL session's texts mean: by its catalogue, its database, and what it has prepared or made before."""

from __future__ import annotations

import pytest
from tests import mysql_wire as wire
from tests.protocols.mysql.exchange import serving
from tests.protocols.mysql.test_serving import execute, prepare

from gatepost.adapter import Redefined
from gatepost.testing import Player, RecordingHooks
from gatepost.values import Effect, Facts, Interest, Origin
from gatepost_sql.catalogue import Attribute, Catalogue, Relation, RelationKind

SHOP = [("shop", "cards", "id pan"), ("shop", "orders", "id"), ("vault", "orders", "id secret")]


ORDERS = "SELECT id FROM orders"


def catalogue(*more: tuple[str, str, str]) -> Catalogue:
    return Catalogue(
        1.0,
        [
            Relation(
                oid=oid,
                schema=schema,
                name=name,
                kind=RelationKind.TABLE,
                attributes=tuple(Attribute(number, each) for number, each in enumerate(columns.split(), 1)),
            )
            for oid, (schema, name, columns) in enumerate([*SHOP, *more], 1)
        ],
        database="shop",
    )


class Scene:
    """A session in the database "shop", and the catalogue that all know."""

    def __init__(self, *, has_catalogue: bool = False) -> None:
        self.catalogue: Catalogue | None = catalogue()
        self.hooks = RecordingHooks(Interest.EVERYTHING, wants_notices=False)
        self.player = serving(
            self.hooks, environment={"catalogue": lambda: self.catalogue, "has_catalogue": lambda: has_catalogue}
        )

    def run(self, text: str, answer: bytes = b"") -> Facts:
        """Run a statement; returns what it was judged by."""
        return self.after(self.player.client(wire.query(text)), answer)

    def after(self, player: Player, answer: bytes = b"") -> Facts:
        player.upstream(answer or wire.packet(1, wire.ok()))
        assert player.closed is None
        return player.asked[-1].facts

    @property
    def redefined(self) -> int:
        return sum(isinstance(action, Redefined) for action in self.player.actions)


def uses(found: Facts) -> list[str]:
    return [use.name for use in found.objects]


def test_texts_are_judged_by_the_catalogue() -> None:
    scene = Scene()
    found = scene.run("SELECT * FROM cards")
    assert found.is_resolved
    assert [output.origins for output in found.outputs] == [
        (Origin("shop.cards", "id"),),
        (Origin("shop.cards", "pan"),),
    ]
    scene.catalogue = None
    assert not scene.run("SELECT * FROM cards").is_resolved
    assert uses(scene.run("SELECT * FROM cards")) == ["shop.cards"]


@pytest.mark.parametrize("way", [wire.query("USE vault"), wire.command(0x02, b"vault")])
def test_names_are_of_the_database_that_is_used(way: bytes) -> None:
    scene = Scene()
    scene.after(scene.player.client(way))
    assert uses(scene.run("SELECT secret FROM orders")) == ["vault.orders"]


def test_a_prepared_statement_is_of_the_database_that_it_was_prepared_in() -> None:
    scene = Scene()
    prepare(scene.player, "SELECT id FROM orders", columns=[wire.definition("id")], parameters=0)
    scene.run("USE vault")
    assert uses(scene.after(scene.player.client(execute()))) == ["shop.orders"]


@pytest.mark.parametrize("end", [wire.packet(1, wire.ok()), wire.packet(1, wire.err())])
def test_a_definition_makes_the_catalogue_unknown_until_it_was_read_again(end: bytes) -> None:
    scene = Scene()
    scene.run("ALTER TABLE cards ADD x INT", end)
    assert scene.redefined == 1
    assert not scene.run("SELECT id FROM cards").is_resolved
    scene.catalogue = catalogue(("shop", "more", "id"))
    assert scene.run("SELECT id FROM more").is_resolved
    assert scene.redefined == 1


def test_a_prepared_statement_is_judged_by_the_catalogue_as_it_is() -> None:
    scene = Scene()
    prepare(scene.player, "SELECT id FROM more", columns=[wire.definition("id")], parameters=0)
    assert scene.player.asked[-1].facts.effect is Effect.UNKNOWN
    scene.catalogue = catalogue(("shop", "more", "id"))
    assert scene.after(scene.player.client(execute())).is_resolved


@pytest.mark.parametrize(
    ("text", "may_hide"),
    [
        ("SELECT id FROM cards", True),
        ("SELECT renamed FROM a_view", True),
        ("INSERT INTO orders SELECT renamed FROM a_view", True),
        ("UPDATE a_view SET id = 1 WHERE renamed LIKE '4%'", True),
        ("DELETE FROM a_view WHERE renamed LIKE '4%'", True),
        ("EXPLAIN SELECT renamed FROM a_view", True),
        ("CREATE VIEW another AS SELECT renamed FROM a_view", False),
        ("ALTER TABLE cards ADD x INT", False),
        ("INSERT INTO orders VALUES (1)", False),
        ("SELECT VERSION(), DATABASE(), @@version_comment", False),
        ("SHOW TABLES", False),
        ("SELECT table_name FROM information_schema.tables", False),
        ("BEGIN", False),
    ],
)
def test_what_a_text_may_hide_while_the_catalogue_is_to_be_read(text: str, may_hide: bool) -> None:
    for has_catalogue in (True, False):
        scene = Scene(has_catalogue=has_catalogue)
        assert not scene.after(scene.player.client(wire.query(text)), wire.packet(1, wire.err())).may_hide
        scene = Scene(has_catalogue=has_catalogue)
        scene.catalogue = None
        found = scene.after(scene.player.client(wire.query(text)), wire.packet(1, wire.err()))
        assert found.may_hide == (may_hide and has_catalogue)


@pytest.mark.parametrize(
    ("text", "may_hide"),
    [
        ("CREATE TABLE made (id INT); INSERT INTO made VALUES (1); SELECT id FROM made", False),
        ("CREATE VIEW another AS SELECT renamed FROM a_view; SELECT renamed FROM another", True),
        ("CREATE OR REPLACE VIEW orders AS SELECT pan AS id FROM cards; SELECT id FROM orders", True),
        ("RENAME TABLE orders TO others, a_view TO orders; SELECT renamed FROM orders", True),
        ("ALTER TABLE orders ADD x INT AS (id); SELECT x FROM orders", True),
        ("SELECT id FROM orders; SELECT id FROM cards", False),
    ],
)
def test_what_a_text_may_hide_that_defines_what_it_reads(text: str, may_hide: bool) -> None:
    scene = Scene(has_catalogue=True)
    assert scene.after(scene.player.client(wire.query(text)), wire.packet(1, wire.err())).may_hide == may_hide


def test_what_is_executed_may_hide_something_from_a_definition_until_the_catalogue_was_read_again() -> None:
    scene = Scene(has_catalogue=True)
    prepare(scene.player, "SELECT id FROM orders", columns=[wire.definition("id")], parameters=0)
    scene.run("USE vault")
    assert not scene.after(scene.player.client(execute())).may_hide
    scene.run("CREATE VIEW v AS SELECT 1")
    assert scene.after(scene.player.client(execute())).may_hide
    scene.catalogue = catalogue()
    assert uses(scene.after(scene.player.client(execute()))) == ["shop.orders"]
    assert not scene.player.asked[-1].facts.may_hide


@pytest.mark.parametrize(("message", "name"), [(execute(), "shop.orders"), (wire.query(ORDERS), "vault.orders")])
def test_what_is_asked_about_is_found_anew_by_the_catalogue_that_was_read_meanwhile(message: bytes, name: str) -> None:
    scene = Scene(has_catalogue=True)
    prepare(scene.player, ORDERS, columns=[wire.definition("id")], parameters=0)
    scene.run("USE vault")
    scene.catalogue = None
    (asked,) = scene.player.client(message).asked[-1:]
    assert asked.facts.may_hide
    scene.catalogue = catalogue()
    renewed = scene.player.session.renew(asked)
    assert (uses(renewed.facts), renewed.original) == ([name], None)


def test_temporary_tables_hide_others_until_the_session_is_reset() -> None:
    scene = Scene()
    scene.run("CREATE TEMPORARY TABLE shop.orders (id INT)")
    scene.catalogue = catalogue()
    assert scene.run("SELECT id FROM shop.orders").effect is Effect.UNKNOWN
    scene.player.upstream(wire.settings())
    scene.player.client(wire.command(0x1F)).upstream(wire.packet(1, wire.ok())).upstream(wire.settings())
    scene.catalogue = catalogue()
    assert scene.run("SELECT id FROM shop.orders").is_resolved


@pytest.mark.parametrize(
    ("text", "own_name", "base"),
    [
        ("SELECT pan FROM cards", "pan", Origin("shop.cards", "pan")),
        # Of a query within the query servers tell the inner table, with the outer one's names.
        ("SELECT id FROM (SELECT pan AS id FROM cards LIMIT 1) d", "id", Origin("shop.cards", "pan")),
        ("SELECT id FROM (SELECT UPPER(pan) AS id FROM cards LIMIT 1) d", "id", None),
    ],
)
def test_where_a_column_comes_from_is_what_is_proven(text: str, own_name: str, base: Origin | None) -> None:
    scene = Scene()
    definition = wire.definition("x", table="cards", own_name=own_name)
    scene.run(text, wire.result([definition], [wire.text_row("4111")]))
    (column,) = scene.hooks.results[-1].columns
    assert column.base == base
    assert (column.origin is None) is (base is None)
