"""Questions whose answers tell a card number without showing it, and what an earlier statement has left behind."""

from __future__ import annotations

import pytest
from tests.e2e.adversaries.mysql.house import House, assert_denied, assert_serving, in_every_way

ORACLES = [
    "SELECT COUNT(*) FROM cards JOIN (SELECT '4111111111111111' AS pan) g USING (pan)",
    "SELECT 1 FROM cards WHERE id=1 AND pan>='4111'",
    "SELECT id FROM cards WHERE pan LIKE '41111%'",
    "SELECT id FROM cards WHERE pan REGEXP '^4111'",
    "SELECT id FROM cards WHERE SUBSTR(pan, 7, 1) = '1'",
    "SELECT id FROM cards ORDER BY pan",
    "SELECT id, REVERSE(pan) FROM cards ORDER BY 2",
    "EXPLAIN SELECT 1 FROM cards WHERE pan<'45'",
    "SELECT COUNT(*) FROM cards GROUP BY LEFT(pan, 7)",
    "SELECT DISTINCT LEFT(pan, 7) FROM cards",
    "SELECT id FROM cards GROUP BY id HAVING MIN(pan) > '45'",
    "SELECT id, RANK() OVER (ORDER BY pan) FROM cards",
    "SELECT 1 FROM (SELECT pan AS p FROM cards) c WHERE p > '45'",
    "SELECT 1 FROM renamed WHERE nick > '45'",
    "SELECT 1 FROM (SELECT '4111111111111111' AS pan) g NATURAL JOIN cards",
    "SELECT EXISTS (SELECT 1 FROM cards WHERE pan = '4111111111111111')",
    "SELECT id FROM cards WHERE IF(pan > '45', 1, 0)",
    "SELECT id FROM a WHERE (SELECT LEFT(pan, 1) FROM cards LIMIT 1) = 4",
    "SELECT id FROM cards WHERE IF(LEFT(pan, 1) = 4, SLEEP(1), 0)",
    "SELECT pan AS id, id AS pan FROM cards ORDER BY id",
    "SELECT pan AS id FROM cards HAVING id > '45'",
    "SELECT holder, pan AS p FROM cards HAVING p > '45'",
    "SELECT a.id FROM a JOIN cards USING (id) HAVING MAX(pan) > 4",
    "SELECT id FROM cards ORDER BY (SELECT pan)",
    "SELECT id FROM cards ORDER BY FIELD(LEFT(pan, 1), 4, 5)",
    "SELECT id FROM cards c WHERE EXISTS (SELECT 1 FROM a WHERE a.id < c.pan)",
    "SELECT id FROM cards WHERE (id, pan) > (1, '45')",
    "SELECT id FROM cards WHERE MATCH (pan) AGAINST ('4111')",
    "SELECT id, NTILE(9) OVER (PARTITION BY LEFT(pan, 1) ORDER BY id) FROM cards",
    "SELECT COUNT(DISTINCT LEFT(pan, 1)) FROM cards WHERE id < 5",
    "SELECT GROUP_CONCAT(id ORDER BY pan) FROM cards",
    "SELECT COUNT(*) FROM cards GROUP BY LEFT(pan, 1) WITH ROLLUP",
    "SELECT LEFT(pan, 1) AS l FROM cards UNION SELECT '4'",
    "SELECT id FROM cards WHERE pan IN (SELECT '4111111111111111')",
    "SELECT LEFT(pan, 1) AS l FROM cards INTERSECT SELECT '4'",
    "TABLE cards ORDER BY pan LIMIT 1",
    "SELECT pan > '45' AND GET_LOCK('l', 0) FROM cards",
    "SELECT COALESCE(NULLIF(LEFT(pan, 1), '4'), GET_LOCK('l', 0)) FROM cards",
]
# What keeps a value for later, when its column is no longer there to tell what it is.
KEEPS = [
    "SET @x = (SELECT REVERSE(pan) FROM cards LIMIT 1)",
    "SELECT REVERSE(pan) INTO @x FROM cards LIMIT 1",
    "SELECT @x := REVERSE(pan) FROM cards",
    "SELECT id FROM (SELECT id, @x := REVERSE(pan) AS y FROM cards LIMIT 1) c",
    "SELECT COUNT(*) FROM (SELECT @x := REVERSE(pan) AS y FROM cards) c",
    "WITH c AS (SELECT id, @x := REVERSE(pan) AS y FROM cards) SELECT id FROM c",
    "SELECT holder, (SELECT 1 FROM (SELECT @x := REVERSE(pan) AS y FROM cards LIMIT 1) c) FROM cards",
    "SELECT LAST_INSERT_ID(LEFT(pan, 9)) FROM cards",
    "SELECT `last_insert_id` (LEFT(pan, 9)) FROM cards",
    "SELECT id FROM (SELECT id, LAST_INSERT_ID(LEFT(pan, 9)) AS y FROM cards) c",
    "SELECT GET_LOCK(REVERSE(pan), 0) FROM cards LIMIT 1",
    "SET lock_wait_timeout = (SELECT LEFT(pan, 6) FROM cards LIMIT 1)",
    "GET DIAGNOSTICS CONDITION 1 @x = MESSAGE_TEXT",
]
# Statements whose warnings or errors quote what they have read.
QUOTES = [
    "SELECT CAST(CONCAT(REVERSE(pan), 'x') AS SIGNED) FROM cards",
    "SELECT EXTRACTVALUE(1, CONCAT(0x7e, (SELECT REVERSE(pan) FROM cards LIMIT 1)))",
    "SELECT CAST(REVERSE(pan) AS DATE) FROM cards",
]


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("text", [*ORACLES, *KEEPS])
def test_it_is_denied(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for results in in_every_way(wire, text):
            assert_denied(results)
        assert_serving(wire)


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize(
    "text",
    [
        "SELECT pan < '45' FROM cards",
        "SELECT CASE WHEN pan < '45' THEN 1 ELSE 2 END FROM cards",
        "SELECT 1 / (pan - 4) FROM cards",
        "SELECT NULLIF(LEFT(pan, 1), '4') FROM cards",
        "SELECT ELT(LEFT(pan, 1) = '4', 'x') FROM cards",
        "SELECT REGEXP_SUBSTR(pan, '^4') FROM cards",
    ],
)
def test_it_is_denied_or_says_the_same_of_every_card(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for results in in_every_way(wire, text):
            house.assert_kept(results)
            assert len({tuple(row) for result in results for row in result.rows}) <= 1
        assert_serving(wire)


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("text", QUOTES)
def test_what_warnings_and_errors_quote_is_not_shown(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for show in ("SHOW WARNINGS", "SHOW ERRORS", "SHOW WARNINGS LIMIT 1"):
            house.assert_kept(wire.query(text))
            for results in (wire.query(show), wire.query(f"{text}; {show}")):
                assert_denied(results)
        assert_serving(wire)
