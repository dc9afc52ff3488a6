"""Statements of MySQL that hide what they do: denied whoever asks, whole, and nothing of them has run."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from tests.e2e.adversaries.mysql.house import House, assert_denied, assert_serving, in_every_way, prepared


class Case(NamedTuple):
    number: int
    text: str


CASES = [
    Case(72, "/*!50000 DROP TABLE cards */"),
    Case(72, "/*! DROP TABLE cards */"),
    Case(72, "/*M! DROP TABLE cards */"),
    Case(72, "SELECT 1; /*!50000 DROP TABLE cards */"),
    Case(73, "SELECT 1 /*!50000 , pan */ FROM cards"),
    Case(73, "SELECT 1 /*M!100100 , pan */ FROM cards"),
    Case(73, "SELECT 1 /*!999999 , pan */ FROM cards"),
    Case(73, "SELECT 1 /*!50000 , '*/' */ FROM cards"),
    Case(74, "SELECT * FROM cards /*! INTO OUTFILE '/tmp/gatepost-adversary' */"),
    Case(75, "SELECT pan INTO/**/OUTFILE '/tmp/gatepost-adversary' FROM cards"),
    Case(75, "SELECT pan FROM cards INTO DUMPFILE '/tmp/gatepost-adversary'"),
    Case(75, "SELECT pan INTO @x FROM cards WHERE id = 1"),
    Case(76, "SELECT LOAD_FILE('/etc/passwd')"),
    Case(76, "SELECT LOAD_FILE(CONCAT('/etc/', 'passwd')) FROM a"),
    Case(76, "LOAD DATA INFILE '/etc/passwd' INTO TABLE notes"),
    Case(77, "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE notes"),
    Case(77, "LOAD XML LOCAL INFILE '/etc/passwd' INTO TABLE notes"),
    Case(79, "SET @s=CONCAT('DR','OP TABLE cards'); PREPARE p FROM @s; EXECUTE p"),
    Case(79, "PREPARE p FROM 'DROP TABLE cards'"),
    Case(79, "EXECUTE p"),
    Case(79, "EXECUTE IMMEDIATE CONCAT('DROP TABLE ', 'cards')"),
    Case(82, r"SELECT '\\'; DROP TABLE cards; -- '"),
    Case(86, "CALL p()"),
    Case(86, "CALL p(); DO SLEEP(5); SELECT f()"),
    Case(86, "DO SLEEP(5)"),
    Case(86, "SELECT f()"),
    Case(86, "SELECT id FROM a WHERE f() > 0"),
    Case(86, "SELECT says_it_does_nothing()"),
    Case(86, "SELECT house.says_it_does_nothing() FROM a"),
    Case(86, "SELECT BENCHMARK(1000000000, MD5(1))"),
    Case(86, "BEGIN NOT ATOMIC DELETE FROM cards; END"),
    Case(0, "SELECT 1; DROP DATABASE house"),
    Case(0, "SELECT 1;;DELETE FROM cards"),
    Case(0, "TRUNCATE cards"),
    Case(0, "REPLACE INTO cards SELECT id, holder, CONCAT(pan, '0'), cvv, meta FROM cards"),
    Case(0, "INSERT INTO cards VALUES (1, 'x', '1', 'x', NULL) ON DUPLICATE KEY UPDATE pan = '1'"),
    Case(0, "DELETE a, cards FROM a JOIN cards USING (id)"),
    Case(0, "UPDATE a JOIN cards USING (id) SET cards.pan = '1'"),
    Case(0, "UPDATE a, cards SET cards.pan = '1' WHERE a.id = cards.id"),
    Case(0, "SELECT 1 FROM cards FOR UPDATE"),
    Case(0, "SELECT 1 FROM cards LOCK IN SHARE MODE"),
    Case(0, "LOCK TABLES cards WRITE"),
    Case(0, "HANDLER cards OPEN"),
    Case(0, "HANDLER cards READ FIRST"),
    Case(0, "CHECKSUM TABLE cards"),
    Case(0, "ANALYZE TABLE cards UPDATE HISTOGRAM ON pan"),
    Case(0, "ANALYZE TABLE cards PERSISTENT FOR ALL"),
    Case(0, "OPTIMIZE TABLE cards"),
    Case(0, "CHECK TABLE cards"),
    Case(0, "REPAIR TABLE cards"),
    Case(0, "EXPLAIN FOR CONNECTION 1"),
    Case(0, "SHOW EXPLAIN FOR 1"),
    Case(0, "TABLE cards INTO OUTFILE '/tmp/gatepost-adversary'"),
    Case(0, "SELECT pan FROM cards PROCEDURE ANALYSE()"),
    Case(0, "INSERT INTO a VALUES (9999) RETURNING (SELECT pan FROM cards LIMIT 1)"),
    Case(0, "REPLACE INTO a VALUES (1) RETURNING id"),
    Case(0, "IMPORT TABLE FROM '/tmp/x.sdi'"),
    Case(0, "BINLOG 'x'"),
    Case(0, "CHANGE MASTER TO MASTER_HOST='127.0.0.1'"),
    Case(0, "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')"),
    Case(0, "CREATE TABLE f (id INT) ENGINE=FEDERATED CONNECTION='mysql://127.0.0.1/x/y'"),
    Case(0, "CREATE INDEX i ON cards (pan)"),
    Case(0, "DROP INDEX pan ON cards"),
    Case(0, "CREATE TABLE z (id INT, FOREIGN KEY (id) REFERENCES cards (id))"),
    Case(0, "CREATE TABLE z LIKE cards"),
    Case(0, "ALTER TABLE a CONVERT TABLE cards TO PARTITION p VALUES LESS THAN (9)"),
    Case(0, "CREATE TABLE f (id INT) ENGINE := MyISAM DATA DIRECTORY := '/tmp'"),
    Case(0, "SELECT 1; COMMIT; DROP DATABASE house"),
    Case(0, "SELECT 1 FROM cards INTO @x FOR UPDATE"),
    Case(0, "CREATE TABLE z AS SELECT pan FROM cards"),
    Case(0, "CREATE TEMPORARY TABLE cards (id INT, pan TEXT)"),
    Case(0, "CREATE VIEW v AS SELECT pan AS x FROM cards; SELECT x FROM v"),
    Case(0, "ALTER TABLE cards RENAME COLUMN pan TO nick"),
    Case(0, "RENAME TABLE cards TO plain"),
    Case(0, "CREATE TRIGGER t BEFORE INSERT ON notes FOR EACH ROW DELETE FROM cards"),
    Case(0, "CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DO DELETE FROM cards"),
    Case(0, "GRANT ALL ON *.* TO keeper@'127.0.0.1'"),
    Case(0, "CREATE USER thief IDENTIFIED BY 'x'"),
    Case(0, "SET PASSWORD = 'x'"),
    Case(0, "FLUSH TABLES WITH READ LOCK"),
    Case(0, "RESET MASTER"),
    Case(0, "PURGE BINARY LOGS BEFORE NOW()"),
    Case(0, "INSTALL PLUGIN x SONAME 'x.so'"),
    Case(0, "CREATE FUNCTION sys_exec RETURNS INT SONAME 'x.so'"),
    Case(0, "SHUTDOWN"),
    Case(0, "EXPLAIN ANALYZE DELETE FROM cards"),
    Case(0, "ANALYZE DELETE FROM cards"),
    Case(0, "ANALYZE FORMAT=JSON DELETE FROM cards"),
    Case(0, "WITH d AS (SELECT 1) DELETE FROM cards"),
    Case(0, "DELETE FROM cards RETURNING pan"),
    Case(0, "XA START 'x'"),
    Case(0, "-- \nDROP TABLE cards"),
    Case(0, "#\nDROP TABLE cards"),
    Case(0, "--\tSELECT\nDROP TABLE cards"),
    Case(0, "SELECT 1 --1;DROP TABLE cards"),
    Case(0, "DELIMITER //\nDROP TABLE cards//"),
    Case(0, "/* /* SELECT */ DROP TABLE cards -- */"),
    Case(0, "SELECT GET_LOCK(pan, 0) FROM cards"),
]


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number} {case.text[:40]}")
def test_it_is_denied_and_changes_nothing(house: House, role: str, case: Case) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for results in in_every_way(wire, case.text):
            assert_denied(results)
            house.assert_kept(results)
        assert_serving(wire)


@pytest.mark.parametrize("text", [case.text for case in CASES if case.number == 77])
def test_77_who_may_insert_may_load_no_file_of_the_agent_s_machine(house: House, text: str) -> None:
    with house.unchanged(), house.enter("writer") as wire:
        for results in in_every_way(wire, text):
            assert_denied(results)
        assert_serving(wire)


def test_a_batch_is_denied_whole(house: House) -> None:
    """The writer may insert notes; in one text with a denied statement, it does not."""
    with house.unchanged(), house.enter("writer") as wire:
        assert_denied(wire.query("INSERT INTO notes VALUES ('smuggled'); DELETE FROM cards"))
        assert_denied(wire.query("DELETE FROM cards; INSERT INTO notes VALUES ('smuggled')"))
        assert_serving(wire)


def test_a_denial_leaves_the_transaction_as_it_is(house: House) -> None:
    with house.unchanged(), house.enter("writer") as wire:
        assert wire.query("BEGIN")[0].error is None
        assert wire.query("INSERT INTO notes VALUES ('undone')")[0].error is None
        assert_denied(wire.query("DELETE FROM cards"))
        assert_serving(wire)
        assert wire.query("ROLLBACK")[0].error is None


def test_what_the_writer_may_do_works(house: House) -> None:
    """The cases above are denied for what they are, not because nothing is allowed."""
    with house.enter("writer") as wire:
        for text in ("INSERT INTO notes VALUES ('allowed')", "UPDATE cards SET holder = 'Kim' WHERE id = 1"):
            for results in (wire.query(text), prepared(wire, text)):
                assert results[-1].error is None
