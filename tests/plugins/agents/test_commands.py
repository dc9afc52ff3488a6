"""`gatepost agents`, as its user sees it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec import json as msgspec_json
from tests.plugins.agents.gate import worker

from gatepost import Change, Secret
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


def test_the_list_shows_texts_as_they_are(file: Path) -> None:
    add(file, "bot", "--role", "[bold]", "--acting-for", "kim [/ops]")

    shown = agents(file, "list")

    assert shown.exit_code == 0, shown.exception
    assert "[bold]" in shown.output
    assert "kim [/ops]" in shown.output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--role", "reader\x1b[2J"),
        ("--role", "reader\n"),
        ("--acting-for", "kim\u202emoc"),
        ("--acting-for", "kim\u200b"),
        ("--expires", "999999999d"),
        ("--expires", "101000d"),
    ],
)
def test_what_cannot_be_shown_is_not_kept(file: Path, option: str, value: str) -> None:
    result = agents(file, "add", "bot", "--role", "reader", option, value)

    assert result.exit_code == 2, result.exception
    assert "\x1b" not in result.output
    assert json.loads(agents(file, "list", "--json").stdout) == []


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


TELLS = """\
from pathlib import Path
import msgspec
from gatepost import PluginFault, hookimpl

folder = Path(__file__).parent

@hookimpl
def on_change(change):
    if (folder / "closed").exists():
        raise PluginFault("the record is closed", hint="Try later.")
    with (folder / "told").open("ab") as told:
        told.write(msgspec.json.encode(change) + b"\\n")
"""


def watched(file: Path, *arguments: str) -> Result:
    """`agents`, with a script that keeps what is announced."""
    script = file.with_name("tells.py")
    script.write_text(TELLS)
    return CliRunner().invoke(main, ["-c", str(file), "-s", str(script), "agents", *arguments])


def told(file: Path) -> list[Change]:
    lines = file.with_name("told").read_bytes().splitlines()
    return [msgspec_json.decode(line, type=Change) for line in lines]


def test_every_change_of_an_agent_is_announced_without_a_secret(file: Path) -> None:
    outputs = [
        watched(file, "add", "bot", "--role", "a", "--role", "b", "--acting-for", "kim", "--json").stdout,
        watched(file, "add", "short", "--role", "a", "--expires", "1d", "--json").stdout,
        watched(file, "rotate", "bot", "--json").stdout,
    ]
    for command in ("unlock", "revoke"):
        assert watched(file, command, "bot").exit_code == 0
    assert watched(file, "list").exit_code == 0

    added, short, *others = told(file)
    assert added == Change(action="agents add", name="bot", detail="roles a, b; expires never; acting for kim")
    assert short.detail == f"roles a; expires {json.loads(outputs[1])['expires']}"
    assert others == [Change(action=f"agents {each}", name="bot") for each in ("rotate", "unlock", "revoke")]
    for output in outputs:
        assert json.loads(output)["password"].encode() not in file.with_name("told").read_bytes()


def test_what_cannot_be_put_on_record_is_not_done(file: Path) -> None:
    old = add(file, "bot", "--role", "reader")
    before = agents(file, "list", "--json").stdout
    file.with_name("closed").touch()

    for arguments in (("add", "new", "--role", "r"), ("rotate", "bot"), ("revoke", "bot"), ("unlock", "bot")):
        result = watched(file, *arguments)
        assert result.exit_code == 1
        assert (result.stdout, result.stderr) == ("", "Error: the record is closed\nTry later.\n")

    assert agents(file, "list", "--json").stdout == before
    assert logs_in(file, "bot", old)


def test_a_change_that_is_refused_is_not_announced(file: Path) -> None:
    add(file, "bot", "--role", "reader")
    for arguments in (("add", "bot", "--role", "r"), ("rotate", "nobody"), ("revoke", "nobody")):
        assert watched(file, *arguments).exit_code == 1
    assert not file.with_name("told").exists()


def test_a_change_that_fails_once_it_was_announced_is_told_as_not_done(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(file, "bot", "--role", "reader")

    @contextmanager
    def breaks(store: Store) -> Iterator[None]:
        yield
        raise sqlite3.OperationalError("disk")

    monkeypatch.setattr(Store, "transaction", breaks)
    result = watched(file, "rotate", "bot")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Nothing is changed" in result.stderr
    assert [each.is_done for each in told(file)] == [True, False]
