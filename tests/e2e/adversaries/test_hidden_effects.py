"""Statements that hide what they do: denied whoever asks, whole, and nothing of them has run."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from tests.e2e.adversaries.house import House, assert_denied, assert_serving, in_every_way, kinds
from tests.wire import SYNC, bind, execute, parse


class Case(NamedTuple):
    number: int
    text: str


CASES = [
    Case(1, "SELECT 1; COMMIT; DROP SCHEMA public CASCADE"),
    Case(2, "WITH d AS (DELETE FROM cards RETURNING *) SELECT * FROM d"),
    Case(2, "WITH d AS MATERIALIZED (UPDATE cards SET holder = '' RETURNING pan) SELECT 1"),
    Case(4, "SELECT * INTO z FROM cards"),
    Case(4, "CREATE TABLE z AS SELECT pan FROM cards"),
    Case(6, "EXPLAIN (ANALYZE, FORMAT json) DELETE FROM cards"),
    Case(6, "EXPLAIN (ANALYZE false, ANALYZE) DELETE FROM cards"),
    Case(7, "DO $x$BEGIN EXECUTE 'DR'||'OP TABLE cards'; END$x$"),
    Case(8, "PREPARE p AS DELETE FROM cards; EXECUTE p"),
    Case(8, "PREPARE p AS DELETE FROM cards"),
    Case(8, "EXECUTE never_prepared"),
    Case(10, "COPY (DELETE FROM cards RETURNING pan) TO STDOUT"),
    Case(26, "/* /* SELECT */ */ DROP TABLE cards -- SELECT"),
    Case(26, "-- SELECT 1\rDROP TABLE cards"),
    Case(27, "SELECT $$;$$; DROP TABLE cards"),
    Case(28, r"SELECT '\'; DROP TABLE cards; --'"),
    Case(29, "CREATE VIEW v AS SELECT pan AS x FROM cards; SELECT x FROM v"),
    Case(30, "ALTER TABLE cards RENAME pan TO nick; SELECT nick FROM cards"),
    Case(30, "ALTER TABLE cards RENAME pan TO nick"),
    Case(0, "TRUNCATE cards"),
    Case(0, "MERGE INTO cards USING a ON a.id = cards.id WHEN MATCHED THEN DELETE"),
    Case(0, "INSERT INTO cards SELECT id + 1000, holder, pan || '0', cvv, meta FROM cards"),
    Case(0, "SELECT 1 FROM cards FOR UPDATE"),
    Case(0, "LOCK TABLE cards"),
    Case(0, "CREATE INDEX i ON cards (pan)"),
    Case(0, "DROP INDEX cards_pan_key"),
    Case(0, "CREATE TABLE z (id int REFERENCES cards)"),
    Case(0, "ALTER TABLE a ADD FOREIGN KEY (id) REFERENCES cards"),
    Case(0, "CREATE TABLE z () INHERITS (cards)"),
    Case(0, "CREATE FOREIGN TABLE z (id int) SERVER s OPTIONS (filename '/etc/passwd')"),
    Case(0, "CREATE SERVER s FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1')"),
    Case(0, "CREATE RULE r AS ON SELECT TO a DO INSTEAD SELECT 1"),
    Case(0, "GRANT ALL ON cards TO PUBLIC"),
    Case(0, "DECLARE c CURSOR FOR SELECT * FROM cards; FETCH ALL c; DELETE FROM cards"),
]
# What the writer may not read, where a value is put. The database would object to subscripts of these columns only when
# it knows their types.
SUBSCRIPTS = [
    "INSERT INTO notes (note[length(pg_read_file('PG_VERSION'))]) VALUES ('x')",
    "INSERT INTO notes (note[(SELECT count(*) FROM evil.cards)]) VALUES ('x')",
    "UPDATE cards SET holder[(SELECT count(*) FROM evil.cards)] = 'x' WHERE id = 1",
    "UPDATE cards SET holder[length(pg_read_file('PG_VERSION'))] = 'x' WHERE id = 1",
]


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number} {case.text[:40]}")
def test_it_is_denied_and_changes_nothing(house: House, role: str, case: Case) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for answers in in_every_way(wire, case.text):
            assert_denied(answers)
        assert_serving(wire)


@pytest.mark.parametrize("text", SUBSCRIPTS)
def test_what_says_where_a_value_is_put_is_judged(house: House, text: str) -> None:
    with house.unchanged(), house.enter("writer") as wire:
        for answers in in_every_way(wire, text):
            assert_denied(answers)
        assert_serving(wire)


def test_34_nothing_runs_after_a_denial_in_a_batch(house: House) -> None:
    """The writer may insert notes; behind a denied statement, up to Sync, it does not."""
    with house.unchanged(), house.enter("writer") as wire:
        wire.send(parse("DELETE FROM cards"), bind(), execute())
        wire.send(parse("INSERT INTO notes VALUES ('smuggled')"), bind(), execute(), SYNC)
        assert_denied(wire.read_until("Z"))
        assert_serving(wire)


def test_34_a_batch_whose_last_statement_is_denied_is_undone(house: House) -> None:
    with house.unchanged(), house.enter("writer") as wire:
        wire.send(parse("INSERT INTO notes VALUES ('smuggled')"), bind(), execute())
        wire.send(parse("DELETE FROM cards"), bind(), execute(), SYNC)
        answers = wire.read_until("Z")
        assert kinds(answers) == "12CEZ"
        assert_denied(answers[3:])


def test_a_denial_aborts_the_block_that_it_is_in(house: House) -> None:
    with house.unchanged(), house.enter("writer") as wire:
        wire.query("BEGIN")
        assert kinds(wire.query("INSERT INTO notes VALUES ('smuggled')")) == "CZ"
        assert_denied(wire.query("DELETE FROM cards"))
        (error, ready) = wire.query("SELECT 1")
        assert (error.fields["C"], ready.body) == ("25P02", b"E")
        assert wire.query("COMMIT")[0].body == b"ROLLBACK\0"
        assert_serving(wire)


def test_what_the_writer_may_do_works(house: House) -> None:
    """The cases above are denied for what they are, not because nothing is allowed."""
    with house.enter("writer") as wire:
        assert kinds(wire.query("INSERT INTO notes VALUES ('allowed')")) == "CZ"
        assert wire.query("UPDATE cards SET holder = 'Kim' WHERE id = 1")[0].body == b"UPDATE 1\0"
