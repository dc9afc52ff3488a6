"""The example of a Rego policy decides as its comments say, by the real interpreter, on facts of the real parser."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.servers import Database

from gatepost import Deny, Identity, Risk, Secret, Target, UpstreamCredentials
from gatepost.adapter import Catalogue, TlsTerms
from gatepost.testing import FakeGateway, make_session, make_statement
from gatepost_opa import Opa, OpaConfig
from gatepost_postgres import ADAPTER

EXAMPLE = Path(__file__).parents[2] / "examples" / "opa"

ALLOWED, DEFAULT, SECRET, UNBOUNDED = "", "deny by default", "secret columns", "unbounded"

Judge = Callable[[str, str], Deny | Risk | None]


@pytest.fixture(scope="module")
def catalogue(postgres: Database) -> Catalogue:
    server = postgres.server
    target = Target(name="shop", protocol="postgres", host="127.0.0.1", port=server.port, database="shop")
    login = UpstreamCredentials(user=server.user, password=Secret(server.password), database="shop")
    return asyncio.run(ADAPTER.inspect(target, login, TlsTerms()))


@pytest.fixture(scope="module")
def judge(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """What the example's policy decides on a role's statement."""
    plugin = Opa(OpaConfig(policy=str(EXAMPLE), timeout=20.0))  # type: ignore[arg-type]
    plugin.on_start(FakeGateway(tmp_path_factory.mktemp("opa")))

    def judge(role: str, text: str) -> Deny | Risk | None:
        async def ask() -> Deny | Risk | None:
            session = make_session(identity=Identity(name="agent", roles=(role,)))
            answer = plugin.on_statement(session, make_statement(text, facts=ADAPTER.facts(text, catalogue)))
            return await answer if inspect.isawaitable(answer) else answer

        return asyncio.run(ask())

    return judge


@pytest.mark.parametrize(
    ("role", "text", "rule"),
    [
        ("reader", "SELECT id, pan FROM public.cards", ALLOWED),
        ("reader", "SELECT id, pan FROM public.cards ORDER BY brand", ALLOWED),
        ("reader", "SELECT count(*), sum(amount) FROM public.orders", ALLOWED),
        ("reader", "SELECT * FROM public.orders", ALLOWED),
        ("reader", "SELECT lower(c.name) FROM public.orders o JOIN public.customers c ON c.id = o.id", ALLOWED),
        ("reader", "BEGIN", ALLOWED),
        ("reader", "SELECT email FROM public.customers", DEFAULT),
        ("reader", "SELECT id FROM public.customers WHERE email LIKE 'a%'", DEFAULT),
        ("reader", "SELECT * FROM public.customers", DEFAULT),
        ("reader", "SELECT c FROM public.customers c", DEFAULT),
        ("reader", "SELECT upper(name) FROM public.customers", DEFAULT),
        ("reader", "SELECT expires FROM public.cards", SECRET),
        ("reader", "SELECT id FROM public.cards WHERE expires > '06/29'", SECRET),
        ("reader", "SELECT * FROM public.cards", SECRET),
        ("reader", "UPDATE public.orders SET amount = 0", UNBOUNDED),
        ("reader", "UPDATE public.orders SET amount = 0 WHERE id = 1", DEFAULT),
        ("reader", "SELECT id FROM public.orders FOR UPDATE", DEFAULT),
        ("reader", "WITH d AS (DELETE FROM public.orders WHERE id = 1 RETURNING id) SELECT id FROM d", DEFAULT),
        ("reader", "SELECT pg_read_file('/etc/passwd')", DEFAULT),
        ("reader", "SELECT usename FROM pg_catalog.pg_shadow", DEFAULT),
        ("reader", "COPY public.orders TO STDOUT", DEFAULT),
        ("reader", "SET role = 'postgres'", DEFAULT),
        ("reader", "DROP TABLE public.orders", DEFAULT),
        ("reader", "DO $$ BEGIN END $$", DEFAULT),
        ("reader", "this is no SQL", DEFAULT),
        ("reader", "SELECT 1; DELETE FROM public.orders WHERE id = 1", DEFAULT),
        ("clerk", "UPDATE public.orders SET amount = 0 WHERE id = 1", ALLOWED),
        ("clerk", "INSERT INTO public.orders VALUES (900, 1, 1, now())", DEFAULT),
        ("clerk", "INSERT INTO public.orders (id, card, amount) VALUES (900, 1, 1)", ALLOWED),
        ("clerk", "UPDATE public.orders SET amount = 0", UNBOUNDED),
        ("clerk", "DELETE FROM public.orders WHERE id = 1", DEFAULT),
        ("clerk", "SELECT pan FROM public.cards", DEFAULT),
        ("stranger", "SELECT id FROM public.orders", DEFAULT),
    ],
)
def test_the_example_decides(judge: Judge, role: str, text: str, rule: str) -> None:
    verdict = judge(role, text)
    if rule == ALLOWED:
        assert verdict is None
    else:
        assert isinstance(verdict, Deny)
        assert verdict.rule == rule
        assert verdict.reason
        assert verdict.hint
