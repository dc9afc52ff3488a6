"""Card numbers in disguise: a client gets them masked, or gets an error; it never gets them."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

import pytest
from tests.e2e.adversaries.house import House, assert_denied, assert_serving, in_every_way, kinds
from tests.wire import SYNC, bind, describe, execute, parse


class Outcome(Enum):
    DENIED = auto()
    MASKED = auto()
    FAILED = auto()
    """The database itself refuses; its error would quote a value."""


DENIED, MASKED, FAILED = Outcome
# Of errors about values.
CODES = ("22003", "22007", "22008", "2202E", "22P02", "42601", "42P01", "54000")


class Case(NamedTuple):
    """A statement, and what comes of it for the reader and for the analyst, who may read every column."""

    number: int
    text: str
    reader: Outcome = MASKED
    analyst: Outcome = MASKED


CASES = [
    Case(39, "SELECT pan::numeric, pan::bigint, ARRAY[pan], ROW(pan) FROM cards"),
    Case(39, "SELECT pan::numeric / 100, pan::float8, pan::bigint + 1, pan::bytea, pan::varchar(30) FROM cards"),
    Case(41, "SELECT pan AS x FROM cards"),
    Case(41, 'SELECT U&"p\\0061n" AS holder FROM cards'),
    Case(42, "SELECT reverse(pan), left(pan,8), substr(pan,9) FROM cards"),
    Case(43, "SELECT encode(pan::bytea,'hex') FROM cards"),
    Case(43, "SELECT encode(pan::bytea,'base64') FROM cards"),
    Case(44, "SELECT md5(pan) FROM cards"),
    Case(46, "SELECT row_to_json(c), c::text, to_jsonb(c)->>'pan', ROW(c.*)::text FROM cards c", DENIED),
    Case(46, "SELECT reverse(c::text) FROM (SELECT id, pan FROM cards) c"),
    Case(47, "SELECT string_agg(pan,','), array_agg(pan), max(pan) FROM cards"),
    Case(48, "SELECT x.c3 FROM (SELECT * FROM cards) x(c1,c2,c3,c4,c5)", DENIED),
    Case(48, "SELECT reverse(x.c2) FROM (SELECT id, pan FROM cards) x(c1,c2)"),
    Case(50, "SELECT a.*, c.* FROM a JOIN cards c ON a.id=c.id", DENIED),
    Case(51, "SELECT e FROM cards, LATERAL jsonb_array_elements(meta->'pans') e", DENIED),
    Case(53, "SELECT (c).pan, (c).* FROM cards c", DENIED),
    Case(58, "SELECT pan::int FROM cards", FAILED, FAILED),
    Case(0, "SELECT reverse(pan)::date FROM cards", FAILED, FAILED),
    Case(0, "SELECT (left(pan,8)||'x')::int FROM cards", FAILED, FAILED),
    Case(0, "SELECT reverse(pan)::regclass FROM cards", FAILED, FAILED),
    Case(0, "SELECT ('{'||reverse(pan))::json FROM cards", FAILED, FAILED),
    Case(0, "SELECT chr(left(pan,9)::int) FROM cards", FAILED, FAILED),
    Case(0, "SELECT get_bit('a', reverse(pan)::bigint) FROM cards", FAILED, FAILED),
    Case(0, "SELECT reverse(pan)::regtype FROM cards", FAILED, FAILED),
    Case(0, "SELECT (reverse(pan)||'.x.y.z')::regclass FROM cards", FAILED, FAILED),
    Case(0, "SELECT to_regtype('\"'||repeat(reverse(pan),5)||'\"') FROM cards"),
    Case(67, "SELECT left(pan,6)||chr(8203)||right(pan,10) FROM cards"),
    Case(68, "SELECT regexp_split_to_table(pan,'') FROM cards", DENIED, DENIED),
    Case(0, "SELECT reverse(nick) FROM renamed"),
    Case(0, "WITH RECURSIVE w(p) AS (SELECT pan FROM cards UNION SELECT reverse(p) FROM w) SELECT p FROM w"),
    Case(0, "SELECT 'x' UNION ALL SELECT reverse(pan) FROM cards"),
    Case(0, "SELECT (SELECT reverse(pan) FROM cards LIMIT 1)"),
    Case(0, "SELECT translate(pan, '0123456789', 'abcdefghij') FROM cards"),
    Case(0, "SELECT cvv FROM cards", DENIED),
    Case(0, "VALUES ((SELECT reverse(pan) FROM cards LIMIT 1))"),
    Case(0, "TABLE cards", DENIED),
]
# In the simple protocol alone a COPY or a cursor has an answer of its own.
NEVER_SHOWN = [
    "COPY cards TO STDOUT",
    "COPY cards TO STDOUT (FORMAT csv)",
    "COPY cards TO STDOUT (FORMAT binary)",
    "COPY (SELECT reverse(pan) FROM cards) TO STDOUT",
    "COPY cards (pan) TO STDOUT (FORMAT binary)",
    "BEGIN; DECLARE c CURSOR FOR SELECT reverse(pan) FROM cards; FETCH ALL c",
    "DO $$BEGIN RAISE NOTICE '%',(SELECT pan FROM cards LIMIT 1); END$$",
]


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number} {case.text[:50]}")
def test_it_is_denied_or_masked(house: House, role: str, case: Case) -> None:
    outcome: Outcome = getattr(case, role)
    with house.unchanged(), house.enter(role) as wire:
        for answers in in_every_way(wire, case.text):
            house.assert_kept(answers)
            match outcome:
                case Outcome.DENIED:
                    assert_denied(answers)
                case Outcome.MASKED:
                    assert "E" not in kinds(answers), answers[-2].fields
                    assert "D" in kinds(answers)
                case Outcome.FAILED:
                    (error,) = (answer for answer in answers if answer.kind == "E")
                    assert error.fields["C"] in CODES
        assert_serving(wire)


def test_41_another_name_shows_the_last_four_digits(house: House) -> None:
    with house.enter() as wire:
        rows = [answer.cells for answer in wire.query("SELECT pan AS x FROM cards ORDER BY id") if answer.kind == "D"]
    assert [cell.decode() for (cell,) in rows] == ["*" * (len(pan) - 4) + pan[-4:] for pan in house.pans]


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("text", NEVER_SHOWN)
def test_60_62_it_is_denied(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        answers = wire.query(text)
        house.assert_kept(answers)
        assert_denied(answers)
        assert_serving(wire)


def test_a_violated_constraint_shows_nothing_of_the_row(house: House) -> None:
    with house.unchanged(), house.enter("writer") as wire:
        answers = wire.query("UPDATE cards SET holder = NULL WHERE id = 1")
        assert answers[0].fields["C"] == "23502"
        house.assert_kept(answers)
        assert_serving(wire)


@pytest.mark.parametrize("binary", [0, 1])
def test_40_a_portal_that_is_read_row_by_row_shows_no_more(house: House, binary: int) -> None:
    with house.unchanged(), house.enter() as wire:
        wire.send(parse("SELECT pan, reverse(pan) FROM cards"), bind(binary=binary), describe("P"))
        for _ in house.pans:
            wire.send(execute(limit=1))
        wire.send(SYNC)
        answers = wire.read_until("Z")
        assert kinds(answers) == "12T" + "Ds" * len(house.pans) + "Z"
        house.assert_kept(answers)
        assert_serving(wire)


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize(
    "text",
    [
        "SELECT nick, code FROM cards",
        "SELECT reverse(nick) FROM cards",
        "SELECT c.nick, c.code FROM cards c",
        "SELECT reverse(c::text) FROM cards c",
        "SELECT id FROM cards WHERE nick > '45'",
    ],
)
def test_30_a_column_that_was_renamed_behind_the_gate_s_back(house: House, role: str, text: str) -> None:
    """What the gate knows of the database is older than the database: a new name may be any column's."""
    with house.unchanged(), house.enter(role) as wire:
        house.direct.execute("ALTER TABLE cards RENAME pan TO nick; ALTER TABLE cards RENAME cvv TO code")
        try:
            for answers in in_every_way(wire, text):
                house.assert_kept(answers)
                if role == "reader":
                    assert_denied(answers)
        finally:
            house.direct.execute("ALTER TABLE cards RENAME nick TO pan; ALTER TABLE cards RENAME code TO cvv")
        assert_serving(wire)
