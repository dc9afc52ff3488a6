"""GRANT statements for what a policy allows."""

from __future__ import annotations

import pytest

from gatepost.values import Use
from gatepost_postgres import ADAPTER


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
        ([use("set", "work_mem"), use("show", "work_mem")], []),
    ],
)
def test_what_is_granted(uses: list[Use], granted: list[str]) -> None:
    said = [statement.replace('"', "") for statement in ADAPTER.grants("reader", uses)]
    assert said == [f"GRANT {each} TO reader;" for each in granted]


def test_names_are_quoted() -> None:
    statements = ADAPTER.grants('r"; DROP TABLE t; --', [use("select", 'My Schema.a"b', "Ümlaut")])
    assert statements == [
        'GRANT USAGE ON SCHEMA "My Schema" TO "r""; DROP TABLE t; --";',
        'GRANT SELECT ("Ümlaut") ON TABLE "My Schema"."a""b" TO "r""; DROP TABLE t; --";',
    ]


def test_what_cannot_be_granted_is_a_comment_of_one_line() -> None:
    (comment,) = ADAPTER.grants("reader", [use("define", "public.x\nDROP TABLE t")])
    assert comment == '-- no privilege gives define on "public"."x DROP TABLE t"'


def test_a_select_of_no_column_needs_none() -> None:
    assert ADAPTER.grants("reader", [Use(verb="select", name="t", columns=())]) == []
