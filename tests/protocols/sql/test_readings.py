r"""Texts that mean one thing with `standard_conforming_strings` on and another with it off."""

from __future__ import annotations

import pytest

from gatepost import Effect
from gatepost_sql import facts
from gatepost_sql.readings import MAX_DIFFERENCES


@pytest.mark.parametrize(
    "text",
    [
        r"SELECT '\', '; DROP TABLE cards; --'",
        r"SELECT 'a\', '; DROP TABLE cards; --'",
        r"SELECT'\', ', evil(), ' --'",
        r"SELECT date'\', ', evil(), ' --'",
        r"SELECT N'\', '; DROP TABLE cards; --'",
        r"SELECT '\\\', '; DROP TABLE cards; --'",
        r"SELECT 'x\'',', pan FROM cards --'",
        r"SELECT 1, '\' /* ', evil() -- */",
        r"SELECT '\', $$', 1; DROP TABLE cards; --$$",
        "SELECT '\\'\n', '; DROP TABLE cards; --'",
        r"SELECT '\', '; update t set (a,a,a)=(1,1,1); --'",
        "SELECT " + r"'\' /* ' */, " * (MAX_DIFFERENCES + 1) + "1",
        r"SELECT '\', '; select " + "+".join("1" * 60_000) + "; --'",
    ],
)
def test_a_text_that_could_do_something_else_is_unknown(text: str) -> None:
    facts("SELECT 'a', 'b'")
    found = facts(text)
    assert found.effect is Effect.UNKNOWN
    assert "standard_conforming_strings" in found.reason


@pytest.mark.parametrize(
    "text",
    [
        r"SELECT a FROM t WHERE b ~ '\d+\.\d*'",
        r"SELECT a FROM t WHERE b LIKE 'a\%' ESCAPE '\'",
        r"SELECT 'C:\temp\', 1",
        r"SELECT split_part(a, '\', 1) FROM t",
        r"SELECT E'\'; DROP TABLE cards; --'",
        r"SELECT 'it''s \\ fine'",
        r"SELECT $$\'$$, $$;'$$",
        'SELECT "a\\" FROM t',
        r"SELECT '\' -- '",
        "SELECT '\\\\'\n'\\d'",
    ],
)
def test_a_backslash_alone_is_no_reason(text: str) -> None:
    assert facts(text).effect is Effect.READ


def test_the_name_of_a_setting_may_be_another_one() -> None:
    assert facts(r"SELECT set_config('ro\le', 'admin', false)").settings == (("*", None),)
