"""What is said of a query's columns, against what a running PostgreSQL says of them, and against their values.

Every text column holds its own name, so a value tells which columns it came from.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import psycopg
import pytest
from tests.protocols.sql.queries import Queries
from tests.servers import Database

from gatepost import Facts, Origin, Secret, Target, UpstreamCredentials
from gatepost.adapter import TlsTerms
from gatepost_postgres import inspector
from gatepost_sql import Context, base, facts
from gatepost_sql.catalogue import Catalogue

SCHEMA = """
CREATE SCHEMA line;
SET search_path = line;
CREATE TABLE people (id int PRIMARY KEY, name text, dropped int, mail text, meta jsonb);
ALTER TABLE people DROP COLUMN dropped;
INSERT INTO people VALUES (1, '<people.name>', '<people.mail>', '{"m": "<people.meta>", "l": ["<people.meta>"]}');
CREATE TABLE cards (id int, person int, pan text, cvv text);
INSERT INTO cards VALUES (7, 1, '<cards.pan>', '<cards.cvv>'), (8, 1, '<cards.pan>2', NULL), (9, 2, 'x', '<cards.cvv>');
CREATE TABLE tree (id int, parent int, label text);
INSERT INTO tree VALUES (1, NULL, '<tree.label>'), (2, 1, '<tree.label>');
CREATE TABLE parts (day int, note text) PARTITION BY RANGE (day);
CREATE TABLE parts_one PARTITION OF parts FOR VALUES FROM (0) TO (10);
INSERT INTO parts VALUES (1, '<parts.note>');
CREATE TABLE names_differ (person bigint, pan varchar);
INSERT INTO names_differ VALUES (1, '<names_differ.pan>'), (2, '<names_differ.pan>2');
CREATE TYPE pair AS (a text, b text);
CREATE TABLE composed (id int, p pair);
INSERT INTO composed VALUES (1, ROW('<composed.p>', '<composed.p>'));
CREATE VIEW owners AS SELECT c.pan AS number, p.name AS owner, upper(c.cvv) AS code
    FROM cards c JOIN people p ON p.id = c.person;
CREATE VIEW starred AS SELECT * FROM cards;
CREATE VIEW above AS SELECT o.number AS deep, s.cvv, o.code || s.pan AS joined FROM owners o, starred s;
CREATE VIEW "Odd View"("Odd Name") AS SELECT mail FROM people;
CREATE VIEW unioned AS SELECT pan AS x FROM cards UNION ALL SELECT mail FROM people;
CREATE RECURSIVE VIEW deeper (id, label) AS
    SELECT id, label FROM tree WHERE parent IS NULL UNION ALL
    SELECT t.id, t.label FROM tree t JOIN deeper d ON t.parent = d.id;
CREATE VIEW merged AS SELECT * FROM cards JOIN names_differ USING (person, pan) WHERE false
    UNION ALL SELECT person, pan, id, cvv FROM cards;
CREATE MATERIALIZED VIEW kept AS SELECT pan AS secret, id FROM cards;
CREATE FUNCTION plain(x text) RETURNS text LANGUAGE sql IMMUTABLE RETURN '[' || x || ']';
CREATE FUNCTION pan_of(n int) RETURNS text LANGUAGE sql STABLE AS 'SELECT pan FROM line.cards WHERE id = n';
CREATE FUNCTION rows_of() RETURNS SETOF line.cards LANGUAGE sql STABLE AS 'SELECT * FROM line.cards';
"""

QUERIES = """
SELECT * FROM cards
SELECT c.pan AS x, c.cvv, line.cards.id FROM cards c, cards
SELECT * FROM people, cards
SELECT p.*, c.pan FROM people p JOIN cards c ON c.person = p.id
SELECT * FROM people p LEFT JOIN cards c ON c.id = p.id
SELECT * FROM cards JOIN names_differ USING (person)
SELECT * FROM cards RIGHT JOIN names_differ USING (person)
SELECT * FROM cards FULL JOIN names_differ USING (person)
SELECT person, u.person FROM cards JOIN names_differ USING (person) AS u
SELECT * FROM cards NATURAL LEFT JOIN names_differ
SELECT j.c FROM (cards JOIN tree ON true) AS j(a, b, c)
SELECT j.* FROM (cards c JOIN tree t USING (id)) AS j
SELECT * FROM ((cards JOIN tree USING (id)) JOIN people USING (id)) AS q
SELECT number, owner, code FROM owners
SELECT * FROM above
SELECT deep AS d, joined FROM above WHERE cvv <> ''
SELECT * FROM "Odd View"
SELECT "Odd Name" AS pan FROM "Odd View" AS v
SELECT x FROM unioned
SELECT * FROM deeper
SELECT * FROM merged
SELECT * FROM kept
SELECT secret FROM kept k
SELECT * FROM starred AS s(one, two)
SELECT one FROM starred AS s(one, two), people
SELECT note, day FROM parts
SELECT *, note || '' FROM parts_one
SELECT p, (p).a, (composed.p).b, (p).* FROM composed
SELECT composed FROM composed
SELECT c, c::text, ROW(c.*), to_jsonb(c), row_to_json(c) ->> 'pan' FROM cards c
SELECT (c).pan, (c).* FROM cards c
SELECT c.to_jsonb FROM cards c
SELECT pan || cvv, lower(pan), pan::varchar, pan COLLATE "C", left(pan, 3) || right(pan, 20) FROM cards
SELECT coalesce(pan, cvv), CASE WHEN id = 7 THEN cvv ELSE pan END, nullif(pan, ''), greatest(pan, cvv) FROM cards
SELECT string_agg(pan, ','), array_agg(cvv), max(pan), count(*) FROM cards
SELECT first_value(pan) OVER (ORDER BY id), lag(cvv, 0) OVER w FROM cards WINDOW w AS (PARTITION BY person)
SELECT ARRAY[pan, cvv], ARRAY(SELECT name FROM people), ROW(pan, 1) FROM cards
SELECT (SELECT pan FROM cards LIMIT 1), EXISTS (SELECT cvv FROM cards)
SELECT (SELECT c FROM cards c LIMIT 1)
SELECT (SELECT name FROM people p WHERE p.id = c.person) AS who, pan FROM cards c
SELECT x FROM (SELECT pan AS x FROM cards) s
SELECT x.c3, c2 FROM (SELECT * FROM cards) x(c1, c2, c3)
SELECT y FROM (SELECT x AS y FROM (SELECT pan AS x, 1 FROM cards) s) t
SELECT l.x FROM cards c, LATERAL (SELECT c.pan AS x) l
SELECT l.x FROM cards c LEFT JOIN LATERAL (SELECT c.pan AS x LIMIT 1) l ON true
SELECT * FROM (VALUES (1, (SELECT pan FROM cards LIMIT 1)), (2, '')) AS v(n, w)
WITH w AS (SELECT pan AS x FROM cards) SELECT x, w.x FROM w
WITH w(a, b, c) AS (SELECT * FROM cards) SELECT c, a, cvv FROM w
WITH a AS (SELECT pan AS x FROM cards), b AS (SELECT x AS y FROM a) SELECT b.y FROM b, a
WITH cards AS (SELECT mail AS pan FROM people) SELECT pan FROM cards
WITH cards AS (SELECT mail AS pan FROM people) SELECT pan FROM line.cards
WITH people AS (SELECT * FROM people) SELECT * FROM people
WITH RECURSIVE r AS (SELECT id, label, '' AS path FROM tree WHERE parent IS NULL UNION ALL \
    SELECT t.id, t.label, r.path || r.label FROM tree t JOIN r ON t.parent = r.id) SELECT * FROM r
WITH RECURSIVE r(n, p, q, s) AS (SELECT 1, '', '', '' UNION ALL \
    SELECT n + 1, (SELECT pan FROM cards LIMIT 1), p, q FROM r WHERE n < 5) SELECT * FROM r
WITH RECURSIVE r AS (SELECT id, label FROM tree UNION ALL SELECT id + 1, label FROM r WHERE id < 3) \
    SEARCH DEPTH FIRST BY label SET o CYCLE id SET m USING path SELECT * FROM r
WITH d AS (DELETE FROM cards RETURNING pan AS gone, *) SELECT * FROM d
WITH u AS (UPDATE people SET name = '<people.name>' RETURNING mail) TABLE u
SELECT pan FROM cards UNION SELECT name FROM people
SELECT pan, 1 FROM cards UNION ALL (SELECT mail, 2 FROM people ORDER BY 1 LIMIT 1)
SELECT pan FROM cards EXCEPT SELECT name FROM people
(SELECT pan FROM cards LIMIT 1) INTERSECT ALL SELECT pan FROM cards
TABLE cards
SELECT e FROM people, jsonb_each_text(meta) e
SELECT key, value FROM people, jsonb_each_text(meta)
SELECT k, v FROM people, LATERAL jsonb_each_text(meta) AS e(k, v)
SELECT e FROM people, jsonb_array_elements_text(meta -> 'l') e
SELECT e, n FROM people, jsonb_array_elements_text(meta -> 'l') WITH ORDINALITY AS f(e, n)
SELECT meta ->> 'm', meta['m'] FROM people
SELECT t.m FROM people, json_table(meta, '$' COLUMNS (m text PATH '$.m')) t
SELECT r.m FROM people, jsonb_to_record(meta) AS r(m text)
SELECT x.a FROM people, ROWS FROM (unnest(ARRAY[mail]), unnest(ARRAY[1])) AS x(a, b)
SELECT regexp_split_to_table(pan, '[.]') FROM cards
SELECT unnest(ARRAY[pan, cvv]) FROM cards
SELECT plain(pan), plain('x') FROM cards
SELECT pan_of(7), pan_of(id) FROM cards
SELECT * FROM rows_of()
SELECT pan FROM rows_of()
SELECT r.pan, rows_of() FROM rows_of() r
SELECT pan FROM cards TABLESAMPLE BERNOULLI (100)
SELECT DISTINCT ON (pan) cvv FROM cards
SELECT pan FROM cards GROUP BY pan HAVING count(*) > 0 ORDER BY 1 LIMIT 1
SELECT GROUPING(pan), pan FROM cards GROUP BY ROLLUP (pan)
SELECT cards.ctid, tableoid::regclass FROM cards
INSERT INTO cards SELECT 9, 1, mail, name FROM people RETURNING *
INSERT INTO cards VALUES (1, 1, '', '') RETURNING pan AS p, id + 1
INSERT INTO people VALUES (1, '', '') ON CONFLICT (id) DO UPDATE SET name = excluded.name || people.name \
    RETURNING *, old.mail
UPDATE cards c SET pan = p.mail FROM people p WHERE p.id = c.person RETURNING p.name, c.*, old.pan, new.cvv
UPDATE "Odd View" SET "Odd Name" = c.pan FROM cards c RETURNING "Odd Name", c.cvv
WITH u AS (UPDATE tree SET label = c.pan FROM cards c RETURNING label, pan) SELECT label FROM u
UPDATE starred SET cvv = '' RETURNING *
DELETE FROM cards USING people RETURNING *
MERGE INTO cards c USING people p ON p.id = c.person WHEN MATCHED THEN UPDATE SET pan = '' RETURNING merge_action(), *
MERGE INTO cards c USING people p ON p.id = c.person WHEN MATCHED THEN DELETE RETURNING WITH (OLD AS o) o.pan, p.mail
SELECT most_common_vals, tablename FROM pg_stats LIMIT 1
SELECT relname FROM pg_class WHERE relname = 'cards'
SELECT table_name FROM information_schema.tables WHERE table_name = 'cards'
SELECT pan FROM cards FOR UPDATE
SELECT pan FROM ONLY cards
SELECT json_object('a': cvv), json_array(SELECT pan FROM cards) FROM cards
SELECT pan IS NULL, NOT pan = '', pan LIKE '<%', pan BETWEEN '' AND 'z', id IN (7) FROM cards
""".strip().splitlines()

MARK = re.compile(r"<(\w+)\.(\w+)>", re.IGNORECASE)


class Line:
    """A server with the schema, and its catalogue."""

    def __init__(self, connection: psycopg.Connection, catalogue: Catalogue) -> None:
        self.connection = connection
        self.catalogue = catalogue

    def facts(self, text: str) -> Facts:
        return facts(text, context=Context(catalogue=self.catalogue, search_path=("line",), database="shop"))

    def rows(self, text: str) -> list[tuple]:
        return self.connection.execute(text.encode()).fetchall()

    def described(self, text: str) -> tuple[list[str], list[Origin | None], list[tuple]]:
        """The names of a query's columns, the base columns that the server says they are, and its rows as text."""
        with self.connection.transaction(force_rollback=True):
            cursor = self.connection.execute(text.encode())
            result = cursor.pgresult
            assert result is not None
            columns = range(result.nfields)
            bases = [base(self.catalogue, result.ftable(column), result.ftablecol(column)) for column in columns]
            rows = [
                tuple((result.get_value(row, column) or b"").decode() for column in columns)
                for row in range(result.ntuples)
            ]
            return [column.name for column in cursor.description or ()], bases, rows


@pytest.fixture(scope="module")
def line(postgres: Database) -> Iterator[Line]:
    server = postgres.server
    target = Target(name="shop", protocol="postgres", host="127.0.0.1", port=server.port, database="shop")
    credentials = UpstreamCredentials(user=server.user, password=Secret(server.password))
    with postgres.connect() as connection:
        connection.execute(SCHEMA)
        yield Line(connection, asyncio.run(inspector.inspect(target, credentials, TlsTerms())))
        connection.execute("DROP SCHEMA line CASCADE")


def check_description(found: Facts, names: list[str], bases: list[Origin | None]) -> None:
    """Names are the server's, and a column is direct where the server says so."""
    assert [output.name for output in found.outputs] == names
    for output, described in zip(found.outputs, bases, strict=True):
        if described is not None:
            assert output.origins is not None
            assert described in output.origins
        if output.is_direct:
            assert output.origins
            assert described in output.origins
            # A partition's column is its parent's, too.
            assert len(output.origins) == 1 or "line.parts" in {origin.relation for origin in output.origins}


def check_values(found: Facts, rows: list[tuple]) -> None:
    """No value comes from a column that is not told."""
    touched = {(use.name, column) for use in found.objects for column in use.columns or ()}
    for row in rows:
        for position, value in enumerate(row):
            for table, column in MARK.findall(value.lower()):
                assert (f"line.{table}", column) in touched
                origins = found.outputs[position].origins if found.outputs else None
                assert origins is None or Origin(f"line.{table}", column) in origins


@pytest.mark.parametrize("text", QUERIES)
def test_columns_are_those_that_the_server_describes_and_fills(line: Line, text: str) -> None:
    found = line.facts(text)
    names, bases, rows = line.described(text)
    assert found.is_resolved
    if found.outputs:
        check_description(found, names, bases)
    else:
        assert "*" in text
    check_values(found, rows)


def random_queries(line: Line, seed: int, without: Sequence[str]) -> Iterator[str]:
    """Some that the server accepts: a name in them may be ambiguous."""
    tables = {
        name.removeprefix("line."): columns
        for name, columns in sorted(line.catalogue.tables.items())
        if name.startswith("line.") and name not in without
    }
    queries = Queries(seed, tables)
    for _ in range(30):
        text = queries.query(3)
        with contextlib.suppress(psycopg.errors.AmbiguousColumn), line.connection.transaction():
            line.connection.execute(b"EXPLAIN " + text.encode())
            yield text


# Columns that are not text, or whose values are JSON's.
OTHERS = ("line.people", "line.composed", "line.Odd View")
# Views that decide about rows themselves: by what, is not told of those who ask.
DECIDING = ("line.owners", "line.above", "line.deeper", "line.merged", "line.kept")
CHANGED = [
    *(("cards", column) for column in ("id", "pan", "cvv")),
    *(("tree", column) for column in ("id", "label")),
    ("parts", "note"),
    ("names_differ", "pan"),
]


@pytest.mark.parametrize("seed", range(20))
def test_so_are_those_of_random_queries(line: Line, seed: int) -> None:
    for text in random_queries(line, seed, OTHERS):
        found = line.facts(text)
        names, bases, rows = line.described(f"{text} LIMIT 5")
        assert found.is_resolved
        check_description(found, names, bases)
        check_values(found, rows)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_told_of_neither_rows_nor_values_changes_nothing(line: Line, seed: int) -> None:
    for text in random_queries(line, seed, (*OTHERS, *DECIDING)):
        found = line.facts(text)
        before = line.rows(text)
        for table, column in CHANGED:
            origin = Origin(f"line.{table}", column)
            if found.predicates is None or origin in found.predicates:
                continue
            apart = [
                position
                for position, output in enumerate(found.outputs)
                if output.origins is not None and origin not in output.origins
            ]
            with line.connection.transaction(force_rollback=True):
                change = f"{column} + 100" if column == "id" else f"'z' || {column}"
                line.connection.execute(f"UPDATE {table} SET {column} = {change}".encode())
                after = line.rows(text)
            assert Counter(chosen(before, apart)) == Counter(chosen(after, apart))


def chosen(rows: list[tuple], positions: list[int]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        yield tuple(str(row[position]) for position in positions)
