"""MySQL's text to facts: what it does, and that what cannot be proven is UNKNOWN."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.values import Effect, Facts
from gatepost_sql import Context, facts
from gatepost_sql.catalogue import Catalogue, Relation, RelationKind
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.glance import at_a_glance
from gatepost_sql.mysql_load import local_file
from gatepost_sql.mysql_tokens import form, scan


def of(text: str) -> Facts:
    return facts(text, "mysql")


@pytest.mark.parametrize(
    ("text", "effect", "verbs"),
    [
        ("SELECT 1", Effect.READ, ("select",)),
        ("(SELECT a FROM t) UNION ALL (SELECT b FROM u)", Effect.READ, ("select",)),
        ("WITH w AS (SELECT pan x FROM cards) SELECT x FROM w", Effect.READ, ("select",)),
        ("TABLE cards", Effect.READ, ("select",)),
        ("SELECT IF(a > 1, 'x', 'y'), COUNT(*) FROM t GROUP BY a ORDER BY 1 LIMIT 5", Effect.READ, ("select",)),
        ("SELECT a FROM t FOR UPDATE", Effect.WRITE, ("select",)),
        ("SELECT a FROM t LOCK IN SHARE MODE", Effect.WRITE, ("select",)),
        ("INSERT INTO t (a) VALUES (1)", Effect.WRITE, ("insert",)),
        ("REPLACE INTO t VALUES (1)", Effect.WRITE, ("insert",)),
        ("UPDATE t SET a = 1 WHERE b = 2", Effect.WRITE, ("update",)),
        ("DELETE FROM t", Effect.WRITE, ("delete",)),
        ("TRUNCATE t", Effect.WRITE, ("truncate",)),
        ("CREATE TABLE t (a INT)", Effect.DEFINE, ("create",)),
        ("DROP TABLE t", Effect.DEFINE, ("drop",)),
        ("GRANT SELECT ON t TO u", Effect.ADMINISTER, ("grant",)),
        ("CREATE USER u", Effect.ADMINISTER, ("create",)),
        ("LOAD DATA INFILE '/tmp/x' INTO TABLE t", Effect.ADMINISTER, ("load",)),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t", Effect.WRITE, ("load_local",)),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t SET a = f(1)", Effect.UNKNOWN, ("load_local",)),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t SET a = SLEEP(9)", Effect.ADMINISTER, ("load_local",)),
        ("KILL 12", Effect.CONTROL, ("kill",)),
        ("kill query 12", Effect.CONTROL, ("kill",)),
        ("KILL ?", Effect.UNKNOWN, ("kill",)),
        ("KILL USER agent", Effect.UNKNOWN, ("kill",)),
        ("FLUSH TABLES", Effect.ADMINISTER, ("alter_system",)),
        ("SELECT LOAD_FILE('/etc/passwd')", Effect.ADMINISTER, ("select",)),
        ("SELECT SLEEP(5)", Effect.ADMINISTER, ("select",)),
        ("SET GLOBAL x = 1", Effect.ADMINISTER, ("set",)),
        ("SET autocommit = 1", Effect.CONTROL, ("set",)),
        ("USE shop", Effect.CONTROL, ("set",)),
        ("BEGIN", Effect.CONTROL, ("begin",)),
        ("START TRANSACTION READ ONLY", Effect.CONTROL, ("begin",)),
        ("ROLLBACK TO SAVEPOINT a", Effect.CONTROL, ("rollback",)),
        ("LOCK TABLES t WRITE", Effect.CONTROL, ("lock",)),
        ("SHOW TABLES", Effect.READ, ("show",)),
        ("DESCRIBE cards", Effect.READ, ("show",)),
        ("SHOW CREATE TABLE cards", Effect.READ, ("show",)),
        ("SHOW CREATE USER root", Effect.ADMINISTER, ("show",)),
        ("SHOW FULL PROCESSLIST", Effect.ADMINISTER, ("show",)),
        ("SHOW BINLOG EVENTS", Effect.ADMINISTER, ("show",)),
        ("OPTIMIZE TABLE t", Effect.WRITE, ("analyze",)),
        ("UNLOCK TABLES", Effect.CONTROL, ("release",)),
        ("EXPLAIN DELETE FROM t", Effect.READ, ("explain",)),
        ("EXPLAIN ANALYZE DELETE FROM t", Effect.WRITE, ("explain", "delete")),
        ("ANALYZE DELETE FROM t", Effect.WRITE, ("explain", "delete")),
        ("SELECT 1; DROP TABLE t", Effect.DEFINE, ("select", "drop")),
        ("CALL p()", Effect.UNKNOWN, ("call",)),
        ("DO SLEEP(5)", Effect.UNKNOWN, ("do",)),
        ("EXECUTE p", Effect.UNKNOWN, ("execute",)),
    ],
)
def test_effects_and_verbs(text: str, effect: Effect, verbs: tuple[str, ...]) -> None:
    found = of(text)
    assert (found.effect, found.verbs) == (effect, verbs)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE z (a INT) ENGINE=FEDERATED",
        "CREATE TABLE z (a INT) ENGINE = 'spider'",
        "CREATE TABLE z (a INT) ENGINE := `CONNECT`",
        "CREATE TABLE z (a INT) CHECKSUM=1, ENGINE S3",
        "CREATE TABLE z (a INT) ENGINE=InnoDB ENGINE=S3",
        "CREATE TABLE z (a INT) AVG_ROW_LENGTH=1.ENGINE=FEDERATED",
        "CREATE TABLE z (a INT) PARTITION BY HASH (a) (PARTITION p STORAGE ENGINE = SPIDER)",
        "CREATE TABLE z ENGINE=S3 SELECT 1",
        "CREATE TABLE `x``y` ENGINE S3 SELECT 1",
        "CREATE TABLE shop.column ENGINE CONNECT SELECT 1",
        "CREATE TABLE shop.drop ENGINE CONNECT SELECT 1",
        "CREATE TABLE after ENGINE CONNECT SELECT 1",
        "CREATE OR REPLACE TEMPORARY TABLE z (a INT) ENGINE=OQGRAPH",
        "CREATE TABLE z (a INT) ENGINE=Mroonga COMMENT='ENGINE \"CONNECT\"'",
        "CREATE SEQUENCE z ENGINE=SPIDER",
        "ALTER TABLE z ENGINE=S3",
        "ALTER TABLE z ADD a INT, ENGINE S3",
        "ALTER TABLE modify ENGINE S3",
        "CREATE TABLE z (a INT) CONNECTION='mysql://127.0.0.1/x/y'",
        "ALTER TABLE z CONNECTION 'mysql://127.0.0.1/x/y'",
        "CREATE TABLE z (a INT) DATA DIRECTORY='/tmp'",
        "CREATE TABLE z (a INT) INDEX DIRECTORY := '/tmp'",
        "CREATE TABLE z (a INT) PARTITION BY HASH (a) (PARTITION p DATA DIRECTORY '/tmp')",
        "ALTER TABLE z IMPORT TABLESPACE",
        "ALTER TABLE z IMPORT PARTITION p TABLESPACE",
        "ALTER TABLE z DISCARD TABLESPACE",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')",
        "CREATE OR REPLACE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')",
        "ALTER SERVER s OPTIONS (HOST '127.0.0.1')",
        "DROP SERVER s",
    ],
)
def test_what_reaches_files_and_other_servers_is_administration(text: str) -> None:
    assert of(text).effect is Effect.ADMINISTER


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE z (a INT) ENGINE=InnoDB",
        "CREATE TABLE z (a INT) ENGINE 'aria' PARTITION BY HASH (a) (PARTITION p ENGINE = Aria)",
        "CREATE TABLE z (engine INT, connection TEXT, directory TEXT, PRIMARY KEY (engine))",
        "CREATE TABLE z (a INT, engine INT, KEY directory (a), KEY (engine, a))",
        "CREATE TABLE engine (a INT)",
        "CREATE TABLE shop.engine (a INT)",
        "ALTER TABLE engine ADD a INT",
        "ALTER TABLE z ADD engine INT, ADD COLUMN (b INT, engine INT), ADD COLUMN IF NOT EXISTS engine INT",
        "ALTER TABLE z CHANGE engine motor INT, DROP COLUMN engine, DROP engine",
        "ALTER TABLE z ADD connection TEXT, ADD data TEXT, ADD INDEX directory (a)",
        "DROP TABLE engine, connection",
    ],
)
def test_names_like_those_of_options_are_no_options(text: str) -> None:
    assert of(text).effect is Effect.DEFINE


@pytest.mark.parametrize(
    "text",
    [
        "/*!50000 DROP TABLE cards */",
        "SELECT 1 /*!50000 , pan */ FROM cards",
        "SELECT 1 /*M!100100 , pan */ FROM cards",
        "SELECT * FROM cards /*! INTO OUTFILE '/tmp/x' */",
        "SELECT pan INTO/**/OUTFILE '/tmp/x' FROM cards",
        "SELECT pan FROM cards INTO DUMPFILE '/tmp/x'",
        "SELECT /*+ SET_VAR(sql_mode='ANSI_QUOTES') */ 1",
        "SELECT f(pan) FROM cards",
        "SELECT shop.concat(pan) FROM cards",
        "SELECT `concat`(pan) FROM cards",
        "BEGIN NOT ATOMIC DELETE FROM cards; END",
        "SET STATEMENT sql_mode = 'ANSI_QUOTES' FOR SELECT 1",
        "SELECT * FROM t PROCEDURE ANALYSE()",
        "SELECT 1 /* no end",
        "SELECT 'no end",
        "SELECT 1\0",
        "SELECT {d '2020-01-01'}",
        "HANDLER t OPEN",
        "XA START 'x'",
        "KILL (SELECT 1)",
        "LOAD XML LOCAL INFILE 'x' INTO TABLE t",
        "LOAD DATA LOCAL INFILE x'41' INTO TABLE t",
        "LOAD DATA LOCAL INFILE 'x' 'y' INTO TABLE t",
        "LOAD DATA LOCAL INFILE ? INTO TABLE t",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t (a b)",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t (a, @@b)",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t (a, (b))",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t (a",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t SET",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t (a) b = 1",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t FIELDS TERMINATED ','",
        "SHOW TABLES WHERE f(1)",
        "CREATE PROCEDURE p() DELETE FROM cards",
        "CREATE TABLE m (id INT) ENGINE=MERGE UNION=(cards)",
        "ALTER TABLE m UNION (cards)",
        "ALTER TABLE z RENAME y",
        "CREATE INDEX i ON .cards (pan)",
        "CREATE INDEX i (pan)",
        "DROP INDEX i",
        "DROP FUNCTION f",
        "ANALYZE TABLE t PERSISTENT FOR ALL, vault.t",
        "CREATE TABLE z (a INT REFERENCES .cards (id))",
        "ALTER TABLE z ADD FOREIGN KEY (a) REFERENCES",
        "CREATE TABLE e.references (a INT)",
        "RENAME TABLE a b",
        "EXPLAIN FOR CONNECTION 1",
        "EXPLAIN FORMAT=JSON INTO @x SELECT pan FROM cards",
        "EXPLAIN FOR SCHEMA evil SELECT pan FROM cards",
        "DESCRIBE cards x y",
        "nonsense",
        "SELECT FROM WHERE",
        "SELECT " + "(" * 200 + "1" + ")" * 200,
        "SELECT " + "NOT " * 200 + "1",
        "SELECT '" + "x" * (1 << 20) + "'",
    ],
)
def test_what_cannot_be_proven_is_unknown(text: str) -> None:
    found = of(text)
    assert found.effect is Effect.UNKNOWN
    assert found.reason
    # What cannot be read may touch any column.
    assert "unknown" not in found.verbs or found.columns == {"*"}


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        # Two dashes are a comment only before a space: elsewhere they are two minus signs.
        ("SELECT 1--pan FROM cards", {"pan"}),
        ("SELECT 1 -- , pan\n FROM cards", set()),
        ("SELECT 1 # , pan\n FROM cards", set()),
        # Comments are not nested.
        ("SELECT /* /* */ pan FROM cards -- */", {"pan"}),
        # Double quotes are a string's.
        ('SELECT "pan" FROM cards', set()),
        # A backslash escapes.
        (r"SELECT '\', pan, ' FROM cards", set()),
        ("SELECT '''', pan FROM cards", {"pan"}),
        ("SELECT `pan` FROM cards", {"pan"}),
        # A number with a fraction or an exponent ends before a letter; an integer does not.
        ("SELECT pan, 1e5FROM cards", {"pan"}),
        ("SELECT pan, 1e-5FROM cards", {"pan"}),
        ("SELECT pan, 1.5FROM cards", {"pan"}),
        ("SELECT pan, 1.FROM cards", {"pan"}),
        ("SELECT pan, .5FROM cards", {"pan"}),
        ("SELECT 1pan, 0x1g, 1e FROM cards", {"1pan", "0x1g", "1e"}),
    ],
)
def test_texts_are_taken_apart_as_the_server_does(text: str, columns: set[str]) -> None:
    found = of(text)
    assert found.effect is Effect.READ
    assert found.columns == columns
    assert [use.name for use in found.objects] == ["cards"]


@pytest.mark.parametrize(
    "name",
    ["größe", "GRÖSSE", "名前", "\u043d\u043e\u043c\u0435\u0440", "\u03b1\u03c1\u03b9\u03b8\u03bc\u03cc", "a b", "1"],
)
def test_names_that_are_the_same_everywhere_are_understood(name: str) -> None:
    for text in (f"SELECT `{name}` FROM cards", f"SELECT 1 AS '{name}' FROM cards"):
        assert of(text).effect is Effect.READ


@pytest.mark.parametrize(
    "name",
    [" a", "\ta", "\u0130", "\u0131", "\u212a", "\u017f", "x\u03a3", "x\u03c2", "\u13a0", "\u023a", "\U0001f4b3"],
)
def test_names_that_a_server_may_take_for_others_are_not(name: str) -> None:
    for text in (f"SELECT `{name}` FROM cards", f"SELECT 1 AS '{name}' FROM cards"):
        assert of(text).effect is Effect.UNKNOWN


def test_a_name_in_quotes_needs_an_as() -> None:
    assert of("SELECT pan AS 'x' FROM cards").effect is Effect.READ
    assert of("SELECT pan 'x' FROM cards").effect is Effect.UNKNOWN


EVERYTHING = (
    r"LOAD DATA LOW_PRIORITY LOCAL INFILE 'C:\\a\_b''c' REPLACE INTO TABLE s.`t u` PARTITION (p0, p1)"
    r" CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '\\'"
    r" LINES STARTING BY 'x' TERMINATED BY 0x0a IGNORE 1 LINES (a, @b, `C`) SET d = @b + 1, e = (SELECT MAX(id) FROM o)"
)


def test_the_file_that_a_text_reads_is_known_as_the_server_asks_for_it() -> None:
    assert local_file("load data /* x */ local infile 'x' into table t") == "x"
    assert local_file(EVERYTHING) == r"C:\a\_b'c"
    for text in ("SELECT 1", "LOAD DATA INFILE 'x' INTO TABLE t", "LOAD DATA LOCAL INFILE 'x'; SELECT 1", "'", ""):
        assert local_file(text) is None


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t", [("load_local", "t", None)]),
        ("LOAD DATA CONCURRENT LOCAL INFILE 'x' IGNORE INTO TABLE t IGNORE 2 ROWS (@a)", [("load_local", "t", ())]),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t SET a = 1", [("load_local", "t", None), ("load_local", "t", ("a",))]),
        (
            EVERYTHING,
            [("delete", "s.t u", None), ("load_local", "s.t u", ("a", "c", "d", "e")), ("select", "o", None)],
        ),
        ("SELECT * FROM shop.cards", [("select", "shop.cards", None)]),
        (
            "SELECT 1 FROM a, b JOIN c ON a.x = c.x",
            [("select", "a", None), ("select", "b", None), ("select", "c", None)],
        ),
        ("SELECT (SELECT max(pan) FROM cards) FROM t", [("select", "cards", None), ("select", "t", None)]),
        ("WITH w AS (SELECT pan x FROM cards) SELECT x FROM w", [("select", "cards", None)]),
        # A query that bears a table's name reads the table.
        ("WITH cards AS (SELECT * FROM cards) SELECT pan FROM cards", [("select", "cards", None)]),
        ("INSERT INTO t (a, b) SELECT x, y FROM s", [("select", "s", None), ("insert", "t", ("a", "b"))]),
        (
            "INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = 2",
            [("insert", "t", ("a",)), ("update", "t", ("a",))],
        ),
        ("REPLACE INTO t VALUES (1)", [("insert", "t", None), ("delete", "t", None)]),
        ("CREATE TABLE z TABLE cards", [("create", "z", None), ("select", "cards", None)]),
        ("CREATE VIEW v AS TABLE cards", [("create", "v", None), ("select", "cards", None)]),
        ("CREATE TABLE z VALUES ROW((SELECT x FROM cards))", [("create", "z", None), ("select", "cards", None)]),
        ("ALTER VIEW v AS SELECT x FROM cards", [("alter", "v", None), ("select", "cards", None)]),
        (
            "RENAME TABLE a TO b, cards TO evil.plain",
            [("alter", "a", None), ("alter", "b", None), ("alter", "cards", None), ("alter", "evil.plain", None)],
        ),
        ("ALTER TABLE z ADD x INT, RENAME AS y", [("alter", "z", None), ("alter", "y", None)]),
        ("ALTER TABLE z RENAME COLUMN x TO y", [("alter", "z", None)]),
        ("ALTER TABLE z EXCHANGE PARTITION p WITH TABLE cards", [("alter", "z", None), ("alter", "cards", None)]),
        ("ALTER TABLE z CONVERT TABLE cards TO PARTITION p", [("alter", "z", None), ("alter", "cards", None)]),
        ("ALTER TABLE z CONVERT PARTITION p TO TABLE e.y", [("alter", "z", None), ("alter", "e.y", None)]),
        ("ALTER TABLE z CONVERT TO CHARACTER SET utf8mb4", [("alter", "z", None)]),
        ("CREATE INDEX i ON cards (pan)", [("alter", "cards", None)]),
        ("CREATE UNIQUE INDEX `on` USING BTREE ON e.cards (pan)", [("alter", "e.cards", None)]),
        ("CREATE OR REPLACE FULLTEXT INDEX IF NOT EXISTS i ON cards (pan)", [("alter", "cards", None)]),
        ("CREATE SPATIAL INDEX i ON cards (pan)", [("alter", "cards", None)]),
        ("CREATE VECTOR INDEX i ON cards (pan)", [("alter", "cards", None)]),
        ("DROP INDEX IF EXISTS i ON e.cards", [("alter", "e.cards", None)]),
        ("DROP INDEX `PRIMARY` ON cards", [("alter", "cards", None)]),
        ("CREATE TABLE z (a INT REFERENCES cards(id))", [("create", "z", None), ("references", "cards", None)]),
        # Of a foreign key, a name without a database's is in that of the table which has the key.
        (
            "CREATE TABLE e.z (a INT, FOREIGN KEY (a) REFERENCES cards (id), FOREIGN KEY (a) REFERENCES f.y (id))",
            [("create", "e.z", None), ("references", "e.cards", None), ("references", "f.y", None)],
        ),
        (
            "ALTER TABLE e.z ADD FOREIGN KEY (a) REFERENCES cards (id), RENAME TO f.y",
            [
                ("alter", "e.z", None),
                ("alter", "f.y", None),
                ("references", "e.cards", None),
                ("references", "f.cards", None),
            ],
        ),
        ("CREATE TABLE z LIKE e.cards", [("create", "z", None), ("references", "e.cards", None)]),
        ("CREATE TABLE IF NOT EXISTS z (LIKE cards)", [("create", "z", None), ("references", "cards", None)]),
        ("CREATE TABLE z (a TEXT CHECK (a LIKE b))", [("create", "z", None)]),
        ("DESCRIBE cards 'p%'", [("select", "information_schema.columns", ())]),
        ("UPDATE a JOIN b ON a.x = b.x SET a.y = 1", [("select", "b", None), ("update", "a", ("y",))]),
        ("DELETE FROM t WHERE a RETURNING b", [("delete", "t", None), ("select", "t", None)]),
        ("INSERT INTO t (a) VALUES (1) RETURNING *", [("insert", "t", ("a",)), ("select", "t", None)]),
        (
            "REPLACE INTO t VALUES (1) RETURNING a",
            [("insert", "t", None), ("delete", "t", None), ("select", "t", None)],
        ),
        ("DELETE a FROM a JOIN b ON a.x = b.x WHERE b.y", [("select", "b", None), ("delete", "a", None)]),
        ("DELETE b FROM a JOIN b ON a.x = b.x", [("select", "a", None), ("delete", "b", None)]),
        ("CREATE TABLE z AS SELECT pan FROM cards", [("create", "z", None), ("select", "cards", None)]),
        ("DROP TABLE a, b", [("drop", "a", None), ("drop", "b", None)]),
        ("SET @x = (SELECT pan FROM cards)", [("select", "cards", None)]),
        ("LOCK TABLES a READ, shop.b AS x WRITE", [("lock", "a", None), ("lock", "shop.b", None)]),
        ("CALL p((SELECT pan FROM cards))", [("select", "cards", None)]),
    ],
)
def test_objects(text: str, uses: list[tuple[str, str, tuple[str, ...] | None]]) -> None:
    found = [(use.verb, use.name, use.columns) for use in of(text).objects]
    assert sorted(found, key=str) == sorted(uses, key=str)


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        ("SELECT pan, c.name AS n, upper(pan) FROM cards c", [("pan", ("pan",)), ("n", ("name",)), ("", ("pan",))]),
        ("SELECT a FROM t UNION SELECT b FROM u", [("a", ("a", "b"))]),
        ("SELECT x FROM (SELECT pan x FROM cards) d", [("x", None)]),
        ("SELECT (SELECT pan FROM cards) p FROM t", [("p", None)]),
        ("SELECT * FROM cards", []),
    ],
)
def test_outputs(text: str, outputs: list[tuple[str, tuple[str, ...] | None]]) -> None:
    found = [
        (output.name, None if output.origins is None else tuple(origin.column for origin in output.origins))
        for output in of(text).outputs
    ]
    assert found == outputs


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("SET sql_mode = 'ANSI_QUOTES'", {"sql_mode": "ANSI_QUOTES"}),
        ("SET @@session.sql_mode = ANSI, autocommit = 0", {"sql_mode": "ANSI", "autocommit": "0"}),
        ("SET sql_mode = CONCAT(@@sql_mode, ',ANSI')", {"sql_mode": None}),
        ("SET sql_mode = ?", {"sql_mode": None}),
        ("SET sql_mode = DEFAULT", {"sql_mode": None}),
        (
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'",
            {
                "character_set_client": "utf8mb4",
                "character_set_connection": "utf8mb4",
                "character_set_results": "utf8mb4",
            },
        ),
        ("SET CHARACTER SET gbk", {"character_set_client": "gbk", "character_set_results": "gbk"}),
        ("SET SESSION TRANSACTION READ WRITE", {"transaction_read_only": "0"}),
        ("USE shop", {"database": "shop"}),
        ("SET @sql_mode = 'ANSI'", {}),
        ("SET PASSWORD = 'x'", {"*": None}),
    ],
)
def test_settings(text: str, settings: dict[str, str | None]) -> None:
    assert dict(of(text).settings) == settings


def test_texts_that_differ_in_literals_alone_have_the_same_facts() -> None:
    assert of("SELECT pan FROM cards WHERE id = 1") is of("SELECT pan FROM cards WHERE id = 2")
    assert of("SELECT 'a'") is of('SELECT "b"')
    assert of("SELECT a FROM t") is not of("SELECT `a` FROM t")
    assert of("SELECT a FROM t").fingerprint != of("SELECT b FROM t").fingerprint


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("SELECT pan FROM cards", []),
        ("SELECT a FROM t JOIN u USING (k) WHERE b = 1 GROUP BY c HAVING max(d) ORDER BY e", ["k", "b", "c", "d", "e"]),
        ("SELECT pan AS p FROM cards ORDER BY p", ["p", "pan"]),
        ("SELECT pan FROM cards ORDER BY 1", ["pan"]),
        ("SELECT DISTINCT pan FROM cards", ["pan"]),
        ("SELECT ROW_NUMBER() OVER (ORDER BY pan) FROM cards", ["pan"]),
        ("SELECT a FROM t NATURAL JOIN u", None),
        ("SELECT a FROM t WHERE b IN (SELECT c FROM u)", None),
        ("SELECT x FROM (SELECT pan x FROM cards) d WHERE x", None),
        ("SELECT pan > 4 AND GET_LOCK('l', 0) FROM cards", None),
        ("SELECT pan > 4 AND SLEEP(1) FROM cards", None),
    ],
)
def test_predicates(text: str, columns: list[str] | None) -> None:
    found = of(text).predicates
    assert (None if found is None else [origin.column for origin in found]) == columns


@pytest.mark.parametrize(
    ("text", "name", "effect"),
    [
        ("CALL app.Refund()", "app.refund", Effect.UNKNOWN),
        ("SELECT App.REFUND(1)", "App.refund", Effect.UNKNOWN),
        ("SELECT `Refund`(1)", "refund", Effect.UNKNOWN),
        ("SELECT `LOAD_FILE`('x')", "load_file", Effect.ADMINISTER),
        ("SELECT `Sleep`(5)", "sleep", Effect.ADMINISTER),
        # A stored function: as a built-in one it would have no quotes.
        ("SELECT `now`()", "now", Effect.UNKNOWN),
    ],
)
def test_routines_are_the_same_in_any_case_and_in_quotes(text: str, name: str, effect: Effect) -> None:
    found = of(text)
    assert (found.calls, found.effect) == ((name,), effect)


@pytest.mark.parametrize(
    "text", ["CALL app.réfund()", "SELECT app.refünd(1)", "SELECT `réfund`(1)", "DROP PROCEDURE app.réfund"]
)
def test_a_routine_that_may_be_another_one_is_not_understood(text: str) -> None:
    assert of(text).effect is Effect.UNKNOWN
    assert "letters" in of(text).reason


def test_a_dropped_routine_is_the_same_in_any_case() -> None:
    assert [use.name for use in of("DROP PROCEDURE app.Refund").objects] == ["app.refund"]
    assert [use.name for use in of("DROP TABLE app.Refund").objects] == ["app.Refund"]


def test_calls_and_what_a_statement_does_apart_from_them() -> None:
    found = of("INSERT INTO t SELECT f(a), upper(b) FROM u")
    assert (found.effect, found.calls, found.apart) == (Effect.UNKNOWN, ("f",), Effect.WRITE)
    assert of("SELECT upper(a) FROM t").apart is None
    called = of("CALL app.refund(1)")
    assert (called.effect, called.calls, called.apart) == (Effect.UNKNOWN, ("app.refund",), Effect.READ)
    assert of("INSERT INTO t VALUES (SLEEP(1))").effect is Effect.ADMINISTER


def test_depth_and_bounds() -> None:
    assert of("SELECT 1").depth == 1
    assert of("SELECT * FROM (SELECT * FROM (SELECT 1 x) a) b").depth == 3
    assert [use.is_bounded for use in of("SELECT * FROM t").objects] == [False]
    assert [use.is_bounded for use in of("SELECT * FROM t LIMIT 1").objects] == [True]
    assert [use.is_bounded for use in of("DELETE FROM t").objects] == [False]
    assert [use.is_bounded for use in of("UPDATE t SET a = 1 WHERE b").objects] == [True]


_WORDS = [
    *(
        "SELECT",
        "FROM",
        "WHERE",
        "UNION",
        "WITH",
        "AS",
        "f(",
        "SET",
        "INTO",
        "a",
        "cards",
        "pan",
        "@x",
        "@@y",
        "?",
        "1",
    ),
    *("(", ")", ",", ".", ";", "'", '"', "`", "\\", "/*", "*/", "/*!", "--", "#", "=", "1.5"),
]


@given(st.lists(st.sampled_from(_WORDS), max_size=30), st.text(max_size=20))
def test_no_text_raises(words: list[str], tail: str) -> None:
    assert isinstance(of(" ".join(words) + tail), Facts)
    assert isinstance(of("".join(words)), Facts)


_PIECES = st.sampled_from(
    [*"aZ_$ .,;()=<>!+*%\n", "1", "20", "1e3", "x1", "'s'", "`q`", "-", "--", "#", "/*", "?", "@a"]
)


@given(st.lists(_PIECES, max_size=20).map("".join))
def test_what_is_known_at_a_glance_has_the_same_form(text: str) -> None:
    glance = at_a_glance(text)
    if not glance:
        return
    try:
        tokens = scan(text)
    except NotUnderstood as error:
        with pytest.raises(NotUnderstood, match=str(error)):
            scan(glance)
    else:
        assert form(scan(glance)) == form(tokens)


def test_the_pairs_of_a_json_object_are_read() -> None:
    facts = of("SELECT JSON_OBJECT('p', pan) FROM cards")
    assert facts.effect is Effect.READ
    assert facts.columns == {"pan"}


FAR = Context(
    catalogue=Catalogue(
        0.0,
        [
            Relation(oid=1, schema="shop", name="far", kind=RelationKind.TABLE, engine="CONNECT"),
            Relation(oid=2, schema="shop", name="near", kind=RelationKind.TABLE, engine="InnoDB"),
            Relation(oid=3, schema="shop", name="seen", kind=RelationKind.VIEW),
        ],
    ),
    search_path=("shop",),
)


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("ALTER TABLE far TABLE_TYPE=MYSQL", Effect.ADMINISTER),
        ("ALTER TABLE shop.far OPTION_LIST='host=127.0.0.1'", Effect.ADMINISTER),
        ("RENAME TABLE near TO z, far TO y", Effect.ADMINISTER),
        ("CREATE TABLE z LIKE far", Effect.ADMINISTER),
        ("CREATE OR REPLACE TABLE far (a INT)", Effect.ADMINISTER),
        ("ALTER TABLE near ADD a INT", Effect.DEFINE),
        ("CREATE TABLE z LIKE near", Effect.DEFINE),
        ("DROP TABLE far", Effect.DEFINE),
        ("CREATE OR REPLACE VIEW seen AS SELECT 1", Effect.DEFINE),
    ],
)
def test_a_table_whose_rows_are_elsewhere_is_changed_and_copied_by_administrators(text: str, effect: Effect) -> None:
    assert facts(text, "mysql", context=FAR).effect is effect
