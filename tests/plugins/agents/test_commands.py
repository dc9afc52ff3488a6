"""`gatepost agents`, as its user sees it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.plugins.agents.gate import worker

from gatepost import Secret
from gatepost.cli import main
from gatepost_agents.store import FILE, Store

CONFIG = """\
[targets.shop]
protocol = "postgres"
listen = "0.0.0.0:6432"
upstream = "db.internal"
database = "shop"
[targets.copy]
protocol = "postgres"
listen = "[::1]:6433"
upstream = "db.internal"
[plugins.agents]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "gatepost.toml"
    file.write_text(CONFIG)
    return file


def agents(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["-c", str(file), "agents", *arguments])


def add(file: Path, *arguments: str) -> Secret:
    result = agents(file, "add", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return Secret(json.loads(result.stdout)["password"])


def logs_in(file: Path, name: str, password: Secret) -> bool:
    async def scenario() -> bool:
        async with worker(file.parent / ".gatepost") as gate:
            client = gate.client(name)
            answer = await client.ask(password)
            await client.leave()
            return answer is not None

    return asyncio.run(scenario())


def test_a_new_agents_password_is_shown_once_with_a_url_for_each_target(file: Path) -> None:
    result = agents(file, "add", "b@t", "--role", "reader", "--expires", "90d", "--acting-for", "kim", "--json")

    shown = json.loads(result.stdout)
    password = shown["password"]
    assert len(password) >= 32
    assert shown["urls"]["shop"].startswith(f"postgres://b%40t:{password}@")
    assert shown["urls"]["shop"].endswith(":6432/shop")
    assert "0.0.0.0" not in shown["urls"]["shop"]
    assert shown["urls"]["copy"] == f"postgres://b%40t:{password}@[::1]:6433/"
    assert logs_in(file, "b@t", Secret(password))
    assert password not in agents(file, "list").output + agents(file, "list", "--json").output
    for stored in (file.parent / ".gatepost").iterdir():
        assert password.encode() not in stored.read_bytes()


def test_the_list_tells_each_agents_state(file: Path) -> None:
    add(file, "active", "--role", "reader", "--role", "reporting", "--acting-for", "kim")
    for name in ("locked", "gone"):
        add(file, name, "--role", "reader")
    add(file, "old", "--role", "reader", "--expires", "1s")
    assert agents(file, "revoke", "gone").exit_code == 0
    store = Store(file.parent / ".gatepost" / FILE, durable=False)
    store.begin_attempt("locked", time.time(), 1, 1800)

    listed = {each["name"]: each for each in json.loads(agents(file, "list", "--json").stdout)}

    assert listed["active"]["roles"] == ["reader", "reporting"]
    assert listed["active"]["acting_for"] == "kim"
    assert (listed["active"]["state"], listed["locked"]["state"], listed["gone"]["state"]) == (
        "active",
        "locked",
        "revoked",
    )
    assert listed["old"]["expires"] > listed["old"]["created"]
    assert "locked" in agents(file, "list").output

    assert agents(file, "unlock", "locked").exit_code == 0
    assert {each["state"] for each in json.loads(agents(file, "list", "--json").stdout)} >= {"active", "revoked"}


def test_rotation_voids_the_old_password_at_once(file: Path) -> None:
    old = add(file, "bot", "--role", "reader")
    new = Secret(json.loads(agents(file, "rotate", "bot", "--json").stdout)["password"])

    assert not logs_in(file, "bot", old)
    assert logs_in(file, "bot", new)


def test_rotation_reaches_a_worker_that_runs(file: Path) -> None:
    old = add(file, "bot", "--role", "reader")

    async def scenario() -> None:
        async with worker(file.parent / ".gatepost") as gate:
            for password, welcome in ((old, True), (None, True), (old, False)):
                if password is None:
                    result = await asyncio.to_thread(agents, file, "rotate", "bot", "--json")
                    password = Secret(json.loads(result.stdout)["password"])
                client = gate.client("bot")
                assert (await client.ask(password) is not None) is welcome
                await client.leave()

    asyncio.run(scenario())


def test_revoked_names_stay_revoked(file: Path) -> None:
    password = add(file, "bot", "--role", "reader")
    agents(file, "revoke", "bot")

    assert not logs_in(file, "bot", password)
    assert "for good" in agents(file, "rotate", "bot").stderr
    assert "taken" in agents(file, "add", "bot", "--role", "reader").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "bot"), "Missing option '--role'"),
        (("add", "a b", "--role", "r"), "expected letters"),
        (("add", "-x", "--role", "r"), "No such option"),
        (("add", "", "--role", "r"), "expected letters"),
        (("add", "x" * 64, "--role", "r"), "at most 63"),
        (("add", "bot", "--role", "r", "--expires", "soon"), "expected seconds"),
        (("rotate", "nobody"), "There is no agent 'nobody'"),
        (("revoke", "nobody"), "There is no agent 'nobody'"),
        (("unlock", "nobody"), "There is no agent 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_said(file: Path, arguments: tuple[str, ...], message: str) -> None:
    result = agents(file, *arguments)

    assert result.exit_code != 0
    assert message in result.stderr
    assert result.stdout == ""


def test_a_name_that_may_not_rest_is_refused(file: Path, tmp_path: Path) -> None:
    script = tmp_path / "no_digits.py"
    script.write_text(
        "import re\nfrom gatepost import hookimpl\n"
        "@hookimpl\ndef on_store(text):\n    return re.sub(r'\\d{13,}', '(digits)', text)\n"
    )

    result = CliRunner().invoke(
        main, ["-c", str(file), "-s", str(script), "agents", "add", "4111111111111111", "--role", "reader"]
    )

    assert result.exit_code == 2
    assert "card number" in result.stderr
    assert "4111111111111111" not in result.output
