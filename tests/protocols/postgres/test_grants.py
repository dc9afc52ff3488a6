"""GRANT statements for what a policy allows."""

from __future__ import annotations

import pytest

from gatepost.values import Use
from gatepost_postgres import ADAPTER
from gatepost_sql.catalogue import Attribute, Catalogue, Relation, RelationKind

DRAWN = Attribute(1, "id", "pg_catalog.int4", sequences=("ids.numbers", "trade.numbers"))
CATALOGUE = Catalogue(
    0.0,
    [
        Relation(
            oid=1, schema="trade", name="deals", kind=RelationKind.TABLE, attributes=(DRAWN, Attribute(2, "note"))
        ),
        Relation(
            oid=2,
            schema="trade",
            name="open",
            kind=RelationKind.VIEW,
            attributes=(Attribute(1, "note"),),
            definition="SELECT note FROM trade.deals",
        ),
        Relation(
            oid=3,
            schema="trade",
            name="nested",
            kind=RelationKind.VIEW,
            attributes=(Attribute(1, "note"),),
            definition="SELECT note FROM trade.open",
        ),
    ],
)


def use(verb: str, name: str, *columns: str) -> Use:
    return Use(verb=verb, name=name, columns=columns or None)


@pytest.mark.parametrize(
    ("uses", "granted"),
    [
        (
            [use("select", "public.cards", "name", "pan"), use("select", "public.cards", "id", "name")],
            ["USAGE ON SCHEMA public", "SELECT (name, pan, id) ON TABLE public.cards"],
        ),
        (
            [use("select", "public.cards", "name"), use("select", "public.cards")],
            ["USAGE ON SCHEMA public", "SELECT ON TABLE public.cards"],
        ),
        (
            [use("insert", "shop.orders", "item"), use("update", "shop.orders"), use("delete", "shop.orders", "id")],
            ["USAGE ON SCHEMA shop", "INSERT (item), UPDATE, DELETE ON TABLE shop.orders"],
        ),
        (
            [use("merge", "shop.orders", "item")],
            [
                "USAGE ON SCHEMA shop",
                "SELECT (item), INSERT (item), UPDATE (item), DELETE ON TABLE shop.orders",
            ],
        ),
        ([use("copy_to", "orders"), use("truncate", "orders")], ["SELECT, TRUNCATE ON TABLE orders"]),
        ([use("call", "shop.total")], ["USAGE ON SCHEMA shop", "EXECUTE ON ROUTINE shop.total"]),
        # An insert draws from the sequences of defaults, whichever columns it names.
        *(
            (
                [use(verb, f"trade.{table}", "note")],
                [
                    "USAGE ON SCHEMA trade",
                    "USAGE ON SCHEMA ids",
                    f"{privileges} ON TABLE trade.{table}",
                    "USAGE ON SEQUENCE ids.numbers",
                    "USAGE ON SEQUENCE trade.numbers",
                ],
            )
            for verb, table, privileges in (
                ("insert", "deals", "INSERT (note)"),
                ("insert", "open", "INSERT (note)"),
                ("insert", "nested", "INSERT (note)"),
                ("copy_from", "deals", "INSERT (note)"),
                ("merge", "deals", "SELECT (note), INSERT (note), UPDATE (note), DELETE"),
            )
        ),
        (
            [use("select", "trade.deals"), use("update", "trade.deals")],
            ["USAGE ON SCHEMA trade", "SELECT, UPDATE ON TABLE trade.deals"],
        ),
        ([use("set", "work_mem"), use("show", "work_mem")], []),
    ],
)
def test_what_is_granted(uses: list[Use], granted: list[str]) -> None:
    said = [statement.replace('"', "") for statement in ADAPTER.grants("reader", uses, CATALOGUE)]
    assert said == [f"GRANT {each} TO reader;" for each in granted]


def test_names_are_quoted() -> None:
    statements = ADAPTER.grants('r"; DROP TABLE t; --', [use("select", 'My Schema.a"b', "Ümlaut")], CATALOGUE)
    assert statements == [
        'GRANT USAGE ON SCHEMA "My Schema" TO "r""; DROP TABLE t; --";',
        'GRANT SELECT ("Ümlaut") ON TABLE "My Schema"."a""b" TO "r""; DROP TABLE t; --";',
    ]


def test_what_cannot_be_granted_is_a_comment_of_one_line() -> None:
    (comment,) = ADAPTER.grants("reader", [use("define", "public.x\nDROP TABLE t")], CATALOGUE)
    assert comment == '-- no privilege gives define on "public"."x DROP TABLE t"'


def test_a_select_of_no_column_needs_none() -> None:
    assert ADAPTER.grants("reader", [Use(verb="select", name="t", columns=())], CATALOGUE) == []
