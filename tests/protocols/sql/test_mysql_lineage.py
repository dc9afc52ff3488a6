"""MySQL's texts with a catalogue: what they read and change, where their outputs come from, and what decides."""

from __future__ import annotations

import pytest

from gatepost.values import Effect, Facts
from gatepost_sql import Context, column, facts
from gatepost_sql.catalogue import Attribute, Catalogue, Relation, RelationKind


def table(oid: int, name: str, columns: str, definition: str = "", schema: str = "shop") -> Relation:
    attributes = tuple(
        Attribute(number, each.removeprefix("-"), is_hidden=each.startswith("-"))
        for number, each in enumerate(columns.split(), 1)
    )
    kind = RelationKind.VIEW if definition else RelationKind.TABLE
    return Relation(oid=oid, schema=schema, name=name, kind=kind, attributes=attributes, definition=definition)


RENAMED = "select `shop`.`cards`.`id` AS `id`,`shop`.`cards`.`pan` AS `number` from `shop`.`cards` where `brand` <> 'x'"
SHOP = Catalogue(
    0.0,
    [
        table(1, "cards", "id customer pan brand expires"),
        table(2, "customers", "id name Email"),
        table(3, "orders", "id customer total -secret"),
        table(4, "renamed", "id number", RENAMED),
        table(5, "hidden", "id", "select `f`(1) AS `id`"),
        table(6, "orders", "id", schema="vault"),
        table(7, "tables", "table_name", schema="information_schema"),
    ],
)
CONTEXT = Context(catalogue=SHOP, search_path=("shop",))


def of(text: str, context: Context = CONTEXT) -> Facts:
    return facts(text, "mysql", context)


def outputs(found: Facts) -> list[str]:
    return [
        "?" if each.origins is None else " ".join(f"{origin.relation}.{origin.column}" for origin in each.origins)
        for each in found.outputs
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT pan, id FROM cards", ["shop.cards.pan", "shop.cards.id"]),
        ("SELECT PAN FROM shop.cards AS c", ["shop.cards.pan"]),
        ("SELECT * FROM customers", ["shop.customers.id", "shop.customers.name", "shop.customers.Email"]),
        (
            "SELECT o.*, name FROM orders o JOIN customers k ON k.id = o.customer",
            ["shop.orders.id", "shop.orders.customer", "shop.orders.total", "shop.customers.name"],
        ),
        ("SELECT number FROM renamed", ["shop.cards.pan"]),
        ("SELECT * FROM renamed", ["shop.cards.id", "shop.cards.pan"]),
        ("SELECT x FROM (SELECT pan AS x FROM cards) d", ["shop.cards.pan"]),
        ("WITH w(x) AS (SELECT number FROM renamed) SELECT x FROM w", ["shop.cards.pan"]),
        ("SELECT CONCAT(name, pan) FROM cards c, customers k", ["shop.cards.pan shop.customers.name"]),
        ("SELECT name FROM customers UNION SELECT pan FROM cards", ["shop.cards.pan shop.customers.name"]),
        ("SELECT (SELECT MAX(pan) FROM cards) FROM orders", ["shop.cards.pan"]),
        ("SELECT pan AS id, (SELECT id) FROM cards", ["shop.cards.pan", "shop.cards.id shop.cards.pan"]),
        ("SELECT x AS 'id' FROM (SELECT pan AS \"x\" FROM cards) d", ["shop.cards.pan"]),
        ("SELECT (SELECT b FROM (SELECT pan AS 'b' FROM cards) x) FROM (SELECT 1 AS b) d", ["shop.cards.pan"]),
        (
            "SELECT (SELECT `HEX(pan)` FROM (SELECT HEX(pan) FROM cards) x) FROM (SELECT 1 AS `HEX(pan)`) d",
            ["shop.cards.pan"],
        ),
        ("SELECT d.`MAX(pan)` FROM (SELECT MAX(pan) FROM cards) d", ["shop.cards.pan"]),
        ("SELECT (SELECT id+1e0FROM cards) FROM (SELECT 2 AS id, 3 AS `1e0FROM`) d", ["shop.cards.id"]),
        ("SELECT * FROM cards JOIN orders USING (id)", []),
        (
            "WITH RECURSIVE w(n, s) AS (SELECT 1, pan FROM cards UNION ALL SELECT n + 1, s FROM w) SELECT s FROM w",
            ["shop.cards.pan"],
        ),
        ("SELECT @a, @@version, NOW() FROM dual", ["", "", ""]),
        ("SELECT id FROM vault.orders", ["vault.orders.id"]),
    ],
)
def test_outputs(text: str, expected: list[str]) -> None:
    found = of(text)
    assert (found.effect, found.is_resolved) == (Effect.READ, True), found.reason
    assert outputs(found) == expected


@pytest.mark.parametrize(
    ("text", "is_direct"),
    [
        ("SELECT x FROM (SELECT pan AS x FROM cards) d", True),
        ("SELECT number FROM renamed", True),
        ("SELECT UPPER(pan) FROM cards", False),
        ("SELECT pan FROM cards UNION ALL SELECT pan FROM cards", False),
        ("SELECT id FROM cards, orders", False),
    ],
)
def test_whether_they_are_unchanged(text: str, is_direct: bool) -> None:
    assert of(text).outputs[0].is_direct is is_direct


@pytest.mark.parametrize(
    ("text", "deciding"),
    [
        ("SELECT id FROM cards WHERE pan LIKE '4%'", {"cards.pan"}),
        ("SELECT c.id FROM cards c JOIN orders o ON c.pan = o.total", {"cards.pan", "orders.total"}),
        ("SELECT total FROM cards JOIN orders USING (customer)", {"cards.customer", "orders.customer"}),
        (
            "SELECT total FROM cards NATURAL JOIN orders",
            {f"{t}.{c}" for t in ("cards", "orders") for c in ("id", "customer")},
        ),
        ("SELECT pan p FROM cards ORDER BY p", {"cards.pan"}),
        ("SELECT pan FROM cards ORDER BY 1", {"cards.pan"}),
        ("SELECT brand, COUNT(*) n FROM cards GROUP BY brand HAVING n > 1", {"cards.brand"}),
        ("SELECT DISTINCT pan FROM cards", {"cards.pan"}),
        ("SELECT pan FROM cards UNION SELECT name FROM customers", {"cards.pan", "customers.name"}),
        ("SELECT CASE WHEN pan > 5 THEN brand END FROM cards", {"cards.pan"}),
        ("SELECT IF(pan > 5, brand, id) FROM cards", {"cards.pan"}),
        ("SELECT ROW_NUMBER() OVER (PARTITION BY brand ORDER BY pan) FROM cards", {"cards.brand", "cards.pan"}),
        ("SELECT SUM(id) OVER w FROM cards WINDOW w AS (PARTITION BY brand)", {"cards.brand"}),
        ("SELECT GROUP_CONCAT(id ORDER BY pan) FROM cards", {"cards.pan"}),
        ("SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM cards WHERE pan = total)", {"cards.pan", "orders.total"}),
        ("SELECT id FROM renamed", set()),
        ("SELECT id FROM renamed WHERE number = 1", {"cards.pan"}),
        ("DELETE FROM orders WHERE total = 1", {"orders.total"}),
        ("SELECT pan FROM cards LIMIT 5", set()),
    ],
)
def test_what_decides(text: str, deciding: set[str]) -> None:
    found = of(text)
    assert found.predicates is not None
    assert {f"{each.relation}.{each.column}" for each in found.predicates} == {f"shop.{each}" for each in deciding}


def test_any_column_may_decide_whether_a_lock_is_asked_for() -> None:
    assert of("SELECT pan > 4 AND GET_LOCK('l', 0) FROM cards").predicates is None


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("SELECT pan FROM cards WHERE id = 1", [("select", "shop.cards", "id pan", True, "")]),
        ("SELECT pan FROM cards", [("select", "shop.cards", "pan", False, "")]),
        (
            "SELECT id FROM renamed",
            [("select", "shop.renamed", "id", False, ""), ("select", "shop.cards", "brand id", True, "shop.renamed")],
        ),
        (
            "INSERT INTO orders (customer) SELECT id FROM customers WHERE name = 'x'",
            [("insert", "shop.orders", "customer", True, ""), ("select", "shop.customers", "id name", True, "")],
        ),
        ("UPDATE orders SET total = 0", [("update", "shop.orders", "total", False, "")]),
        (
            "UPDATE orders o JOIN customers k ON k.id = o.customer SET total = 1",
            [
                ("update", "shop.orders", "total", True, ""),
                ("select", "shop.orders", "customer", True, ""),
                ("select", "shop.customers", "id", True, ""),
            ],
        ),
        ("DELETE FROM orders", [("delete", "shop.orders", None, False, "")]),
        ("DELETE FROM orders WHERE 1 = 1", [("delete", "shop.orders", None, False, "")]),
        (
            "DELETE FROM orders WHERE id = id",
            [("delete", "shop.orders", None, False, ""), ("select", "shop.orders", "id", False, "")],
        ),
        ("SHOW TABLES", [("select", "information_schema.tables", "", True, "")]),
        (
            "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES",
            [("select", "information_schema.tables", "table_name", False, "")],
        ),
        (
            "LOCK TABLES orders READ, shop.cards AS c WRITE",
            [("lock", "shop.orders", None, True, ""), ("lock", "shop.cards", None, True, "")],
        ),
    ],
)
def test_uses(text: str, uses: list[tuple[str, str, str | None, bool, str]]) -> None:
    found = of(text)
    told = [
        (use.verb, use.name, None if use.columns is None else " ".join(sorted(use.columns)), use.is_bounded, use.via)
        for use in found.objects
    ]
    assert sorted(told, key=str) == sorted(uses, key=str)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM nowhere",
        "SELECT nothing FROM cards",
        "SELECT id FROM Cards",
        "SELECT id FROM hidden",
        "SELECT f(id) FROM cards",
        "WITH w AS (SELECT id FROM cards) SELECT id FROM W",
        "WITH cards AS (SELECT 1 AS pan) SELECT pan FROM Cards",
        "WITH w AS (SELECT 1 AS id), v AS (WITH w AS (SELECT id FROM cards) SELECT id FROM w) SELECT id FROM v",
        "WITH RECURSIVE v AS (SELECT id FROM orders), orders AS (SELECT pan AS id FROM cards) SELECT id FROM v",
        "SELECT `a.b`.id FROM `a.b`",
        "CALL settle(1)",
    ],
)
def test_what_cannot_be_told_is_unknown(text: str) -> None:
    assert of(text).effect is Effect.UNKNOWN


_MANY = range(1000)


@pytest.mark.parametrize("context", [Context(), CONTEXT])
@pytest.mark.parametrize(
    "text",
    [
        f"UPDATE {', '.join(f'cards t{n}' for n in _MANY)} SET {', '.join(f't{n}.id = 1' for n in _MANY)}",
        f"UPDATE {', '.join(f'cards t{n}' for n in _MANY)} SET {', '.join(f'a{n} = 1' for n in _MANY)}",
        f"WITH {', '.join(f'c{n} AS (SELECT id FROM cards)' for n in _MANY)} SELECT 1",
        f"WITH RECURSIVE {', '.join(f'c{n} AS (SELECT id FROM cards)' for n in _MANY)} SELECT 1",
    ],
)
def test_what_takes_long_to_follow_is_unknown(text: str, context: Context) -> None:
    """A text that costs as its square would keep a worker from others for minutes."""
    found = of(text, context)
    assert (found.effect, found.reason) == (Effect.UNKNOWN, "the statement takes too long to follow")


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT {', '.join(f't{n % 60}.id' for n in range(500))} FROM {', '.join(f'cards t{n}' for n in range(60))}",
        f"UPDATE cards SET {', '.join('pan = 1' for _ in _MANY)} WHERE id = 1",
        f"WITH {', '.join(f'c{n} AS (SELECT id FROM cards)' for n in range(200))} SELECT 1",
        f"INSERT INTO cards (id, pan) VALUES {', '.join('(1, 2)' for _ in range(5000))}",
    ],
)
def test_what_is_long_can_be_followed(text: str) -> None:
    assert of(text).effect is not Effect.UNKNOWN


def test_a_hidden_column_is_read_by_its_name_alone() -> None:
    assert "shop.orders.secret" not in outputs(of("SELECT * FROM orders"))
    assert outputs(of("SELECT secret FROM orders")) == ["shop.orders.secret"]


def test_names_are_of_the_current_database() -> None:
    vault = Context(catalogue=SHOP, search_path=("vault",))
    assert [use.name for use in of("SELECT id FROM orders", vault).objects] == ["vault.orders"]
    assert of("SELECT pan FROM cards", vault).effect is Effect.UNKNOWN
    nowhere = Context(catalogue=SHOP)
    assert of("SELECT id FROM orders", nowhere).effect is Effect.UNKNOWN
    assert of("SELECT id FROM shop.orders", nowhere).is_resolved


def test_names_are_qualified_without_a_catalogue_too() -> None:
    found = of("SELECT pan FROM cards; DROP TABLE vault.orders; SELECT f(1)", Context(search_path=("shop",)))
    assert [use.name for use in found.objects] == ["shop.cards", "vault.orders"]
    assert found.calls == ("shop.f",)
    assert not found.is_resolved


def test_temporary_tables_hide_others_whatever_database_is_written() -> None:
    hiding = Context(catalogue=SHOP, search_path=("shop",), has_temporary=True)
    assert of("SELECT id FROM orders", hiding).effect is Effect.UNKNOWN
    assert of("SELECT id FROM shop.orders", hiding).effect is Effect.UNKNOWN
    assert of("SELECT 1", hiding).effect is Effect.READ


def test_names_in_any_case_of_letters_where_the_server_says_so() -> None:
    folding = Catalogue(0.0, [table(1, "cards", "id pan")], folds_names=True)
    found = of("SELECT pan FROM Shop.CARDS", Context(catalogue=folding))
    assert outputs(found) == ["shop.cards.pan"]


def test_the_base_column_of_a_definition() -> None:
    assert str(column(SHOP, "shop", "renamed", "number")) == str(column(SHOP, "shop", "cards", "pan"))
    assert column(SHOP, "shop", "cards", "nothing") is None
    assert column(SHOP, "shop", "nowhere", "id") is None


@pytest.mark.parametrize(
    "text",
    [
        "SELECT pan INTO @x FROM cards",
        "SELECT @x := pan FROM cards",
        "SET @x = (SELECT pan FROM cards)",
    ],
)
def test_what_a_variable_keeps_is_told(text: str) -> None:
    assert "declare" in of(text).verbs
    assert "declare" in facts(text, "mysql").verbs
    assert "declare" not in of("SET @x = 1").verbs


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE Customers (ID, @n) SET name = @n", None),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE customers (ID, @n) SET name = @n", [("load_local", ("id", "name"))]),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE customers (nothing)", None),
        (
            "LOAD DATA LOCAL INFILE 'x' REPLACE INTO TABLE customers (id) SET email = (SELECT pan FROM cards LIMIT 1)",
            [("delete", None), ("load_local", ("Email", "id")), ("select", ("pan",))],
        ),
    ],
)
def test_what_is_loaded_is_what_an_insert_of_the_same_columns_writes(
    text: str, uses: list[tuple[str, tuple[str, ...] | None]] | None
) -> None:
    found = of(text)
    if uses is None:
        assert found.effect is Effect.UNKNOWN
        return
    assert (found.effect, found.is_resolved) == (Effect.WRITE, True)
    assert found.predicates is not None
    told = [(use.verb, use.columns and tuple(sorted(use.columns))) for use in found.objects]
    assert sorted(told, key=str) == uses
