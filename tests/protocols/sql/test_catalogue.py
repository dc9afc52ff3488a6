"""What a catalogue answers about the database that it describes."""

from __future__ import annotations

import pytest

from gatepost_sql.catalogue import Attribute, Catalogue, Function, Relation, RelationKind

CARDS = Relation(
    oid=1, schema="public", name="cards", kind=RelationKind.TABLE, attributes=(Attribute(1, "id"), Attribute(3, "pan"))
)
OTHER = Relation(oid=2, schema="old", name="cards", kind=RelationKind.TABLE)
NUMBERS = Relation(oid=3, schema="public", name="numbers", kind=RelationKind.SEQUENCE)


def test_relations_are_found_by_name_and_by_oid() -> None:
    catalogue = Catalogue(7.0, [CARDS, OTHER, NUMBERS])
    assert catalogue.relations_named("cards") == {"public": (CARDS,), "old": (OTHER,)}
    assert catalogue.relations_named("card") == {}
    assert catalogue.relation(2) is OTHER
    assert catalogue.read_at == 7.0
    assert catalogue.tables == {"public.cards": ("id", "pan"), "old.cards": ()}


@pytest.mark.parametrize(
    ("arguments", "defaults", "is_variadic", "counts"),
    [(0, 0, False, {0}), (2, 0, False, {2}), (3, 2, False, {1, 2, 3}), (2, 0, True, {1, 2, 3, 4, 5})],
)
def test_a_function_takes_so_many_arguments(arguments: int, defaults: int, is_variadic: bool, counts: set[int]) -> None:
    function = Function(oid=9, schema="app", name="f", arguments=arguments, defaults=defaults, is_variadic=is_variadic)
    assert {count for count in range(6) if function.takes(count)} == counts
