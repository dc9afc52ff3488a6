"""Texts in which the server finds other words, or takes a name for another one, than who reads them carelessly."""

from __future__ import annotations

import pytest
from tests.e2e.adversaries.mysql.house import House, assert_denied, assert_serving, in_every_way

# An inner query's column that is looked for in vain is taken for the outer one's, which holds nothing.
INNER = "SELECT (SELECT {name} FROM (SELECT {column} FROM cards) x LIMIT 1) FROM (SELECT 1 AS {name}) d"
WORDS = [
    "SELECT cvv, 1e5FROM cards",
    "SELECT cvv, 1e+5FROM cards",
    "SELECT cvv, 1.5FROM cards",
    "SELECT cvv, 1.FROM cards",
    "SELECT cvv, .5FROM cards",
    "SELECT (SELECT pan+1e0FROM cards LIMIT 1) FROM (SELECT 2 AS pan, 3 AS `1e0FROM`) d",
    "SELECT /*+ QB_NAME(`*/ ' ` ) */ cvv FROM cards -- '",
]
NAMES = [
    INNER.format(name="b", column="cvv AS 'b'"),
    INNER.format(name="b", column='cvv AS "b"'),
    INNER.format(name="b", column="cvv 'b'"),
    INNER.format(name="b", column="cvv AS ` b`"),
    INNER.format(name="b", column="cvv AS `\tb`"),
    INNER.format(name="`CONCAT(cvv)`", column="CONCAT(cvv)"),
    INNER.format(name="`?`", column="cvv AS `\U0001f4b3`"),
    INNER.format(name="x\N{GREEK SMALL LETTER SIGMA}", column="cvv AS x\N{GREEK CAPITAL LETTER SIGMA}"),
    INNER.format(name="`i`", column="cvv AS `\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}`"),
    "SELECT d.`\u0130` FROM (SELECT 1 AS `i\u0307`, cvv AS `\u0130` FROM cards) d",
    "SELECT d.`x\u03a3` FROM (SELECT 1 AS `x\u03c2`, cvv AS `x\u03a3` FROM cards) d",
    "SELECT d.`\u13a0` FROM (SELECT 1 AS `\uab70`, cvv AS `\u13a0` FROM cards) d",
    "WITH x AS (SELECT CONCAT(cvv) FROM cards) SELECT (SELECT `CONCAT(cvv)` FROM x LIMIT 1)"
    " FROM (SELECT 1 AS `CONCAT(cvv)`) d",
    "WITH a AS (SELECT cvv AS id FROM cards), b AS (WITH a AS (SELECT 1 AS id) SELECT id FROM a) SELECT id FROM b",
    "WITH RECURSIVE b AS (SELECT id FROM a), a AS (SELECT cvv AS id FROM cards) SELECT id FROM b",
    "WITH RECURSIVE b AS (WITH z AS (SELECT 1 AS id) SELECT id FROM z), z AS (SELECT cvv AS id FROM cards)"
    " SELECT id FROM b",
]
# Errors that tell a number without quotes.
NUMBERS = [
    "SELECT ST_GeomFromText(CONCAT('POINT(0 ', SUBSTR(pan, 1, 8) + 0, ')'), 4326) FROM cards",
    "SELECT ST_GeomFromText('POINT(1 1)', SUBSTR(pan, 1, 8) + 0) FROM cards",
    "SELECT ST_SRID(POINT(0, 0), SUBSTR(pan, 1, 8) + 0) FROM cards",
]


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("text", [*WORDS, *NAMES, *NUMBERS])
def test_nothing_hidden_is_shown(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for results in in_every_way(wire, text):
            house.assert_kept(results)
        assert_serving(wire)


def test_a_table_behind_a_number_is_denied_as_any_other(house: House) -> None:
    text = "SELECT (SELECT id+1e0FROM vault LIMIT 1) FROM (SELECT 2 AS id, 3 AS `1e0FROM`) d"
    with house.unchanged(), house.enter("reader") as wire:
        for results in in_every_way(wire, text):
            assert_denied(results)
        assert_serving(wire)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT holder AS 'Card holder', id AS \"Größe\" FROM cards",
        "SELECT d.`MAX(id)` FROM (SELECT MAX(id) FROM cards) d",
        "WITH RECURSIVE w(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM w WHERE n < 3), v AS (SELECT n FROM w)"
        " SELECT n FROM v",
    ],
)
def test_names_of_other_sorts_work(house: House, text: str) -> None:
    with house.enter("analyst") as wire:
        for results in in_every_way(wire, text):
            assert results[-1].error is None
            assert results[-1].rows


def test_a_database_is_not_called_by_more_than_the_server_takes_for_its_name(house: House) -> None:
    """MySQL changes to the database "house" then, and says that it is another."""
    with house.unchanged(), house.enter("reader") as wire:
        wire.send(0x02, b"house\0evil")
        (result,) = wire.results()
        assert result.error is not None
        assert result.error[2] == "the client sent a malformed message"
