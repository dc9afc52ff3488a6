"""Questions whose answers tell a card number without showing it."""

from __future__ import annotations

import pytest
from tests.e2e.adversaries.house import House, assert_denied, assert_serving, in_every_way

ORACLES = {
    "54 a guess, joined": "SELECT count(*) FROM cards JOIN (SELECT '4111111111111111' AS pan) g USING (pan)",
    "55 a guess, compared": "SELECT 1 FROM cards WHERE id=1 AND pan>='4111'",
    "55 a pattern": "SELECT id FROM cards WHERE pan LIKE '41111%'",
    "55 a digit": "SELECT id FROM cards WHERE substr(pan, 7, 1) = '1'",
    "56 the order": "SELECT id FROM cards ORDER BY pan",
    "56 the order, by position": "SELECT id, reverse(pan) FROM cards ORDER BY 2",
    "70 the plan": "EXPLAIN SELECT 1 FROM cards WHERE pan<'45'",
    "a condition": "SELECT CASE WHEN pan < '45' THEN 1 ELSE 2 END FROM cards",
    "a truth": "SELECT pan < '45' FROM cards",
    "a group": "SELECT count(*) FROM cards GROUP BY left(pan, 7)",
    "a group's condition": "SELECT id FROM cards GROUP BY id HAVING min(pan) > '45'",
    "a window": "SELECT id, rank() OVER (ORDER BY pan) FROM cards",
    "a filter": "SELECT count(*) FILTER (WHERE pan < '45') FROM cards",
    "an alias": "SELECT 1 FROM (SELECT pan AS p FROM cards) c WHERE p > '45'",
    "a view": "SELECT 1 FROM renamed WHERE nick > '45'",
    "a whole row": "SELECT 1 FROM cards c WHERE c::text LIKE '%4111%'",
    "a natural join": "SELECT 1 FROM (SELECT '4111111111111111' AS pan) g NATURAL JOIN cards",
    "how many rows": "SELECT id FROM a LIMIT (SELECT left(pan, 1)::int FROM cards LIMIT 1)",
    "how many rows a function makes": "SELECT id, generate_series(1, left(pan, 1)::int) FROM cards",
    "how many rows a function makes, joined": "SELECT id FROM cards, generate_series(1, left(pan, 1)::int)",
    "a sample": "SELECT id FROM a TABLESAMPLE SYSTEM (50) REPEATABLE ((SELECT left(pan, 2)::int FROM cards LIMIT 1))",
    "a call that is made or not": "SELECT pan > '45' AND set_config('application_name', 'x', false) > '' FROM cards",
    "a call behind COALESCE": "SELECT coalesce(nullif(pan, ''), set_config('application_name', 'x', false)) FROM cards",
    "a call behind a row": "SELECT ROW(pan, set_config('application_name', 'x', false)) = ROW('4', 'x') FROM cards",
    "a WITH that is run or not": "WITH w AS (SELECT set_config('application_name', 'x', false) AS c) "
    "SELECT pan > '45' AND (SELECT c FROM w) > '' FROM cards",
    "an existence": "SELECT EXISTS (SELECT FROM cards WHERE pan = '4111111111111111')",
    "a set": "SELECT '4111111111111111' IN (SELECT pan FROM cards)",
    "an intersection": "SELECT '4111111111111111' INTERSECT SELECT pan FROM cards",
    "an error": "SELECT 1 / (pan::numeric - 4111111111111111) FROM cards",
    "a NULL": "SELECT nullif(left(pan, 1), '4') FROM cards",
    "a NULL for no match": "SELECT substring(pan from '^4') FROM cards",
}
# What keeps a value for later, or tells it beside the rows.
KEEPS = {
    "a setting": "SELECT set_config('application_name', reverse(pan), false) FROM cards WHERE id = 1",
    "a setting, from a query": "SELECT set_config('application_name', (SELECT reverse(pan) FROM cards LIMIT 1), false)",
    "a setting, beside": "SELECT id FROM cards, LATERAL (SELECT set_config('application_name', reverse(pan), false)) s",
    "a notification": "SELECT pg_notify('c', reverse(pan)) FROM cards",
    "a lock": "SELECT pg_advisory_lock(left(pan, 9)::int) FROM cards",
    "a seed": "SELECT setseed(('0.' || left(pan, 9))::float8) FROM cards WHERE id = 1",
}
# What these give is masked or removed, so that no answer depends on what was asked.
SHOWN = {"a condition", "a truth", "a set", "an error", "a NULL", "a NULL for no match"}


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("name", [*(name for name in ORACLES if name not in SHOWN), *KEEPS])
def test_it_is_denied(house: House, role: str, name: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for answers in in_every_way(wire, {**ORACLES, **KEEPS}[name]):
            assert_denied(answers)
        assert_serving(wire)


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("name", SHOWN)
def test_it_is_denied_or_says_the_same_of_every_card(house: House, role: str, name: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for answers in in_every_way(wire, ORACLES[name]):
            house.assert_kept(answers)
            assert len({tuple(answer.cells) for answer in answers if answer.kind == "D"}) <= 1
        assert_serving(wire)
