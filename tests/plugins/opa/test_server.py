"""An OPA server is asked, played by a stand-in: whatever comes that is no decision is a denial."""

from __future__ import annotations

import gzip
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority
from tests.plugins.opa.opa_stand_in import OpaStandIn, http, result, running

from gatepost import Deny, Limit, PluginFault, Risk
from gatepost.testing import FakeGateway, make_session, make_statement
from gatepost_opa import Opa, OpaConfig
from gatepost_opa.server import ServerUrl

SESSION = make_session()
STATEMENT = make_statement("SELECT 1")

MakeOpa = Callable[..., Any]


@pytest.fixture
async def stand_in() -> AsyncIterator[OpaStandIn]:
    async with running() as server:
        yield server


@pytest.fixture
async def opa(tmp_path: Path) -> AsyncIterator[MakeOpa]:
    """Starts the plugin with a server's address."""
    async with AsyncExitStack() as stack:

        async def make(url: str, **settings: Any) -> Opa:
            plugin = Opa(OpaConfig(url=ServerUrl(url), **settings))
            await plugin.on_start(FakeGateway(tmp_path))
            stack.push_async_callback(plugin.on_stop, FakeGateway(tmp_path))
            return plugin

        yield make


def at(stand_in: OpaStandIn, scheme: str = "http") -> str:
    return f"{scheme}://localhost:{stand_in.port}"


async def judge(plugin: Opa) -> Any:
    return await plugin.on_statement(SESSION, STATEMENT)


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        (True, None),
        ({"allow": True}, None),
        ({"allow": True, "risk": {"score": 30, "reasons": ["all rows"]}}, (Risk(score=30, reasons=("all rows",)),)),
        ({"allow": True, "rule": "r", "hint": "h", "rows": 9}, (Limit(rows=9, rule="r", hint="h"),)),
        ({"allow": False, "reason": "No.", "rule": "r", "hint": "h"}, Deny(reason="No.", rule="r", hint="h")),
    ],
)
async def test_a_decision_is_what_the_server_says(
    opa: MakeOpa, stand_in: OpaStandIn, decision: object, verdict: object
) -> None:
    stand_in.answer = result(decision)
    assert await judge(await opa(at(stand_in))) == verdict


async def test_the_question_is_the_data_api_s(
    opa: MakeOpa, stand_in: OpaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPA_TOKEN", "first")
    plugin = await opa(at(stand_in), decision="shop/db/decision", token="env:OPA_TOKEN")
    await judge(plugin)
    monkeypatch.setenv("OPA_TOKEN", "second")
    await judge(plugin)

    first = stand_in.asked[0]
    assert first.line == "POST /v1/data/shop/db/decision HTTP/1.1"
    assert first.headers["content-type"] == "application/json"
    assert first.body["input"]["identity"]["name"] == "agent"
    assert first.body["input"]["statement"] == {
        "length": 8,
        "is_preparation": False,
        "has_parameters": False,
        "is_rewritten": False,
        "risk": None,
    }
    assert [each.headers["authorization"] for each in stand_in.asked] == ["Bearer first", "Bearer second"]
    assert stand_in.connections == 1


async def test_an_undefined_decision_is_a_denial(opa: MakeOpa, stand_in: OpaStandIn) -> None:
    stand_in.answer = http("200 OK", b"{}")
    verdict = await judge(await opa(at(stand_in)))
    assert isinstance(verdict, Deny)
    assert verdict.rule == "gatepost/decision is undefined"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "did not answer in time"),
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "broke off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "broke off"),
        (b"\0" * 1000, "broke off"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 20), "broke off"),
        (http("200 OK", b'{"result":"' + b"x" * (1 << 20) + b'"}'), "answered more than 65536 bytes"),
        (http("302 Found", b"", "Location: http://localhost:1/"), "answered with the status 302"),
        (http("500 Internal Server Error", b'{"result":true}'), "answered with the status 500"),
        (http("204 No Content", b""), "answered with the status 204"),
        (http("200 OK", b""), "something else than a decision"),
        (http("200 OK", b"<html>hunter2</html>"), "something else than a decision"),
        (http("200 OK", b"[" * 60000), "something else than a decision"),
        (http("200 OK", b"true"), "something else than a decision"),
        (http("200 OK", gzip.compress(b'{"result":true}'), "Content-Encoding: gzip"), "something else than a decision"),
        (result(None), "not a decision"),
        (result("true"), "not a decision"),
        (result(1), "not a decision"),
        (result([True]), "not a decision"),
        (result({}), "not a decision"),
        (result({"allow": "yes"}), "not a decision"),
        (result({"allow": True, "deny": ["hunter2"]}), "not a decision"),
        (result({"allow": True, "risk": {"score": 101}}), "not a decision"),
        (result({"allow": True, "rows": 0}), "not a decision"),
        (result({"allow": False, "reason": "x" * 1001}), "not a decision"),
    ],
)
async def test_whatever_is_no_decision_is_a_fault_that_says_so(
    opa: MakeOpa, stand_in: OpaStandIn, caplog: pytest.LogCaptureFixture, answer: bytes | None, reason: str
) -> None:
    stand_in.answer, stand_in.closes = answer, answer is not None
    plugin = await opa(at(stand_in), timeout=0.2 if answer is None else 20.0)
    with pytest.raises(PluginFault, match=reason) as caught:
        await judge(plugin)
    assert caught.value.hint
    assert reason in caplog.text
    assert "hunter2" not in caught.value.message + caplog.text


async def test_where_nobody_listens_nothing_runs(opa: MakeOpa, stand_in: OpaStandIn) -> None:
    async with running() as gone:
        plugin = await opa(at(gone))
    with pytest.raises(PluginFault, match="could not be reached"):
        await judge(plugin)


async def test_a_server_that_is_back_is_asked_again(opa: MakeOpa, stand_in: OpaStandIn) -> None:
    plugin = await opa(at(stand_in))
    stand_in.answer, stand_in.closes = b"", True
    with pytest.raises(PluginFault):
        await judge(plugin)
    stand_in.answer, stand_in.closes = result(True), False
    assert await judge(plugin) is None


async def test_a_certificate_counts_if_it_is_the_authority_s(
    opa: MakeOpa, tmp_path: Path, authority: Authority
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = Authority(other)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*stranger.server())
    async with running(tls) as stand_in:
        plugin = await opa(at(stand_in, "https"), ca=str(stranger.certificate))
        assert await judge(plugin) is None
        for settings in ({"ca": str(authority.certificate)}, {}):
            plugin = await opa(at(stand_in, "https"), **settings)
            with pytest.raises(PluginFault, match="its certificate is not the expected one"):
                await judge(plugin)
        assert len(stand_in.asked) == 1


async def test_a_token_that_is_gone_is_a_fault_that_does_not_name_it(
    opa: MakeOpa, stand_in: OpaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPA_TOKEN", "x")
    plugin = await opa(at(stand_in), token="env:OPA_TOKEN")
    monkeypatch.delenv("OPA_TOKEN")
    with pytest.raises(PluginFault, match="cannot read its token") as caught:
        await judge(plugin)
    assert "OPA_TOKEN" not in caught.value.message
    assert stand_in.asked == []
