"""The catalogue through the gate: read by an inspector, stale when something is defined, the same for all workers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from tests.servers import Database, Gate, MakeGate, eventually

PASSWORD = "inspector-password"
INSPECTED = """
[plugins.secrets.targets.shop.inspector]
user = "inspector"
password = "env:INSPECTOR_PASSWORD"
"""

# Tells what was found of a statement, in a denial of it.
TELLS = """
import json
import os
from gatepost import Deny, hookimpl

@hookimpl
def on_statement(statement):
    if "tell me" in statement.text:
        facts = statement.facts
        told = {
            "worker": os.getpid(),
            "effect": facts.effect.value,
            "is_resolved": facts.is_resolved,
            "objects": [use.name for use in facts.objects],
            "origins": [
                None if output.origins is None else [f"{each.relation}.{each.column}" for each in output.origins]
                for output in facts.outputs
            ],
        }
        return Deny(reason=json.dumps(told))
"""


class Talk:
    """A client's connection."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.run = connection.execute

    def told(self, text: str) -> dict[str, Any]:
        """What was found of a statement."""
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as denied:
            self.run(f"{text} /* tell me */")
        told: dict[str, Any] = json.loads(denied.value.diag.message_primary or "")
        return told

    def resolved(self, text: str) -> dict[str, Any]:
        """The same once the catalogue is known."""

        def tell() -> dict[str, Any] | None:
            told = self.told(text)
            return told if told["is_resolved"] else None

        return eventually(tell)


@pytest.fixture
def talks() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def talk(gate: Gate, stack: ExitStack) -> Talk:
    return Talk(stack.enter_context(psycopg.connect(gate.address, autocommit=True)))


def on_every_worker(gate: Gate, count: int, stack: ExitStack) -> list[Talk]:
    """A connection to each worker: the system deals them out as it likes."""
    found: dict[int, Talk] = {}
    while len(found) < count:
        each = talk(gate, stack)
        found.setdefault(each.told("SELECT 1")["worker"], each)
    return list(found.values())


@pytest.fixture
def inspected(postgres: Database, gate: MakeGate) -> Iterator[Gate]:
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE inspector LOGIN PASSWORD '{PASSWORD}'")
        connection.execute("CREATE TABLE vault (id int, secret text); ALTER TABLE vault OWNER TO clerk")
        yield gate(
            postgres,
            plugins=INSPECTED,
            settings="workers = 2",
            target='database = "shop"',
            scripts=[TELLS],
            environment={"INSPECTOR_PASSWORD": PASSWORD},
        )
        connection.execute("DROP TABLE vault CASCADE; DROP ROLE inspector")


def test_what_one_worker_lets_through_all_workers_learn(inspected: Gate, talks: ExitStack) -> None:
    one, other = on_every_worker(inspected, 2, talks)
    for each in (one, other):
        assert each.resolved("SELECT secret FROM vault")["origins"] == [["public.vault.secret"]]
    one.run("ALTER TABLE vault RENAME COLUMN secret TO treasure")
    for each in (one, other):
        assert each.resolved("SELECT treasure FROM vault")["origins"] == [["public.vault.treasure"]]
        assert each.told("SELECT secret FROM vault")["origins"] == [None]
    other.run("CREATE VIEW window_on_it AS SELECT treasure AS harmless FROM vault")
    for each in (one, other):
        assert each.resolved("SELECT harmless FROM window_on_it")["origins"] == [["public.vault.treasure"]]


def test_within_a_transaction_that_defines_the_text_alone_counts(inspected: Gate, talks: ExitStack) -> None:
    one = talk(inspected, talks)
    one.resolved("SELECT secret FROM vault")
    one.run("BEGIN")
    one.run("ALTER TABLE vault RENAME TO cellar")
    one.run("SAVEPOINT s")
    assert not one.told("SELECT secret FROM cellar")["is_resolved"]
    one.run("ROLLBACK")
    assert one.resolved("SELECT secret FROM vault")["objects"] == ["public.vault"]


def test_the_search_path_of_the_session_counts(inspected: Gate, talks: ExitStack) -> None:
    one = talk(inspected, talks)
    one.run("CREATE SCHEMA hidden; CREATE TABLE hidden.vault (secret text)")
    assert one.resolved("SELECT secret FROM vault")["objects"] == ["public.vault"]
    one.run("SET search_path = hidden")
    assert one.told("SELECT secret FROM vault")["objects"] == ["hidden.vault"]
    one.run("BEGIN; SET LOCAL search_path = public")
    assert one.told("SELECT secret FROM vault")["objects"] == ["public.vault"]
    one.run("ROLLBACK")
    assert one.told("SELECT secret FROM vault")["objects"] == ["hidden.vault"]
    one.run("PREPARE p AS SELECT secret FROM vault")
    assert one.told("EXECUTE p")["objects"] == ["hidden.vault"]
    one.run("DROP SCHEMA hidden CASCADE")


def test_an_older_server_behind_tls_does_not_tell_the_search_path(
    postgres_tls: Database, gate: MakeGate, talks: ExitStack
) -> None:
    with postgres_tls.connect() as connection:
        with contextlib.suppress(psycopg.errors.DuplicateObject):
            connection.execute(f"CREATE ROLE inspector LOGIN PASSWORD '{PASSWORD}'")
        connection.execute("CREATE SCHEMA attic; CREATE TABLE attic.cards (pan text)")
        made = gate(
            postgres_tls,
            plugins=INSPECTED,
            target='database = "shop"\nupstream_tls.mode = "require"',
            scripts=[TELLS],
            environment={"INSPECTOR_PASSWORD": PASSWORD},
        )
        one = talk(made, talks)
        assert one.resolved("SELECT amount FROM orders")["origins"] == [["public.orders.amount"]]
        assert one.told("SELECT pan FROM cards")["effect"] == "unknown"
        assert one.told("SELECT pan FROM public.cards")["origins"] == [["public.cards.pan"]]
        connection.execute("DROP SCHEMA attic CASCADE")


def test_an_inspector_that_may_not_log_in_leaves_it_unknown_and_the_log_says_why(
    postgres: Database, gate: MakeGate, talks: ExitStack
) -> None:
    made = gate(
        postgres,
        plugins=INSPECTED,
        target='database = "shop"',
        scripts=[TELLS],
        environment={"INSPECTOR_PASSWORD": "wrong"},
    )
    made.log.wait_for("the catalogue of target shop could not be read: the database refused gatepost's inspection")
    assert not talk(made, talks).told("SELECT id FROM cards")["is_resolved"]
    assert "wrong" not in str(made.log)


def test_without_an_inspector_nothing_is_read(postgres: Database, gate: MakeGate, talks: ExitStack) -> None:
    made = gate(postgres, plugins="", scripts=[TELLS])
    assert not talk(made, talks).told("SELECT id FROM cards")["is_resolved"]
    assert "catalogue" not in str(made.log)
