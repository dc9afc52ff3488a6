"""Ways by which a card number is known to slip out of MySQL though nothing says that a column holds one.

`vault` has the cards' numbers in columns of every type that can hold one; none of them is tagged.
"""

from __future__ import annotations

import pytest
from tests import mysql_wire
from tests.cards import found_in
from tests.e2e.adversaries.mysql.house import House, assert_serving, in_every_way
from tests.mysql_client import Prepared

PACKET = (1 << 24) - 1
COLUMNS = ["u", "z", "d", "b", "bin", "vbin", "blb", "txt", "js", "en", "ch", "u16", "u32", "l1"]


@pytest.mark.parametrize("column", COLUMNS)
def test_96_to_103_a_column_of_any_type(house: House, column: str) -> None:
    with house.unchanged(), house.enter("analyst") as wire:
        for results in in_every_way(wire, f"SELECT id, {column} FROM vault ORDER BY id"):
            assert results[-1].error is None
            assert len(results[-1].rows) == len(house.pans)
            house.assert_kept(results)
        assert_serving(wire)


def test_99_a_double(house: House) -> None:
    """It holds no more than fifteen digits of a longer number, of which those of a shorter one are all."""
    with house.unchanged(), house.enter("analyst") as wire:
        for results in in_every_way(wire, "SELECT f FROM vault WHERE LENGTH(en) <= 15"):
            assert results[-1].rows
            house.assert_kept(results)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT GROUP_CONCAT(txt SEPARATOR '') FROM vault WHERE id <= 40",
        "SELECT GROUP_CONCAT(ch) FROM vault WHERE id <= 40",
        "SELECT JSON_ARRAYAGG(u) FROM vault",
        "SELECT CONCAT('x', ch), CONCAT(LEFT(ch, 6), '-', SUBSTR(ch, 7)), LPAD(ch, 24, '0') FROM vault",
        "SELECT CAST(u AS CHAR), CAST(ch AS UNSIGNED), CAST(ch AS DECIMAL(20)) FROM vault",
        "SELECT ch FROM vault UNION SELECT 'x'",
        "SELECT MAX(u), MIN(ch) FROM vault",
    ],
)
def test_108_an_expression(house: House, text: str) -> None:
    with house.unchanged(), house.enter("analyst") as wire:
        for results in in_every_way(wire, text):
            assert results[-1].error is None
            house.assert_kept(results)
        assert_serving(wire)


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO u(k) SELECT ch FROM vault UNION ALL SELECT ch FROM vault",
        "INSERT INTO u(k) VALUES ('{pan}'), ('{pan}')",
        "SELECT EXTRACTVALUE(1, CONCAT(0x7e, (SELECT ch FROM vault LIMIT 1)))",
        "SELECT `{pan}` FROM cards",
        "SELECT 1 FROM `{pan}`",
        "SELECT id FROM a WHERE '{pan}",
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{pan}'",
    ],
)
def test_110_111_113_an_error(house: House, text: str) -> None:
    with house.unchanged(), house.enter("writer") as wire:
        for results in in_every_way(wire, text.format(pan=house.pans[0])):
            assert results[-1].error is not None
            house.assert_kept(results)
        assert_serving(wire)


@pytest.mark.parametrize(
    "text",
    [
        "EXPLAIN SELECT u FROM vault WHERE ch = '{pan}'",
        "EXPLAIN EXTENDED SELECT u FROM vault WHERE ch = '{pan}'",
        "EXPLAIN FORMAT=JSON SELECT u FROM vault WHERE ch = '{pan}'",
        "SHOW WARNINGS",
        "SHOW PROCESSLIST",
        "SHOW COLUMNS FROM vault",
        "SHOW CREATE TABLE vault",
        "SELECT column_type FROM information_schema.columns WHERE table_name = 'vault'",
        "SELECT info FROM information_schema.processlist",
        "SELECT 1 AS `{pan}`, `{pan}`.id FROM a AS `{pan}`",
        "SELECT '{pan}', {pan}, {pan}.0",
    ],
)
def test_115_116_a_plan_a_definition_or_a_name(house: House, text: str) -> None:
    with house.unchanged(), house.enter("analyst") as wire:
        for results in in_every_way(wire, text.format(pan=house.pans[0])):
            house.assert_kept(results)
        assert_serving(wire)


def test_124_a_statement_that_comes_byte_by_byte(house: House) -> None:
    with house.unchanged(), house.enter("analyst") as wire:
        for byte in mysql_wire.query(f"SELECT '{house.pans[0]}', ch FROM vault LIMIT 1"):
            wire.socket.sendall(bytes((byte,)))
        wire._next = 1
        results = wire.results()
        assert results[-1].rows
        house.assert_kept(results)
        assert_serving(wire)


def test_125_nothing_of_it_rests_with_the_gate(house: House) -> None:
    """What was asked, bound, answered and refused above and here is on record, without a card number."""
    with house.enter("analyst") as wire:
        statement = wire.prepare("SELECT id FROM a WHERE id = ? OR 'x' = ?")
        assert isinstance(statement, Prepared)
        for pan in house.pans:
            assert wire.execute(statement, [b"1", pan.encode()])[-1].error is None
            wire.query(f"SELECT '{pan}'")
            wire.query(f"DELETE FROM cards WHERE pan = '{pan}'")
    house.gate.command("audit", "verify")
    assert found_in(house.gate.state, list(house.pans)) == []
    assert not [pan for pan in house.pans if pan in str(house.gate.log)]


@pytest.mark.parametrize("before", range(PACKET - 24, PACKET, 4))
def test_124_a_number_across_two_packets(house: House, before: int) -> None:
    with house.enter("analyst") as wire:
        (result,) = wire.query(f"SELECT CONCAT(REPEAT('x', {before}), ch) FROM vault WHERE id = 1")
        ((cell,),) = result.rows
        assert cell is not None
        assert cell[:before] == b"x" * before
        assert cell[before:] == b"*" * (len(house.pans[0]) - 4) + house.pans[0][-4:].encode()
        assert_serving(wire)
