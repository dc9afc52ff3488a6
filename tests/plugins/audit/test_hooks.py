"""The hooks against a real recorder: what waits, what fails, and what is on record in the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.audit.recording import RecorderProcess, written
from tests.servers import eventually

from gatepost import (
    ALLOW,
    Deny,
    Effect,
    EndCode,
    FaultCode,
    Kind,
    Outcome,
    PluginFault,
    Reason,
    Rewrite,
    Scalar,
    Session,
    Target,
)
from gatepost.testing import FakeGateway, make_session, make_statement
from gatepost_audit import Audit, records, search, wire
from gatepost_audit.store import Store
from gatepost_audit.verify import compare

TARGET = Target(name="shop", protocol="postgres", host="127.0.0.1", port=5432)
LEFT = Reason(code=EndCode.CLIENT_LEFT)
Scene = Callable[["Worker"], Coroutine[Any, Any, None]]


class Worker:
    """The plugin as a worker has it, with a recorder."""

    def __init__(self, audit: Audit, gateway: FakeGateway, folder: Path) -> None:
        self.audit = audit
        self.gateway = gateway
        self.folder = folder
        self.recorder = RecorderProcess(folder)

    def restart_recorder(self) -> None:
        self.recorder = RecorderProcess(self.folder)

    async def connect(self, **changes: Any) -> Session:
        session = make_session(**changes)
        await self.audit.on_connect(session, TARGET)
        return session

    async def is_open_again(self) -> None:
        """Ask, as a client would, until the answer is no refusal."""
        session = make_session(id="probe")
        while True:
            try:
                await self.audit.on_connect(session, TARGET)
            except PluginFault:
                await asyncio.sleep(0.01)
            else:
                return


def play(
    tmp_path: Path, scene: Scene, *, plugins: tuple[object, ...] = (), config: Audit.Config | None = None
) -> list[records.Record]:
    """Run a scene in a worker; returns what is on record in the end, the recorder's own records left out."""
    gateway = FakeGateway(tmp_path, plugins=plugins)
    folder = tmp_path / "audit"
    folder.mkdir(mode=0o700)
    worker = Worker(Audit(config or Audit.Config()), gateway, folder)

    async def run() -> None:
        await started(worker.audit.on_start(gateway))
        await scene(worker)
        await worker.audit.on_stop(gateway)

    try:
        asyncio.run(run())
    finally:
        worker.recorder.kill()
    return [each for each in written(folder) if not isinstance(each, records.Event | records.Checkpoint | records.Cut)]


async def started(waiting: Awaitable[None] | None) -> None:
    assert waiting is not None
    await waiting


def test_who_a_session_is_is_told_again_while_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asks then can be kept without where it began."""
    monkeypatch.setattr("gatepost_audit.plugin.RESTATE", 0.001)

    async def scene(worker: Worker) -> None:
        lasting, brief = await worker.connect(id="lasting"), await worker.connect(id="brief")
        worker.audit.on_session_end(brief, LEFT)
        await asyncio.to_thread(eventually, lambda: len(of(worker.folder, "lasting")) >= 3)
        worker.audit.on_session_end(lasting, LEFT)

    def of(folder: Path, session: str) -> list[records.Record]:
        return [each for each in written(folder) if getattr(each, "session", "") == session]

    play(tmp_path, scene)
    *told, end = of(tmp_path / "audit", "lasting")
    assert isinstance(end, records.SessionEnd)
    assert isinstance(told[0], records.SessionStart)
    assert told == [told[0]] * len(told)
    with Store(tmp_path / "audit") as store:
        store.catch_up()
        assert [each["id"] for each in search.sessions(store, {"identity": "agent"}).found].count("lasting") == 1
        assert store.connection.execute("SELECT sequence FROM sessions WHERE session = 'lasting'").fetchone() > (2,)
    assert compare(tmp_path / "audit") == ""


def test_a_session_from_its_start_to_its_end(tmp_path: Path) -> None:
    async def scene(worker: Worker) -> None:
        audit = worker.audit
        session = await worker.connect()
        statement = make_statement("SELECT 1", number=1)
        assert audit.on_verdict(session, statement, ALLOW) is None
        waiting = audit.on_output(session, b"answer")
        if waiting is not None:
            await waiting
        audit.on_statement_end(session, statement, Outcome(rows=3, bytes=6, tag="SELECT 3", masked=2))
        audit.on_session_end(session, LEFT)

    start, asked, ended, end = play(tmp_path, scene)
    assert isinstance(start, records.SessionStart)
    assert (start.identity, start.client, start.target) == ("agent", "127.0.0.1:50000", "shop")
    assert isinstance(asked, records.Asked)
    assert (asked.session, asked.number, asked.text, asked.verdict, asked.effect) == (
        "s1",
        1,
        "SELECT 1",
        "allow",
        "read",
    )
    assert isinstance(ended, records.Ended)
    assert (ended.rows, ended.tag, ended.masked, ended.output) == (3, "SELECT 3", 2, b"answer")
    assert isinstance(end, records.SessionEnd)
    assert end.code == EndCode.CLIENT_LEFT


def test_what_may_not_rest_is_counted_and_not_kept(tmp_path: Path) -> None:
    class Clear:
        def may_rest(self, session: Session) -> bool:
            return False

    async def scene(worker: Worker) -> None:
        audit = worker.audit
        session = await worker.connect()
        statement = make_statement("SELECT 1", number=1)
        audit.on_verdict(session, statement, ALLOW)
        waiting = audit.on_output(session, b"4111111111111111")
        assert waiting is not None
        await waiting
        audit.on_statement_end(session, statement, Outcome(rows=1, bytes=16, tag="SELECT 1"))
        audit.on_output(session, b"4111111111111111")
        audit.on_session_end(session, LEFT)

    kept = play(tmp_path, scene, plugins=(Clear(),))
    (ended,) = [each for each in kept if isinstance(each, records.Ended)]
    assert (ended.rows, ended.output) == (1, b"")
    assert all(b"4111111111111111" not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


@pytest.mark.parametrize("effect", [effect for effect in Effect if effect is not Effect.READ])
def test_what_may_change_anything_waits_for_its_record(tmp_path: Path, effect: Effect) -> None:
    async def scene(worker: Worker) -> None:
        session = await worker.connect()
        waiting = worker.audit.on_verdict(session, make_statement("x", effect=effect), ALLOW)
        assert isinstance(waiting, asyncio.Future)
        assert not waiting.done()
        await waiting
        assert any(isinstance(each, records.Asked) for each in written(worker.folder))

    play(tmp_path, scene)


def test_a_reads_answer_waits_for_the_reads_record(tmp_path: Path) -> None:
    async def scene(worker: Worker) -> None:
        session = await worker.connect()
        assert worker.audit.on_verdict(session, make_statement(), ALLOW) is None
        waiting = worker.audit.on_output(session, b"1")
        assert waiting is not None
        assert worker.audit.on_output(session, b"2") is waiting
        await waiting
        assert any(isinstance(each, records.Asked) for each in written(worker.folder))
        assert worker.audit.on_output(session, b"3") is None

    play(tmp_path, scene)


def test_a_denials_answer_waits_for_the_denials_record(tmp_path: Path) -> None:
    async def scene(worker: Worker) -> None:
        session = await worker.connect()
        deny = Deny(reason="no", rule="r1", plugin="policy")
        assert worker.audit.on_verdict(session, make_statement(effect=Effect.WRITE), deny) is None
        waiting = worker.audit.on_output(session, b"denied")
        assert waiting is not None
        await waiting
        worker.audit.on_session_end(session, LEFT)

    _, asked, part, _ = play(tmp_path, scene)
    assert isinstance(asked, records.Asked)
    assert (asked.verdict, asked.plugin, asked.rule, asked.reason) == ("deny", "policy", "r1", "no")
    assert isinstance(part, records.Part)
    assert part.output == b"denied"


def test_a_preparation_is_recorded_if_it_is_denied_or_fails_and_else_at_its_execution(tmp_path: Path) -> None:
    async def scene(worker: Worker) -> None:
        audit = worker.audit
        session = await worker.connect()
        good = make_statement("SELECT 1", number=1, is_preparation=True)
        assert audit.on_verdict(session, good, ALLOW) is None
        audit.on_statement_end(session, good, Outcome())
        bad = make_statement("SELEC", number=2, is_preparation=True)
        assert audit.on_verdict(session, bad, ALLOW) is None
        audit.on_statement_end(session, bad, Outcome(error="42601", message="syntax error"))
        audit.on_verdict(session, make_statement("DROP", number=3, is_preparation=True), Deny(reason="no"))

    found = play(tmp_path, scene)
    assert [(each.number, each.verdict) for each in found if isinstance(each, records.Asked)] == [
        (2, "allow"),
        (3, "deny"),
    ]
    assert [(each.number, each.error) for each in found if isinstance(each, records.Ended)] == [(2, "42601")]


def test_a_rewrite_is_recorded_with_what_it_was(tmp_path: Path) -> None:
    async def scene(worker: Worker) -> None:
        session = await worker.connect()
        statement = make_statement("SELECT 2", original="SELECT 1")
        worker.audit.on_verdict(session, statement, Rewrite(text="SELECT 2", reason="because", plugin="p"))

    _, asked = play(tmp_path, scene)
    assert isinstance(asked, records.Asked)
    assert (asked.text, asked.original, asked.verdict, asked.reason) == ("SELECT 2", "SELECT 1", "rewrite", "because")


def test_a_failed_login_is_on_record(tmp_path: Path) -> None:
    async def scene(worker: Worker) -> None:
        stranger = make_session(id="s9", identity=None, user="mallory")
        worker.audit.on_session_end(stranger, Reason(code=EndCode.REFUSED, text="wrong password"))

    start, end = play(tmp_path, scene)
    assert isinstance(start, records.SessionStart)
    assert (start.user, start.identity) == ("mallory", "")
    assert isinstance(end, records.SessionEnd)
    assert (end.code, end.text) == (EndCode.REFUSED, "wrong password")


def test_a_long_answer_is_recorded_whole_and_holds_back_who_makes_it(tmp_path: Path) -> None:
    chunks = [random.Random(n).randbytes(50_000) for n in range(200)]

    async def scene(worker: Worker) -> None:
        audit = worker.audit
        session = await worker.connect()
        statement = make_statement()
        audit.on_verdict(session, statement, ALLOW)
        waits = 0
        for chunk in chunks:
            waiting = audit.on_output(session, chunk)
            if waiting is not None:
                waits += 1
                await waiting
        audit.on_statement_end(session, statement, Outcome(rows=200))
        assert waits > 1

    found = play(tmp_path, scene)
    pieces = sorted((each.offset, each.output) for each in found if isinstance(each, records.Part | records.Ended))
    assert b"".join(output for _, output in pieces) == b"".join(chunks)


def test_without_a_recorder_a_worker_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost_audit.plugin.READY", 0.2)

    async def start() -> None:
        with pytest.raises(PluginFault) as fault:
            await started(Audit(Audit.Config()).on_start(FakeGateway(tmp_path)))
        assert fault.value.code is FaultCode.RECORD

    asyncio.run(start())


def test_a_recorder_that_dies_closes_the_gate_and_the_next_one_opens_it(tmp_path: Path) -> None:
    async def scene(worker: Worker) -> None:
        audit = worker.audit
        session = await worker.connect()
        read, write = make_statement(number=1), make_statement(number=2, effect=Effect.WRITE)
        worker.recorder.kill()
        audit.on_verdict(session, read, ALLOW)
        waiting = audit.on_verdict(session, write, ALLOW)
        assert waiting is not None
        with pytest.raises(PluginFault, match="the record cannot be written") as fault:
            await waiting
        assert fault.value.code is FaultCode.RECORD
        assert fault.value.hint
        with pytest.raises(PluginFault):
            audit.on_output(session, b"the read's answer")
        with pytest.raises(PluginFault):
            audit.on_verdict(session, make_statement(number=3), ALLOW)
        audit.on_statement_end(session, read, Outcome(complete=False))
        worker.restart_recorder()
        await worker.is_open_again()
        again = audit.on_verdict(session, make_statement(number=4, effect=Effect.WRITE), ALLOW)
        assert again is not None
        await again

    found = play(tmp_path, scene)
    assert {each.number for each in found if isinstance(each, records.Asked)} == {1, 2, 4}
    ended = {each.number: each for each in found if isinstance(each, records.Ended)}
    assert not ended[1].complete
    assert not ended[2].ran, "it is on record that the write whose record was not confirmed did not run"


def test_a_recorder_that_is_replaced_is_not_noticed(tmp_path: Path) -> None:
    async def scene(worker: Worker) -> None:
        session = await worker.connect()
        await asyncio.to_thread(worker.recorder.end)
        worker.restart_recorder()
        for number in range(1, 4):
            waiting = worker.audit.on_verdict(session, make_statement(number=number, effect=Effect.WRITE), ALLOW)
            assert waiting is not None
            await waiting

    assert [each.number for each in play(tmp_path, scene) if isinstance(each, records.Asked)] == [1, 2, 3]


def test_a_recorder_that_stops_and_is_not_replaced_closes_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost_audit.client.HANDOVER", 0.1)

    async def scene(worker: Worker) -> None:
        session = await worker.connect()
        await asyncio.to_thread(worker.recorder.end)
        with pytest.raises(PluginFault, match="has not come back"):
            # On a slow machine it is known by now, and the hook itself raises.
            waiting = worker.audit.on_verdict(session, make_statement(effect=Effect.WRITE), ALLOW)
            assert waiting is not None
            await waiting
        worker.restart_recorder()
        await worker.is_open_again()

    play(tmp_path, scene)


def test_what_was_not_acknowledged_is_told_to_the_next_recorder(tmp_path: Path) -> None:
    async def scene(worker: Worker) -> None:
        session = await worker.connect()
        worker.recorder.kill()
        for number in range(50):
            worker.audit.on_statement_end(session, make_statement(number=number), Outcome(rows=number))
        worker.restart_recorder()
        await worker.is_open_again()

    ended = [each for each in play(tmp_path, scene) if isinstance(each, records.Ended)]
    assert [(each.number, each.rows) for each in ended] == [(number, number) for number in range(50)]


def test_a_statement_cancelled_before_its_record_is_confirmed_is_on_record_as_not_run(tmp_path: Path) -> None:
    async def scene(worker: Worker) -> None:
        session = await worker.connect()
        waiting = worker.audit.on_verdict(session, make_statement(number=7, effect=Effect.WRITE), ALLOW)
        assert isinstance(waiting, asyncio.Future)
        waiting.cancel()
        after = worker.audit.on_verdict(session, make_statement(number=8, effect=Effect.WRITE), ALLOW)
        assert after is not None
        await after

    ended = [each for each in play(tmp_path, scene) if isinstance(each, records.Ended)]
    assert [(each.number, each.ran) for each in ended] == [(7, False)]


class HidesDigits:
    def on_store(self, text: str) -> str:
        return "".join("*" if character.isdigit() else character for character in text)


def test_every_text_is_redacted_before_it_rests(tmp_path: Path) -> None:
    pan = "4000001234567899"

    async def scene(worker: Worker) -> None:
        audit = worker.audit
        session = await worker.connect(user=f"u{pan}", application=f"a{pan}", database=f"d{pan}")
        parameters = (
            (Scalar(Kind.TEXT, pan),),
            (Scalar(Kind.BYTES, pan.encode().hex()),),
            tuple(Scalar(Kind.TEXT, pan[n : n + 4]) for n in range(0, 16, 4)),
            None,
        )
        statement = make_statement(
            f"SELECT '{pan}'",
            effect=Effect.WRITE,
            parameters=parameters,
            attributes=((f"n{pan}", parameters[0]), ("bytes", parameters[1]), ("none", None)),
            original=f"was {pan}",
        )
        deny = Deny(reason=f"r{pan}", rule=f"r{pan}")
        for verdict in (ALLOW, deny):
            waiting = audit.on_verdict(session, statement, verdict)
            if waiting is not None:
                await waiting
        audit.on_statement_end(session, statement, Outcome(tag=f"SELECT {pan}", message=f"m{pan}", error="22000"))
        audit.on_session_end(session, Reason(code=EndCode.CLIENT_FAULT, text=f"t{pan}"))

    found = play(tmp_path, scene, plugins=(HidesDigits(),))
    for path in (tmp_path / "audit").iterdir():
        if path.is_file():
            data = path.read_bytes()
            assert pan.encode() not in data
            assert pan.encode().hex().encode() not in data
    asked = next(each for each in found if isinstance(each, records.Asked))
    assert asked.binds[3] is None
    assert [name for name, _ in asked.attributes][1:] == ["bytes", "none"]
    assert asked.attributes[2][1] is None


def test_durability_is_asked_for_by_effect(tmp_path: Path) -> None:
    """With "os" for reads, a read's record asks for no disk, and a write's does."""
    flags: list[int] = []

    async def scene(worker: Worker) -> None:
        session = await worker.connect()
        link = worker.audit._records
        monitored = link._keep
        link._keep = lambda payload, wanted: flags.append(wanted) or monitored(payload, wanted)  # type: ignore[method-assign,func-returns-value]
        worker.audit.on_verdict(session, make_statement(number=1), ALLOW)
        waiting = worker.audit.on_verdict(session, make_statement(number=2, effect=Effect.DEFINE), ALLOW)
        assert waiting is not None
        await waiting

    play(tmp_path, scene, config=Audit.Config(reads="os"))
    assert flags == [0, wire.DISK]


def test_less_than_a_year_is_refused() -> None:
    with pytest.raises(ValueError, match=r"PCI DSS 10\.5\.1"):
        Audit.Config(retention=364 * 86400)  # type: ignore[arg-type]


def test_the_recorder_and_the_indexer_are_services(tmp_path: Path) -> None:
    services = list(Audit(Audit.Config()).add_services(FakeGateway(tmp_path, worker=-1)))
    assert [service.name for service in services] == ["recorder", "indexer"]
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700
