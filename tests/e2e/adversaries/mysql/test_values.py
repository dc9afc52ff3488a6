"""Card numbers in disguise, from MySQL: a client gets them masked, or gets an error; it never gets them."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

import pytest
from tests.e2e.adversaries.mysql.house import DENIED as DENIAL
from tests.e2e.adversaries.mysql.house import (
    House,
    assert_denied,
    assert_serving,
    close,
    in_every_way,
    prepared,
)
from tests.mysql_client import LAST_ROW, READ_ONLY_CURSOR, Prepared


class Outcome(Enum):
    DENIED = auto()
    MASKED = auto()
    FAILED = auto()
    """The database itself refuses; its error would quote a value."""
    KEPT = auto()
    """One kind of server knows no such statement; where it runs, it is masked."""


DENIED, MASKED, FAILED, KEPT = Outcome


class Case(NamedTuple):
    """A statement, and what comes of it for the reader and for the analyst, who may read every column."""

    number: int
    text: str
    reader: Outcome = MASKED
    analyst: Outcome = MASKED


CASES = [
    Case(84, "WITH w AS (SELECT pan x FROM cards) SELECT x FROM w"),
    Case(84, "WITH w AS (SELECT pan x FROM cards) SELECT REVERSE(x) FROM w"),
    Case(84, "WITH w(p) AS (SELECT REVERSE(pan) FROM cards) SELECT p AS holder FROM w"),
    Case(
        84,
        "WITH RECURSIVE w(p) AS (SELECT pan FROM cards UNION ALL SELECT REVERSE(p) FROM w WHERE FALSE) SELECT p FROM w",
    ),
    Case(93, "SELECT HEX(pan), TO_BASE64(pan), CONV(pan,10,36) FROM cards"),
    Case(93, "SELECT COMPRESS(pan), SHA2(pan, 256), AES_ENCRYPT(pan, 'k') FROM cards"),
    Case(
        93,
        "SELECT pan + 0, pan + 1, pan * 10, -pan, ~CAST(pan AS UNSIGNED), pan ^ 1 FROM cards WHERE LENGTH(holder) > 0",
    ),
    Case(93, "SELECT CAST(pan AS BINARY), CAST(pan AS DECIMAL(30, 2)), pan + 0e0, pan / 100 FROM cards"),
    Case(94, "SELECT JSON_ARRAYAGG(pan) FROM cards"),
    Case(94, "SELECT JSON_OBJECT('p', pan), JSON_OBJECT(pan, 1) FROM cards", KEPT, KEPT),
    Case(94, "SELECT JSON_ARRAY(pan, REVERSE(pan)) FROM cards"),
    Case(94, "SELECT GROUP_CONCAT(pan SEPARATOR ''), MAX(REVERSE(pan)) FROM cards"),
    Case(0, "SELECT REVERSE(pan), LEFT(pan, 8), SUBSTR(pan, 9), MID(pan, 1, 8) FROM cards"),
    Case(0, "SELECT INSERT(pan, 7, 0, '-'), REPLACE(pan, '1', '2'), TRIM(LEADING '4' FROM pan) FROM cards"),
    Case(0, "SELECT FORMAT(pan, 0), LPAD(pan, 24, '0'), CONCAT_WS('-', LEFT(pan, 4), SUBSTR(pan, 5)) FROM cards"),
    Case(0, "SELECT CONVERT(pan USING utf16), CONVERT(pan USING utf32), _binary 'x', CHAR(pan) FROM cards"),
    Case(0, "SELECT ORD(pan), ASCII(SUBSTR(pan, 2)), CRC32(pan), SOUNDEX(pan), BIT_LENGTH(pan) FROM cards"),
    Case(0, "SELECT pan AS x, `pan` AS `y`, cards.pan AS z, house.cards.pan AS q FROM cards"),
    Case(0, "SELECT x.p FROM (SELECT id, REVERSE(pan) AS p FROM cards) x"),
    Case(0, "SELECT REVERSE(nick) FROM renamed"),
    Case(0, "SELECT (SELECT REVERSE(pan) FROM cards LIMIT 1)"),
    Case(0, "SELECT 'x' UNION ALL SELECT REVERSE(pan) FROM cards"),
    Case(0, "SELECT IFNULL(REVERSE(pan), ''), COALESCE(NULL, REVERSE(pan)) FROM cards"),
    Case(0, "SELECT a.id, REVERSE(c.pan) FROM a JOIN cards c ON a.id = c.id"),
    Case(0, "SELECT id, holder FROM (SELECT id, pan AS holder, holder AS pan FROM cards) d"),
    Case(0, "SELECT id AS pan, REVERSE(pan) AS id FROM cards"),
    Case(0, "SELECT SUM(pan), MAX(pan + 0) FROM cards WHERE id = 1"),
    Case(0, "SELECT REVERSE(cvv), cvv FROM cards", DENIED),
    Case(0, "SELECT * FROM cards", DENIED),
    Case(0, "SELECT cards.* FROM cards", DENIED),
    Case(0, "SELECT meta FROM cards", DENIED),
    Case(0, "SELECT meta->'$.pans[0]', meta->>'$.pans' FROM cards", DENIED, KEPT),
    Case(0, "SELECT e.p FROM cards, JSON_TABLE(meta, '$.pans[*]' COLUMNS (p VARCHAR(19) PATH '$')) e", DENIED),
    Case(0, "TABLE cards", DENIED, KEPT),
    Case(0, "SELECT EXTRACTVALUE(1, CONCAT(0x7e, (SELECT REVERSE(pan) FROM cards LIMIT 1)))", FAILED, FAILED),
    Case(0, "SELECT UPDATEXML(1, CONCAT(0x7e, (SELECT REVERSE(pan) FROM cards LIMIT 1)), 1)", FAILED, FAILED),
    Case(0, "SELECT ST_GEOMFROMTEXT(REVERSE(pan)) FROM cards", KEPT, KEPT),
]


# Texts that two parsers may read in two ways, or that one server alone knows: whatever they are, they show nothing.
TRICKS = [
    "SELECT LAST_VALUE(REVERSE(pan)) OVER (), LAG(REVERSE(pan)) OVER (ORDER BY id) FROM cards",
    "SELECT BIT_XOR(pan), AVG(pan), STD(pan), BIT_OR(pan) FROM cards WHERE id = 1",
    "SELECT REVERSE(pan) COLLATE utf8mb4_bin, BINARY REVERSE(pan) FROM cards",
    "SELECT {fn REVERSE(pan)} FROM cards",
    "SELECT REVERSE(pan) FROM {oj cards LEFT JOIN a ON a.id = cards.id}",
    "SELECT(REVERSE(pan))FROM(cards)",
    "SELECT REVERSE(pan)/**/FROM/**/cards",
    "SELECT\x0bREVERSE(pan)\x0cFROM\rcards",
    "SELECT 1 /*/ , /*/, REVERSE(pan) FROM cards",
    "SELECT 1 --\n, REVERSE(pan) FROM cards",
    "SELECT 1 --\x01, 'x'\n, REVERSE(pan) FROM cards",
    "SELECT 'a' 'b', REVERSE(`cards`.`pan`) 'holder' FROM `cards`",
    "SELECT REVERSE(pan) `id`, id `pan` FROM cards",
    "SELECT REVERSE(.cards.pan) FROM .cards",
    "SELECT REVERSE(PAN) FROM HOUSE.cards",
    "SELECT REVERSE(c.pan) FROM cards FOR SYSTEM_TIME ALL c",
    "SELECT REVERSE(pan) FROM cards PARTITION (p0)",
    "SELECT REVERSE(x.pan) FROM cards x USE INDEX () STRAIGHT_JOIN a",
    "SELECT d.* FROM a, LATERAL (SELECT REVERSE(pan) FROM cards WHERE cards.id = a.id) d",
    "SELECT d.x FROM (SELECT REVERSE(pan) FROM cards) d(x)",
    "VALUES ROW((SELECT REVERSE(pan) FROM cards LIMIT 1))",
    "VALUES ((SELECT REVERSE(pan) FROM cards LIMIT 1))",
]


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number} {case.text[:50]}")
def test_it_is_denied_or_masked(house: House, role: str, case: Case) -> None:
    outcome: Outcome = getattr(case, role)
    with house.unchanged(), house.enter(role) as wire:
        for results in in_every_way(wire, case.text):
            house.assert_kept(results)
            error = results[-1].error
            match outcome:
                case Outcome.DENIED:
                    assert_denied(results)
                case Outcome.MASKED:
                    assert error is None, error
                    assert results[-1].rows
                case Outcome.FAILED:
                    assert error is not None
                    assert error[:2] != DENIAL
                case Outcome.KEPT:
                    assert error is None or error[:2] != DENIAL
        assert_serving(wire)


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("text", TRICKS)
def test_a_trick_shows_nothing(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for results in in_every_way(wire, text):
            house.assert_kept(results)
        assert_serving(wire)


def test_another_name_shows_the_last_four_digits(house: House) -> None:
    with house.enter() as wire:
        for results in in_every_way(wire, "SELECT pan AS x FROM cards ORDER BY id"):
            shown = [cell.decode() for (cell,) in results[-1].rows if cell is not None]
            assert shown == ["*" * (len(pan) - 4) + pan[-4:] for pan in house.pans]


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize(
    "text", ["SELECT RPAD(pan,16777216,'x') FROM cards LIMIT 1", "SELECT REPEAT(pan, 1048577) FROM cards LIMIT 1"]
)
def test_97_a_row_over_16_megabytes(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for results in in_every_way(wire, text):
            assert results[-1].error is None
            assert len(results[-1].rows) == 1
            house.assert_kept(results)
        assert_serving(wire)


def test_88_a_duplicate_entry_is_not_quoted(house: House) -> None:
    with house.unchanged(), house.enter("writer") as wire:
        for text in (
            "INSERT INTO u(k) SELECT REVERSE(pan) FROM cards UNION ALL SELECT REVERSE(pan) FROM cards",
            "INSERT INTO u(k) SELECT pan FROM cards UNION ALL SELECT pan FROM cards",
            "UPDATE cards SET pan = (SELECT p FROM (SELECT pan AS p FROM cards WHERE id = 2) d) WHERE id = 1",
        ):
            for results in in_every_way(wire, text):
                assert results[-1].error is not None
                house.assert_kept(results)
        assert_serving(wire)


@pytest.mark.parametrize("role", ["reader", "analyst"])
def test_91_a_statement_that_is_executed_again_shows_no_more(house: House, role: str) -> None:
    """Its definitions were told once; each execution is masked by them, also after another statement was prepared."""
    with house.unchanged(), house.enter(role) as wire:
        first = wire.prepare("SELECT pan, REVERSE(pan), id FROM cards WHERE id >= ?")
        second = wire.prepare("SELECT holder FROM cards")
        assert isinstance(first, Prepared)
        assert isinstance(second, Prepared)
        for value in (b"1", b"2", b"3"):
            for statement, values in ((first, [value]), (second, [])):
                results = wire.execute(statement, values)
                assert results[-1].rows
                house.assert_kept(results)
        close(wire, second)
        house.assert_kept(wire.execute(first, [b"1"]))
        assert_serving(wire)


@pytest.mark.parametrize("role", ["reader", "analyst"])
def test_a_cursor_that_is_read_row_by_row_shows_no_more(house: House, role: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        statement = wire.prepare("SELECT pan, REVERSE(pan) FROM cards")
        assert isinstance(statement, Prepared)
        (opened,) = wire.execute(statement, flags=READ_ONLY_CURSOR)
        results = [opened]
        while not results[-1].status & LAST_ROW:
            results.append(wire.fetch(statement, opened.columns, 1))
            assert results[-1].error is None
        assert sum(len(result.rows) for result in results) == len(house.pans)
        house.assert_kept(results)
        assert_serving(wire)


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize(
    "text",
    ["SELECT nick, code FROM cards", "SELECT REVERSE(nick) FROM cards", "SELECT id FROM cards WHERE nick > '45'"],
)
def test_a_column_that_was_renamed_behind_the_gate_s_back(house: House, role: str, text: str) -> None:
    """What the gate knows of the database is older than the database: a new name may be any column's."""
    with house.enter(role) as wire, house.direct.cursor() as direct:
        direct.execute("ALTER TABLE cards CHANGE pan nick VARCHAR(19) NOT NULL, CHANGE cvv code CHAR(7) NOT NULL")
        try:
            for results in in_every_way(wire, text):
                house.assert_kept(results)
                if role == "reader":
                    assert_denied(results)
        finally:
            direct.execute("ALTER TABLE cards CHANGE nick pan VARCHAR(19) NOT NULL, CHANGE code cvv CHAR(7) NOT NULL")
        assert_serving(wire)


@pytest.mark.parametrize("text", ["UPDATE cards SET pan = '{}' WHERE id = 1", "INSERT INTO notes VALUES ('{}')"])
def test_99_what_was_masked_is_not_written_back(house: House, text: str) -> None:
    with house.unchanged(), house.enter("writer") as wire:
        ((shown,),) = wire.query("SELECT pan FROM cards WHERE id = 1")[0].rows
        assert shown is not None
        assert_denied(wire.query(text.format(shown.decode())))
        statement = wire.prepare(text.replace("'{}'", "?"))
        assert isinstance(statement, Prepared)
        assert_denied(wire.execute(statement, [shown]))
        assert_serving(wire)


def test_a_card_number_in_a_bound_value_is_written_where_it_may_be(house: House) -> None:
    with house.enter("writer") as wire:
        statement = wire.prepare("INSERT INTO notes VALUES (?)")
        assert isinstance(statement, Prepared)
        (result,) = wire.execute(statement, [house.pans[0].encode()])
        assert result.error is None
        for results in (wire.query("SELECT note FROM notes"), prepared(wire, "SELECT note FROM notes")):
            assert results[-1].rows
            house.assert_kept(results)
