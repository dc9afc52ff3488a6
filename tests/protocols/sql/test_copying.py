"""Which query has the columns of a COPY."""

from __future__ import annotations

import pytest

from gatepost_sql import Copied, copied


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("COPY t TO STDOUT", Copied('TABLE"t"')),
        ('copy  Shop.T (b, "A") to stdout', Copied(' TABLE"shop"."t"', ("b", "A"))),
        ('COPY binary "a ""b"".c" TO STDOUT', Copied('       TABLE"a ""b"".c"')),
        ("/* é */ COPY d.s.t TO STDOUT;", Copied('        TABLE"d"."s"."t"')),
        ("COPY (SELECT 1) TO STDOUT", Copied("      SELECT 1")),
        ("COPY (SELECT (a) FROM (TABLE t) AS x) TO STDOUT", Copied("      SELECT (a) FROM (TABLE t) AS x")),
        ("COPY/*(*/(SELECT ')', $$)$$ --)\n) TO STDOUT", Copied("          SELECT ')', $$)$$ --)\n")),
        ("COPY (DELETE FROM t RETURNING a) TO STDOUT", Copied("      DELETE FROM t RETURNING a")),
        ("COPY ((SELECT 1) UNION (SELECT 2)) TO STDOUT", Copied("      (SELECT 1) UNION (SELECT 2)")),
        ("COPY (WITH a AS (SELECT 1) TABLE a) TO STDOUT", Copied("      WITH a AS (SELECT 1) TABLE a")),
    ],
)
def test_the_query_stands_where_it_stands_in_the_copy(text: str, expected: Copied) -> None:
    assert copied(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT 1",
        "COPY t FROM STDIN",
        "COPY t TO '/tmp/t'",
        "COPY t TO PROGRAM 'cat'",
        "COPY t TO STDOUT; SELECT 1",
        "COPY (SELECT 1",
        "COPY t TO STDOUT \0",
        "COPY (SELECT " + "(" * 20_000 + ") TO STDOUT",
    ],
)
def test_any_other_text_has_none(text: str) -> None:
    assert copied(text) is None
