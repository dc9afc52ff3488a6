"""Texts that would cost too much. They are judged in a process of their own, which must survive them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gatepost import Effect
from gatepost_sql import facts
from gatepost_sql.bounds import MAX_BYTES, MAX_COMMENTS

BOMBS = {
    "brackets": "select " + "(" * 10_000 + "1" + ")" * 10_000,
    "more brackets": "select " + "(" * 400_000,
    "calls": "select " + "f(" * 5_000 + "1" + ")" * 5_000,
    "subqueries": "select " + "(select " * 5_000 + "1" + ")" * 5_000,
    "few subqueries": "select " + "(select " * 390 + "1" + ")" * 390,
    "derived tables": "select 1 from " + "(select 1 from " * 3_000 + "a" + ") b" * 3_000,
    "with": "with a as (" * 3_000 + "select 1" + ") select 1" * 3_000,
    "case": "select " + "case when true then " * 3_000 + "1" + " end" * 3_000,
    "arrays": "select " + "array[" * 9_000 + "1" + "]" * 9_000,
    "not": "select " + "not " * 9_000 + "true",
    "sum": "select " + "+".join("1" * 15_000),
    "long sum": "select " + "+".join("1" * 500_000),
    "concatenation": "select " + "||".join("a" * 250_000),
    "casts": "select 1" + "::int" * 190_000,
    "time zones": "select a" + " at time zone b" * 60_000,
    "collations": "select a" + ' collate "C"' * 80_000,
    "is null": "select 1" + " isnull" * 140_000,
    "joins": "select 1 from a" + " cross join b" * 70_000,
    "set operations": " union ".join(["select 1"] * 60_000),
    "conditions": "select " + " and ".join(["a=1"] * 100_000),
    "columns": "select " + ",".join("1" * 500_000),
    "statements": "select 1;" * 100_000,
    "nested comments": "/*" * 200_000 + "*/" * 200_000 + " select 1",
    "unfinished comments": "/*" * 500_000,
    "assignments": "update t set (" + ",".join("a" * 8_000) + ") = (" + ",".join("1" * 8_000) + ")",
    "commented assignments": "update t set (" + ",".join("a" * 4_000) + ")/**/\n--\n=(" + ",".join("1" * 4_000) + ")",
    "nested assignments": "update t set (a,b,c,d,e,f,g,h)=(with x as (" * 12 + "select 1" + ") select 1)" * 12,
    "long": "select '" + "x" * MAX_BYTES + "'",
    "very long": "select '" + "x" * (10 << 20) + "'",
    "long name": 'select "' + "é" * 200_000 + '"',
    "quotes": "select " + "'" * 500_001,
    "dollars": "select " + "$a$" * 100_001,
}


# These are cheap to judge by their texts, and dear to follow.
FOLLOWED = {
    "stars": "select *,*,* from (" * 60 + "select 1" + ") s" * 60,
    "recursion": "with recursive r as (select a from t union all " * 40 + "select 1" + " from r) select 1 from r" * 40,
    "recursion in recursion": "with recursive r as (select 1 union all (" * 30
    + "select id from a"
    + ")) select * from r" * 30,
    "whole rows": "select array[" + "a," * 49_000 + "a] from " + "a cross join " * 300 + "a",
    "many tables": "select " + "x," * 30_000 + "x from a" + " cross join (select 1 as x) b" * 300,
    "using": "select * from a" + " join a using (id)" * 400,
}

PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
from gatepost_sql import Context, facts
from gatepost_sql.catalogue import Attribute, Catalogue, Relation, RelationKind
columns = tuple(Attribute(number, f"c{number}") for number in range(1, 1000)) + (Attribute(1000, "id"),)
table = Relation(oid=1, schema="public", name="a", kind=RelationKind.TABLE, attributes=columns)
context = Context(catalogue=Catalogue(0.0, [table]), search_path=("public",)) if sys.argv[1:] else None
found = facts(sys.stdin.read(), context=context)
print(found.effect.value, bool(found.reason) or found.effect.value != "unknown")
"""


def judged(text: str, *arguments: str) -> str:
    """The effect that a process of its own finds."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    effect, has_reason = done.stdout.split()
    assert has_reason == "True"
    return effect


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_unknown_and_the_process_survives(name: str) -> None:
    assert judged(BOMBS[name]) == ("read" if name == "long name" else "unknown")


@pytest.mark.parametrize("name", [*BOMBS, *FOLLOWED])
def test_so_it_is_with_a_catalogue(name: str) -> None:
    text = BOMBS.get(name) or FOLLOWED[name]
    assert judged(text, "by a catalogue") == ("read" if name == "long name" else "unknown")


def test_large_statements_of_ordinary_shape_are_understood() -> None:
    rows = ",".join(f"({number}, 'a''b-c', -{number})" for number in range(5_000))
    assert facts(f"insert into t values {rows}").effect is Effect.WRITE
    many = ",".join(str(number) for number in range(20_000))
    assert facts(f"select a from t where lower(b) = 'x' and c in ({many})").effect is Effect.READ
    assert facts("select '" + "(" * 100_000 + "'").effect is Effect.READ
    assert facts("/* x */ " * (MAX_COMMENTS // 2) + "select 1").effect is Effect.READ


def test_assignments_of_many_columns_are_understood() -> None:
    names = ", ".join(f"c{number}" for number in range(40))
    values = ", ".join(f"${number}" for number in range(1, 41))
    text = f"update t set ({names}) = ({values}) where lower(a) = 'x'"
    assert facts(text).effect is Effect.WRITE
    merge = (
        "merge into t using u on t.id = u.id"
        f" when matched and u.a then update set ({names}) = ({values})"
        f" when matched then update set ({names}) = ({values})"
        f" when not matched then insert ({names}) values ({values})"
    )
    assert facts(merge).effect is Effect.WRITE
