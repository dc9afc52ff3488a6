"""The example in Rego decides as the one in TOML: by the real interpreter, on facts of the real parser and server."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Database

from gatepost import Identity, Secret, Target, UpstreamCredentials
from gatepost.adapter import Catalogue, TlsTerms
from gatepost.testing import make_session, make_statement
from gatepost_opa.bundle import read as read_policy
from gatepost_opa.decision import Decision, read
from gatepost_opa.document import Describer
from gatepost_opa.local import Rego
from gatepost_postgres import ADAPTER

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = tomllib.loads((EXAMPLES / "policy_cases.toml").read_text())["case"]
WEDNESDAY = datetime(2026, 1, 7, 12, tzinfo=UTC)
OFFICE = "10.1.2.3"

Decide = Callable[..., Decision]


@pytest.fixture(scope="module")
def catalogue(postgres: Database) -> Catalogue:
    server = postgres.server
    target = Target(name="shop", protocol="postgres", host="127.0.0.1", port=server.port, database="shop")
    login = UpstreamCredentials(user=server.user, password=Secret(server.password), database="shop")
    return asyncio.run(ADAPTER.inspect(target, login, TlsTerms()))


@pytest.fixture(scope="module")
def decide(catalogue: Catalogue) -> Decide:
    """What the example's policy decides on a role's statement."""
    rego = Rego(read_policy(EXAMPLES / "opa"), "gatepost/decision")
    describer = Describer(str, send_text=False)

    def decide(role: str, text: str, *, client: str = OFFICE, at: datetime = WEDNESDAY) -> Decision:
        session = make_session(identity=Identity(name="agent", roles=(role,)), client=f"{client}:50000")
        statement = make_statement(text, facts=ADAPTER.facts(text, catalogue))
        document = describer.describe(session, statement, at.timestamp())
        return read(rego.evaluate(document), "gatepost/decision")

    return decide


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['role']} {case['sql'][:40]}")
def test_it_decides_as_the_policy_in_toml(decide: Decide, case: dict[str, Any]) -> None:
    more = {name: case[name] for name in ("client", "at") if name in case}
    decision = decide(case["role"], case["sql"], **more)
    assert decision.allow is (case["expect"] == "allow")


ALLOWED, DEFAULT, DENIED, UNBOUNDED = "roles.{role}", "default", "roles.{role}.deny", "unbounded"


@pytest.mark.parametrize(
    ("role", "text", "rule"),
    [
        ("support", "SELECT id, name FROM customers ORDER BY name", ALLOWED),
        ("support", "SELECT lower(c.name) FROM public.orders o JOIN public.customers c ON c.id = o.id", ALLOWED),
        ("support", "SELECT count(*), sum(amount) FROM orders", ALLOWED),
        ("support", "BEGIN", ALLOWED),
        ("support", "SET statement_timeout = '5s'", ALLOWED),
        ("support", "SET statement_timeout = '5s'; SET search_path = evil", DEFAULT),
        ("support", "RESET ALL", DEFAULT),
        ("support", "SELECT set_config('timezone', 'UTC', false)", DEFAULT),
        ("support", "SELECT email FROM customers", DEFAULT),
        ("support", "SELECT id FROM customers WHERE email LIKE 'a%'", DEFAULT),
        ("support", "SELECT * FROM customers", DEFAULT),
        ("support", "SELECT c FROM customers c", DEFAULT),
        ("support", "SELECT md5(name) FROM customers", DEFAULT),
        ("support", "UPDATE orders SET amount = 0", UNBOUNDED),
        ("support", "UPDATE orders SET placed_at = now() WHERE id = 1", DEFAULT),
        ("support", "SELECT id FROM orders FOR UPDATE", DEFAULT),
        ("support", "SELECT id FROM orders" + " " * 4000, DEFAULT),
        ("support", "SELECT 1 FROM (SELECT 1 FROM (SELECT 1 FROM (SELECT 1 FROM (SELECT 1) e) d) c) b", DEFAULT),
        ("support", "SELECT pg_read_file('/etc/passwd')", DEFAULT),
        ("support", "SELECT pg_notify('c', 'x')", DEFAULT),
        ("support", "SELECT usename FROM pg_shadow", DEFAULT),
        ("support", "COPY orders TO STDOUT", DEFAULT),
        ("support", "SET role = 'postgres'", DEFAULT),
        ("support", "DROP TABLE orders", DEFAULT),
        ("support", "DO $$ BEGIN END $$", DEFAULT),
        ("support", "this is no SQL", DEFAULT),
        ("support", "SELECT 1; DELETE FROM orders WHERE id = 1", DEFAULT),
        ("analyst", "SELECT id, brand FROM cards", ALLOWED),
        ("analyst", "COPY orders TO STDOUT", ALLOWED),
        ("analyst", "SELECT * FROM cards", DENIED),
        ("analyst", "SELECT id FROM cards WHERE expires > '06/29'", DENIED),
        ("analyst", "SELECT email FROM customers", DENIED),
        ("janitor", "DELETE FROM orders", ALLOWED),
        ("janitor", "DELETE FROM cards", UNBOUNDED),
        ("janitor", "DELETE FROM cards WHERE id = 1", DEFAULT),
        ("stranger", "SELECT id FROM orders", DEFAULT),
    ],
)
def test_every_decision_names_its_rule(decide: Decide, role: str, text: str, rule: str) -> None:
    decision = decide(role, text)
    assert decision.rule == rule.format(role=role)
    assert decision.allow is (rule == ALLOWED)
    if not decision.allow:
        assert decision.reason
        assert decision.hint


def test_a_role_s_rows_are_limited_and_its_networks_named(decide: Decide) -> None:
    assert decide("support", "SELECT id FROM orders").rows == 200
    assert decide("janitor", "SELECT id FROM orders").rows is None
    assert decide("analyst", "SELECT id FROM orders", client="192.168.1.1").rule == "roles.analyst.networks"
