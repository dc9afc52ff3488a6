"""The relay between a client and a database that speak lines, through real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from tests.core.line_protocol import LineAdapter

from gatepost import (
    Allow,
    CredentialKind,
    Deny,
    EndCode,
    Identity,
    Outcome,
    Reason,
    Rewrite,
    Session,
    Statement,
    Target,
    UpstreamCredentials,
    Verdict,
    hookimpl,
)
from gatepost.adapter import CLIENT, Limits, TlsPolicy
from gatepost.calling import Steps
from gatepost.catalogue import Keeper
from gatepost.listener import Listener
from gatepost.plugins import Plugins
from gatepost.relay import Relay
from gatepost.server import KILLED

SECRET = b"s" * 32


class Gate:
    """The worker's part, without processes."""

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self.gate_secret = b""
        self.held_bytes = 1000
        self.connect_seconds = 5.0
        self.relays: list[Relay] = []
        self.stale: list[str] = []
        self.kept = Keeper("shop", self._read, 3600.0)
        self.upstreams: dict[str, object] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self.cancels: list[tuple[int, bytes, bool]] = []
        self.found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def forget(self, relay: Relay) -> None: ...

    def proven(self, relay: Relay) -> None: ...

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        self.tasks.add(asyncio.get_running_loop().create_task(work))

    def cancel(self, number: int, secret: bytes, ends_session: bool) -> Steps[bool]:
        self.cancels.append((number, secret, ends_session))
        found = yield self.found
        return bool(found)

    async def _read(self) -> None: ...

    def keeper(self, target: Target) -> Keeper:
        return self.kept

    def redefined(self, target: Target) -> None:
        self.stale.append(target.name)

    def upstream(self, target: Target) -> object:
        return self.upstreams.get(target.name)

    def recognised(self, target: Target, upstream: object) -> None:
        self.upstreams[target.name] = upstream


class Door:
    """Lets everybody in, and keeps what happened."""

    judges = frozenset({CredentialKind.PASSWORD})

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.connecting = asyncio.Event()
        self.ended = asyncio.Event()

    @hookimpl
    def on_auth(self, session: Session) -> Identity | None:
        return None if session.user == "nobody" else Identity(name=session.user)

    @hookimpl
    def on_connect(self) -> UpstreamCredentials:
        self.connecting.set()
        return UpstreamCredentials(user="app")

    @hookimpl
    def on_verdict(self, statement: Statement, verdict: Verdict) -> None:
        self.events.append(("verdict", statement.text, type(verdict).__name__))

    @hookimpl
    def on_statement_end(self, statement: Statement, outcome: Outcome) -> None:
        self.events.append(("end", statement.text, outcome.complete))

    @hookimpl
    def on_session_end(self, reason: Reason) -> None:
        self.events.append(("over", reason.code))
        self.ended.set()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, *lines: str) -> None:
        self.writer.write("".join(line + "\n" for line in lines).encode())

    async def hear(self) -> str:
        return (await self.reader.readline()).decode().rstrip("\n")


class Scene:
    def __init__(self, gate: Gate, door: Door, client: Client, asked: list[str], dropped: asyncio.Event) -> None:
        self.gate, self.door, self.client, self.asked, self.upstream_gone = gate, door, client, asked, dropped


@asynccontextmanager
async def scene(*plugins: object, login: str = "LOGIN alice", port: int = 0) -> AsyncIterator[Scene]:
    asked: list[str] = []
    dropped = asyncio.Event()

    async def database(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            asked.append(line.decode().rstrip("\n"))
            if asked[-1] == "read crash":
                break
            writer.write(b"did " + line)
        dropped.set()
        writer.close()

    loop = asyncio.get_running_loop()
    door = Door()
    gate = Gate(Plugins([("door", door), *((type(plugin).__name__, plugin) for plugin in plugins)]))
    upstream = await asyncio.start_server(database, "127.0.0.1", 0)
    port = port or upstream.sockets[0].getsockname()[1]
    listener = Listener(
        target=Target(name="shop", protocol="line", host="127.0.0.1", port=port),
        adapter=LineAdapter(),
        host="127.0.0.1",
        port=0,
        limits=Limits(),
        client_tls=TlsPolicy.OFF,
        upstream_tls=TlsPolicy.OFF,
        upstream_direct_tls=False,
        client_layer=None,
        upstream_layer=None,
    )

    def accept() -> asyncio.Protocol:
        session = Session(id="1", number=1, protocol="line", target="shop", client="", started_at=0)
        gate.relays.append(Relay(gate, listener, session, SECRET, loop))
        return gate.relays[-1].client

    server = await loop.create_server(accept, "127.0.0.1", 0)
    client = Client(*await asyncio.open_connection(*server.sockets[0].getsockname()))
    client.say(login)
    if login == "LOGIN alice":
        assert await client.hear() == "WELCOME"
    try:
        yield Scene(gate, door, client, asked, dropped)
    finally:
        client.writer.close()
        server.close()
        upstream.close()


class Held:
    """Holds statements that begin with "hold" until told."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()

    @hookimpl
    def on_statement(self, statement: Statement) -> Any:
        if not statement.text.startswith("hold"):
            return None
        self.asked.set()
        return self.answer


async def test_a_statement_goes_through_and_is_told_of_in_order() -> None:
    async with scene() as at:
        at.client.say("write a", "read b")
        assert [await at.client.hear(), await at.client.hear()] == ["did write a", "did read b"]
        assert at.door.events == [
            ("verdict", "write a", "Allow"),
            ("verdict", "read b", "Allow"),
            ("end", "write a", True),
            ("end", "read b", True),
        ]


async def test_all_learn_of_a_definition_before_its_answer_is_heard() -> None:
    async with scene() as at:
        at.client.say("write a")
        assert [await at.client.hear(), at.gate.stale] == ["did write a", []]
        at.client.say("define b")
        assert [await at.client.hear(), at.gate.stale] == ["did define b", ["shop"]]


async def test_what_the_database_is_said_to_be_is_kept_for_later_sessions() -> None:
    async with scene() as at:
        at.client.say("recognise it")
        assert await at.client.hear() == "did recognise it"
        assert at.gate.upstreams == {"shop": "did recognise it"}


async def test_what_is_sent_behind_a_held_statement_waits_and_keeps_its_order() -> None:
    held = Held()
    async with scene(held) as at:
        at.client.say("hold 1", "read 2")
        await held.asked.wait()
        at.client.say("read 3")
        assert at.asked == []
        held.answer.set_result(Allow())
        assert [await at.client.hear() for _ in range(3)] == ["did hold 1", "did read 2", "did read 3"]
        assert at.asked == ["hold 1", "read 2", "read 3"]


async def test_more_input_than_may_be_held_is_not_lost() -> None:
    held = Held()
    async with scene(held) as at:
        at.client.say("hold", *(f"read {number:0500}" for number in range(100)))
        await held.asked.wait()
        held.answer.set_result(None)
        answers = [await at.client.hear() for _ in range(101)]
        assert answers == ["did hold", *(f"did read {number:0500}" for number in range(100))]


async def test_after_much_at_once_others_have_their_turn_before_more_is_read() -> None:
    async with scene() as at:
        (relay,) = at.gate.relays
        lines = [f"read {number:010000}" for number in range(15)]
        transport = relay.client._transport
        assert transport is not None
        relay.client.data_received("".join(line + "\n" for line in lines).encode())
        assert not transport.is_reading()
        await asyncio.sleep(0)
        assert transport.is_reading()
        assert [await at.client.hear() for _ in lines] == ["did " + line for line in lines]
        relay.client.data_received(b"read few\n")
        assert transport.is_reading()


async def test_a_held_statement_that_is_cancelled_is_denied_and_recorded_and_the_session_goes_on() -> None:
    held = Held()
    async with scene(held) as at:
        at.client.say("hold 1")
        await held.asked.wait()
        at.gate.relays[0].cancel()
        assert (await at.client.hear()).startswith("DENIED cancelled")
        at.client.say("read 2")
        assert await at.client.hear() == "did read 2"
        assert at.asked == ["read 2"]
        assert at.door.events[0] == ("verdict", "hold 1", "Deny")


@pytest.mark.parametrize(("found", "answer"), [(True, "CANCELLED"), (False, "NOT FOUND")])
async def test_who_would_end_another_session_learns_whether_there_is_one(found: bool, answer: str) -> None:
    async with scene() as at:
        at.client.say("KILL 12", "read 1")
        at.gate.found.set_result(found)
        assert [await at.client.hear(), await at.client.hear()] == [answer, "did read 1"]
        assert at.gate.cancels == [(12, SECRET, True)]


async def test_a_session_that_is_ended_is_told_so_and_what_it_holds_does_not_run() -> None:
    held = Held()
    async with scene(held) as at:
        at.client.say("hold 1")
        await held.asked.wait()
        at.gate.relays[0].kill(KILLED, EndCode.KILLED)
        assert (await at.client.hear()).startswith("FAULT the session was ended")
        assert await at.client.hear() == ""
        await at.door.ended.wait()
        assert at.asked == []
        assert at.door.events == [("verdict", "hold 1", "Deny"), ("over", EndCode.KILLED)]


async def test_a_client_that_leaves_while_held_ends_the_session_once_and_nothing_runs() -> None:
    held = Held()
    async with scene(held) as at:
        at.client.say("hold 1")
        await held.asked.wait()
        at.client.writer.close()
        await at.door.ended.wait()
        await at.upstream_gone.wait()
        assert held.answer.cancelled()
        assert at.asked == []
        assert at.door.events == [("verdict", "hold 1", "Deny"), ("over", EndCode.CLIENT_LEFT)]


async def test_what_a_client_does_not_stay_to_hear_the_answer_of_does_not_run() -> None:
    held = Held()
    async with scene(held) as at:
        at.client.say("hold 1")
        await held.asked.wait()
        held.answer.set_result(None)
        at.gate.relays[0].lost(CLIENT)
        await at.door.ended.wait()
        assert at.door.events == [("verdict", "hold 1", "Deny"), ("over", EndCode.CLIENT_LEFT)]
        assert at.asked == []


class Slow:
    """Takes its time before a session gets its database."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @hookimpl
    def on_connect(self) -> Any:
        self.asked.set()
        return self.ready


async def test_no_database_is_reached_for_a_client_that_has_left() -> None:
    slow = Slow()
    with socket.create_server(("127.0.0.1", 0)) as database:
        database.settimeout(0)
        async with scene(slow, login="LOGIN carol", port=database.getsockname()[1]) as at:
            await slow.asked.wait()
            slow.ready.set_result(None)
            at.gate.relays[0].lost(CLIENT)
            await at.door.ended.wait()
            assert at.door.events == [("over", EndCode.CLIENT_LEFT)]
            with pytest.raises(BlockingIOError):
                database.accept()


async def test_a_client_that_leaves_while_nothing_is_read_from_it_is_noticed() -> None:
    held = Held()
    async with scene(held) as at:
        at.client.say("hold 1")
        await held.asked.wait()
        at.client.say(*(f"read {number:0500}" for number in range(100)))
        await at.client.writer.drain()
        at.client.writer.close()
        while not at.door.ended.is_set():
            at.gate.relays[0].look_for_client()
            await asyncio.sleep(0)
        assert at.door.events == [("verdict", "hold 1", "Deny"), ("over", EndCode.CLIENT_LEFT)]
        assert at.asked == []


async def test_an_upstream_that_is_lost_ends_what_was_under_way_incomplete() -> None:
    async with scene() as at:
        at.client.say("read crash")
        await at.door.ended.wait()
        assert at.door.events[1:] == [("end", "read crash", False), ("over", EndCode.SERVER_CLOSED)]
        assert await at.client.hear() == ""


@pytest.mark.parametrize("hook", ["on_statement", "on_verdict"])
async def test_a_plugin_that_raises_denies_without_a_word_of_its_exception(hook: str) -> None:
    class Broken:
        @hookimpl
        def on_statement(self) -> None:
            if hook == "on_statement":
                raise ValueError("4111111111111111")

        @hookimpl
        def on_verdict(self) -> None:
            if hook == "on_verdict":
                raise ValueError("4111111111111111")

    async with scene(Broken()) as at:
        at.client.say("read 1")
        answer = await at.client.hear()
        assert answer.startswith("DENIED unavailable plugin Broken failed in")
        assert "4111" not in answer
        assert at.asked == []


async def test_a_rewrite_is_judged_again_by_all_and_runs_as_judged() -> None:
    class Limit:
        seen: list[str] = []

        @hookimpl
        def on_statement(self, statement: Statement) -> Rewrite | None:
            self.seen.append(statement.text)
            return None if "limit" in statement.text else Rewrite(text=statement.text + " limit")

    async with scene(Limit()) as at:
        at.client.say("read 1")
        assert await at.client.hear() == "did read 1 limit"
        assert Limit.seen == ["read 1", "read 1 limit"]
        assert at.door.events[0] == ("verdict", "read 1 limit", "Rewrite")


async def test_a_plugin_that_rewrites_its_own_output_is_denied() -> None:
    class Endless:
        @hookimpl
        def on_statement(self, statement: Statement) -> Rewrite:
            return Rewrite(text=statement.text + "!")

    async with scene(Endless()) as at:
        at.client.say("read 1")
        assert "rewrote its own output" in await at.client.hear()


class Recorder:
    """Lets nothing out until its future is done."""

    def __init__(self) -> None:
        self.durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.chunks: list[bytes] = []
        self.seen = asyncio.Event()

    @hookimpl
    def on_output(self, chunk: bytes) -> asyncio.Future[None] | None:
        self.chunks.append(chunk)
        self.seen.set()
        return None if self.durable.done() else self.durable


async def test_no_byte_of_an_answer_leaves_before_what_it_waits_for() -> None:
    recorder = Recorder()
    async with scene(recorder) as at:
        at.client.say("read 1")
        await recorder.seen.wait()
        hearing = asyncio.ensure_future(at.client.hear())
        await asyncio.sleep(0)
        assert not hearing.done()
        recorder.durable.set_result(None)
        assert await hearing == "did read 1"
        at.client.say("read 2")
        assert await at.client.hear() == "did read 2"
        assert b"".join(recorder.chunks) == b"did read 1\ndid read 2\n"


async def test_an_answer_whose_record_fails_never_leaves() -> None:
    recorder = Recorder()
    async with scene(recorder) as at:
        at.client.say("read 1")
        await recorder.seen.wait()
        recorder.durable.set_exception(OSError("4111111111111111"))
        answer = await at.client.hear()
        assert answer.startswith("FAULT ")
        assert "4111" not in answer
        assert await at.client.hear() == ""


async def test_draining_waits_for_what_is_under_way() -> None:
    recorder = Recorder()
    async with scene(recorder) as at:
        at.client.say("read 1")
        await recorder.seen.wait()
        at.gate.relays[0].drain()
        recorder.durable.set_result(None)
        assert await at.client.hear() == "did read 1"
        assert await at.client.hear() == "FAULT the gateway is shutting down"
        await at.door.ended.wait()
        assert at.door.events[-1] == ("over", EndCode.SHUTDOWN)


@pytest.mark.parametrize("how", ["leaves", "is ended", "is cancelled"])
async def test_a_session_that_ends_while_its_database_does_not_answer_is_over(how: str) -> None:
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = stack.enter_context(socket.create_connection(deaf.getsockname()))
        async with scene(login="LOGIN carol", port=deaf.getsockname()[1]) as at:
            await at.door.connecting.wait()
            if how == "leaves":
                at.client.writer.close()
            elif how == "is ended":
                at.gate.relays[0].kill(KILLED, EndCode.KILLED)
            else:
                at.gate.relays[0].cancel()
                waiting.close()
                deaf.close()
            await at.door.ended.wait()
            codes = {"leaves": EndCode.CLIENT_LEFT, "is ended": EndCode.KILLED, "is cancelled": EndCode.UPSTREAM_FAULT}
            assert at.door.events == [("over", codes[how])]


async def test_a_fault_of_the_client_is_said_and_ends_the_session() -> None:
    async with scene() as at:
        at.client.say("GARBAGE")
        assert await at.client.hear() == "FAULT garbage"
        assert await at.client.hear() == ""


async def test_who_is_not_known_is_refused_and_reaches_no_database() -> None:
    async with scene(login="LOGIN nobody") as at:
        assert await at.client.hear() == "REFUSED"
        await at.door.ended.wait()
        assert at.door.events == [("over", EndCode.REFUSED)]
        assert at.gate.relays[0].session.identity is None


async def test_a_denial_by_a_plugin_says_who_denied() -> None:
    class No:
        @hookimpl
        def on_statement(self) -> Deny:
            return Deny(reason="not on Mondays", rule="calendar")

    async with scene(No()) as at:
        at.client.say("write 1")
        assert await at.client.hear() == "DENIED denied not on Mondays"
        assert at.asked == []
