"""Texts that try to look harmless: none of them may pass for a read, or hide what it touches."""

from __future__ import annotations

import pytest
from tests.protocols.sql.shop import of

from gatepost import Effect
from gatepost_sql import facts
from gatepost_sql.effects import STRENGTH

CONTROL, WRITE, DEFINE = Effect.CONTROL, Effect.WRITE, Effect.DEFINE
ADMINISTER, UNKNOWN = Effect.ADMINISTER, Effect.UNKNOWN


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("SELECT 1; COMMIT; DROP SCHEMA public CASCADE", DEFINE),
        ("WITH d AS (DELETE FROM cards RETURNING *) SELECT * FROM d", WRITE),
        ("SELECT * INTO z FROM cards", DEFINE),
        ("EXPLAIN (ANALYZE, FORMAT json) DELETE FROM cards", WRITE),
        ("DO $x$BEGIN EXECUTE 'DR'||'OP TABLE cards'; END$x$", UNKNOWN),
        ("PREPARE p AS DELETE FROM cards; EXECUTE p", UNKNOWN),
        ("COPY cards TO PROGRAM 'cat'", ADMINISTER),
        ("COPY (DELETE FROM cards RETURNING pan) TO STDOUT", WRITE),
        ("SET ROLE admin; SET SESSION AUTHORIZATION admin; RESET ROLE", CONTROL),
        ("SELECT set_config('role','admin',false)", CONTROL),
        ("SET search_path=evil,public; SELECT pan FROM cards", CONTROL),
        ("CREATE TEMP TABLE cards(id int, pan text)", DEFINE),
        ("SELECT * FROM pg_read_file('/etc/passwd')", ADMINISTER),
        ("SELECT query_to_xml('select pan from cards',true,false,'')", UNKNOWN),
        ("SELECT * FROM dblink('dbname=app','delete from cards returning pan') AS t(p text)", UNKNOWN),
        ("SELECT pg_notify('c',pan) FROM cards; LISTEN c", CONTROL),
        ("SELECT nextval('s'), pg_advisory_lock(1), pg_terminate_backend(42)", ADMINISTER),
        ("SELECT my_security_definer_fn(1)", UNKNOWN),
        ("/* /* SELECT */ */ DROP TABLE cards -- SELECT", DEFINE),
        ("SELECT $$;$$; DROP TABLE cards", DEFINE),
        ("SET standard_conforming_strings=off", CONTROL),
        ("CREATE VIEW v AS SELECT pan AS x FROM cards; SELECT x FROM v", DEFINE),
        ("ALTER TABLE cards RENAME pan TO nick; SELECT nick FROM cards", DEFINE),
        ("SET client_encoding='SJIS'", CONTROL),
        ("DO $$BEGIN RAISE NOTICE '%',(SELECT pan FROM cards LIMIT 1); END$$", UNKNOWN),
        ("SELECT get_raw_page('cards',0)", UNKNOWN),
        ("UPDATE pg_settings SET setting='admin' WHERE name='role'", WRITE),
        ("SELECT lo_import('/etc/passwd'), lo_export(1,'/tmp/x')", ADMINISTER),
        ("SELECT * FROM cards WHERE id = (SELECT setval('s', 1))", WRITE),
        ("SELECT ts_stat('delete from cards')", UNKNOWN),
        ("SELECT table_to_xml('cards', true, false, '')", UNKNOWN),
        ("SELECT * FROM cards ORDER BY evil(pan)", UNKNOWN),
        ("SELECT 1 WHERE 1 OPERATOR(evil.=) 1", UNKNOWN),
        ("SELECT '1'::evil.trigger_me", UNKNOWN),
        ("TABLE cards; DELETE FROM cards", WRITE),
        ("SELECT 1 FROM cards FOR UPDATE", WRITE),
        ("EXPLAIN ANALYZE EXECUTE p", UNKNOWN),
        ("CREATE RULE r AS ON SELECT TO t DO INSTEAD SELECT evil()", UNKNOWN),
    ],
)
def test_it_is_no_read(text: str, effect: Effect) -> None:
    assert facts(text).effect is effect
    assert STRENGTH[of(text).effect] >= STRENGTH[effect]


def columns_of_cards(text: str) -> set[str]:
    """What a statement touches of the table, by the catalogue."""
    return {column for use in of(text).objects if use.name == "public.cards" for column in use.columns or ()}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT pan AS x FROM cards",
        "SELECT reverse(pan), left(pan,8), substr(pan,9) FROM cards",
        "SELECT encode(pan::bytea,'hex') FROM cards",
        "SELECT md5(pan) FROM cards",
        "SELECT string_agg(pan,','), array_agg(pan), max(pan) FROM cards",
        "SELECT count(*) FROM cards JOIN (SELECT '4111111111111111' AS pan) g USING (pan)",
        "SELECT 1 FROM cards WHERE id=1 AND pan>='4111'",
        "SELECT id FROM cards ORDER BY pan",
        "SELECT pan::int FROM cards",
        "SELECT pan::numeric, pan::bigint, ARRAY[pan], ROW(pan) FROM cards",
        "EXPLAIN SELECT 1 FROM cards WHERE pan<'45'",
        "SELECT left(pan,6)||chr(8203)||right(pan,10) FROM cards",
        "SELECT regexp_split_to_table(pan,'') FROM cards",
        "COPY cards (id, pan) TO STDOUT",
        "COPY (SELECT pan FROM cards) TO STDOUT (FORMAT csv)",
        'SELECT U&"p\\0061n" FROM cards',
        "SELECT id FROM cards GROUP BY id HAVING min(pan) > '4'",
        "SELECT sum(id) OVER w FROM cards WINDOW w AS (ORDER BY pan)",
        "SELECT DISTINCT ON (pan) id FROM cards",
        "SELECT 1 LIMIT (SELECT count(pan) FROM cards)",
    ],
)
def test_the_column_is_seen(text: str) -> None:
    assert "pan" in facts(text).columns
    assert "pan" in columns_of_cards(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT row_to_json(c), c::text, to_jsonb(c)->>'pan', ROW(c.*)::text FROM cards c",
        "SELECT x.c3 FROM (SELECT * FROM cards) x(c1,c2,c3,c4,c5)",
        "SELECT a.*, c.* FROM a JOIN cards c ON a.id=c.id",
        "SELECT (c).pan, (c).* FROM cards c",
        "COPY cards TO STDOUT (FORMAT csv)",
        "COPY cards TO STDOUT (FORMAT binary)",
        "SELECT count(*) FROM cards NATURAL JOIN (SELECT '4111111111111111' AS pan) g",
        "SELECT cards FROM cards",
        "SELECT cards.to_json FROM cards",
        "SELECT 1 FROM cards c GROUP BY c",
        "SELECT hash_record(c) FROM cards c",
        "DELETE FROM cards RETURNING old",
        "TABLE cards",
    ],
)
def test_a_whole_row_counts_as_every_column(text: str) -> None:
    assert "*" in facts(text).columns
    # A catalogue tells which columns a NATURAL JOIN compares.
    every = {"pan"} if "NATURAL" in text else {"id", "holder", "pan", "cvv", "meta"}
    assert columns_of_cards(text) == every


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SELECT most_common_vals FROM pg_stats WHERE tablename='cards'", "pg_stats"),
        ("SELECT query FROM pg_stat_activity", "pg_stat_activity"),
        ("SELECT e FROM cards, LATERAL jsonb_array_elements(meta->'pans') e", "cards"),
        ("SELECT 1 FROM a WHERE EXISTS (WITH x AS (TABLE cards) TABLE x)", "cards"),
        ("INSERT INTO notes SELECT pan FROM cards", "cards"),
        ("SELECT 1 FROM (VALUES ((SELECT pan FROM cards LIMIT 1))) v", "cards"),
    ],
)
def test_the_table_is_seen(text: str, name: str) -> None:
    assert name in {use.name for use in facts(text).objects}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT x.c3 FROM (SELECT * FROM cards) x(c1,c2,c3,c4,c5)",
        "SELECT nick FROM cards AS c(id, holder, nick)",
        "WITH w AS (SELECT pan AS x FROM cards) SELECT x FROM w",
        "SELECT e FROM cards, LATERAL jsonb_array_elements(meta->'pans') e",
        "SELECT (SELECT pan FROM cards)",
        "SELECT c FROM cards c",
        "SELECT j.x FROM (cards c JOIN a USING (id)) AS j(id, x)",
    ],
)
def test_an_origin_that_is_not_certain_is_not_told(text: str) -> None:
    assert all(output.origins is None for output in facts(text).outputs)
