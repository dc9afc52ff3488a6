"""Who gets in, and what wrong attempts lead to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import sqlite3
import time
from pathlib import Path

import pytest
from tests.plugins.agents.gate import issue, worker

from gatepost import ClientFault, ConfigFault, CredentialKind, EndCode, Identity, Secret, Verifier
from gatepost.config import Config, section
from gatepost_agents import AgentsConfig, scram
from gatepost_agents.store import FILE, Store


def test_an_agent_gets_a_verifier_of_its_password_and_its_identity(tmp_path: Path) -> None:
    async def scenario() -> None:
        expires = time.time() + 60
        password = issue(tmp_path, expires=expires)
        async with worker(tmp_path) as gate:
            answer = await gate.client("bot").ask()

        assert isinstance(answer, Verifier)
        keys = scram.derive(password, answer.salt, answer.iterations)
        assert (answer.stored_key, answer.server_key) == (keys.stored_key, keys.server_key)
        assert answer.iterations >= 4096
        assert answer.identity == Identity(
            name="bot",
            roles=("reader", "reporting"),
            issuer="agents",
            method="scram-sha-256",
            acting_for="kim@example.com",
            expires_at=expires,
        )

    asyncio.run(scenario())


def test_the_keys_are_those_of_the_rfc() -> None:
    """RFC 7677, section 3: the server's signature in its example."""
    nonces = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = f"n=user,r=rOprNGfwEbeRWgbNEkqO,{nonces},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,{nonces}"

    keys = scram.derive(Secret("pencil"), base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)

    signature = hmac.digest(keys.server_key, exchange.encode(), "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize("kind", [CredentialKind.MYSQL_NATIVE, CredentialKind.CACHING_SHA2])
def test_mysqls_exchanges_are_judged_by_digests(tmp_path: Path, kind: CredentialKind) -> None:
    async def scenario() -> None:
        password = issue(tmp_path).reveal().encode()
        async with worker(tmp_path) as gate:
            answer = await gate.client("bot").ask(kind=kind)

        assert isinstance(answer, Verifier)
        assert answer.mysql_native == hashlib.sha1(hashlib.sha1(password).digest()).digest()
        assert answer.caching_sha2 == hashlib.sha256(hashlib.sha256(password).digest()).digest()
        assert answer.identity.method == kind.value

    asyncio.run(scenario())


def test_a_password_is_judged_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        password = issue(tmp_path)
        async with worker(tmp_path) as gate:
            client = gate.client("bot")
            answer = await client.ask(password)
            assert isinstance(answer, Identity)
            assert (answer.name, answer.method) == ("bot", "password")
            await client.prove(answer)
            for wrong in (Secret("x"), Secret(""), Secret(password.reveal() + "x")):
                for name in ("bot", "somebody"):
                    client = gate.client(name)
                    assert await client.ask(wrong) is None
                    await client.leave()

    asyncio.run(scenario())


def test_unknown_expired_and_revoked_names_are_refused_alike_and_the_log_tells_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        issue(tmp_path, "old", expires=time.time() - 1)
        issue(tmp_path, "gone")
        Store(tmp_path / FILE, durable=False).revoke("gone", time.time())
        async with worker(tmp_path) as gate:
            for name in ("old", "gone", "nobody", "", "x" * 10_000, "';--"):
                assert not await gate.client(name).fail()

    with caplog.at_level(logging.WARNING, "gatepost.agents"):
        asyncio.run(scenario())

    causes = [record.getMessage().rpartition(": ")[2] for record in caplog.records]
    assert causes == ["expired", "revoked", "unknown", "unknown", "unknown", "unknown"]


def test_ten_failures_lock_a_name_for_half_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr("gatepost_agents.plugin.time.time", lambda: now)

    async def scenario() -> None:
        nonlocal now
        issue(tmp_path)
        async with worker(tmp_path) as gate:
            assert [await gate.client("bot").fail() for _ in range(11)] == [True] * 10 + [False]
            assert not await gate.client("bot").succeed()
            now += 30 * 60 - 1
            assert not await gate.client("bot").succeed()
            now += 2
            assert [await gate.client("bot").fail() for _ in range(11)] == [True] * 10 + [False]

    asyncio.run(scenario())


def test_a_success_forgives_what_came_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        issue(tmp_path)
        async with worker(tmp_path) as gate:
            for _ in range(3):
                assert [await gate.client("bot").fail() for _ in range(9)] == [True] * 9
                assert await gate.client("bot").succeed()

    asyncio.run(scenario())


def test_failures_of_all_workers_count_together(tmp_path: Path) -> None:
    async def scenario() -> None:
        issue(tmp_path)
        async with worker(tmp_path) as one, worker(tmp_path) as other:
            tried = [await gate.client("bot").fail() for _ in range(6) for gate in (one, other)]
            assert tried == [True] * 10 + [False] * 2

    asyncio.run(scenario())


def test_parallel_guesses_do_not_outrun_the_lockout(tmp_path: Path) -> None:
    async def scenario() -> None:
        issue(tmp_path)
        async with worker(tmp_path) as gate:
            tried = await asyncio.gather(*(gate.client("bot").fail() for _ in range(50)))
            assert sum(tried) == 10

    asyncio.run(scenario())


def test_an_agent_may_open_many_connections_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        issue(tmp_path)
        async with worker(tmp_path) as one, worker(tmp_path) as other:
            clients = [gate.client("bot") for _ in range(50) for gate in (one, other)]
            assert all(await asyncio.gather(*(client.succeed() for client in clients)))

    asyncio.run(scenario())


def test_a_client_that_leaves_while_it_waits_holds_nobody_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        issue(tmp_path)
        async with worker(tmp_path) as gate:
            slow = [gate.client("bot") for _ in range(2)]
            for client in slow:
                await client.ask()
            waiting = gate.client("bot")
            task = asyncio.create_task(waiting.ask())
            await asyncio.wait([task], timeout=0)
            assert not task.done()
            task.cancel()
            await asyncio.wait([task])
            await waiting.leave(EndCode.CLIENT_LEFT)
            for client in slow:
                await client.leave(EndCode.TIMEOUT)
            assert await gate.client("bot").succeed()

    asyncio.run(scenario())


def test_a_store_that_cannot_be_written_refuses_in_words_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost_agents.store._BUSY_SECONDS", 0)

    async def scenario() -> None:
        issue(tmp_path)
        other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        async with worker(tmp_path) as gate:
            other.execute("BEGIN IMMEDIATE")
            client = gate.client("bot")
            refusal = await client.refusal()
            assert refusal.reason == "the gateway cannot judge credentials at present"
            assert "operator" in refusal.hint
            await client.leave()
            other.execute("ROLLBACK")
            assert await gate.client("bot").succeed()
        other.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("state", ["locked", "expired", "revoked"])
def test_a_salt_does_not_tell_that_a_name_is_somebodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Nobody's is the same each time. One that changes when the name is locked is that of an agent."""
    now = time.time()
    monkeypatch.setattr("gatepost_agents.plugin.time.time", lambda: now)

    async def scenario() -> None:
        nonlocal now
        issue(tmp_path, expires=now + 60)
        async with worker(tmp_path, failures=1) as gate:
            client = gate.client("bot")
            before = await client.ask()
            await client.leave()
            if state == "expired":
                now += 3600
            elif state == "revoked":
                Store(tmp_path / FILE, durable=False).revoke("bot", now)
            after = await gate.client("bot").ask()

        assert isinstance(before, Verifier)
        assert isinstance(after, Verifier)
        assert (after.salt, after.iterations) == (before.salt, before.iterations)
        assert after.stored_key == after.server_key == after.mysql_native == after.caching_sha2 == b""

    asyncio.run(scenario())


@pytest.mark.parametrize("change", ["revoke", "rotate", "expire"])
def test_what_is_proven_after_it_became_void_opens_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A login may be kept half open until the agent is revoked. Another one has made the count forget it meanwhile, so
    that proving it changes nothing in the file that who ends sessions would notice."""
    now = time.time()
    monkeypatch.setattr("gatepost_agents.plugin.time.time", lambda: now)

    async def scenario() -> None:
        nonlocal now
        issue(tmp_path, expires=now + 60)
        async with worker(tmp_path) as gate:
            late = gate.client("bot")
            answer = await late.ask()
            assert answer is not None
            assert await gate.client("bot").succeed()
            store = Store(tmp_path / FILE, durable=False)
            if change == "revoke":
                store.revoke("bot", now)
            elif change == "rotate":
                store.rotate("bot", scram.derive(scram.generate()))
            else:
                now += 60

            with pytest.raises(ClientFault, match="became void"):
                await late.prove(answer)
            await late.leave()

    asyncio.run(scenario())


def test_a_right_password_is_no_failure_where_another_plugin_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The gate cannot read its own password for the database, say: that locks no agent out."""

    async def scenario() -> None:
        issue(tmp_path)
        async with worker(tmp_path) as gate:
            for _ in range(20):
                client = gate.client("bot")
                answer = await client.ask()
                assert answer is not None
                client.be(answer)
                await client.leave()
            assert await gate.client("bot").succeed()

    with caplog.at_level(logging.WARNING, "gatepost.agents"):
        asyncio.run(scenario())

    assert not caplog.records


def test_an_agent_may_connect_twice_at_once_where_one_failure_locks_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        issue(tmp_path)
        async with worker(tmp_path, failures=1) as gate:
            clients = [gate.client("bot") for _ in range(5)]
            assert all(await asyncio.gather(*(client.succeed() for client in clients)))

    asyncio.run(scenario())


def test_a_stricter_lockout_may_be_configured(tmp_path: Path) -> None:
    async def scenario() -> None:
        issue(tmp_path)
        async with worker(tmp_path, failures=3) as gate:
            assert [await gate.client("bot").fail() for _ in range(4)] == [True] * 3 + [False]

    asyncio.run(scenario())


def test_a_revoked_agents_open_sessions_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost_agents.plugin.REVOCATION_SECONDS", 0)

    async def scenario() -> None:
        issue(tmp_path, "gone")
        issue(tmp_path, "bot")
        async with worker(tmp_path) as gate:
            Store(tmp_path / FILE, durable=False).revoke("gone", time.time())
            while not (order := await gate.ended.get())[0](Identity(name="gone", issuer="agents")):
                pass
            whose, fault = order
            assert not whose(Identity(name="bot", issuer="agents"))
            assert not whose(Identity(name="gone", issuer="another"))
            assert "revoked" in fault.message

    asyncio.run(scenario())


def test_no_repr_shows_keys() -> None:
    assert repr(scram.derive(scram.generate(), iterations=1)) == "Keys(…)"


def test_generated_passwords_are_long_and_differ() -> None:
    passwords = {scram.generate().reveal() for _ in range(100)}

    assert len(passwords) == 100
    assert all(len(password) >= 32 and password.isascii() for password in passwords)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"failures": 11}, "plugins.agents.failures"),
        ({"failures": 0}, "plugins.agents.failures"),
        ({"lockout": "29m"}, "plugins.agents"),
    ],
)
def test_the_lockout_cannot_be_weakened(table: dict[str, object], key: str) -> None:
    config = Config(targets={}, plugins={"agents": table})

    with pytest.raises(ConfigFault) as caught:
        section(config, "agents", AgentsConfig)

    assert caught.value.key == key
