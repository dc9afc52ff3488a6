"""The command line, as its user sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.certificates import Authority

from gatepost.cli import main

CONFIG = """\
[targets.shop]
protocol = "postgres"
listen = "127.0.0.1:0"
upstream = "db.internal"
[plugins.agents]
[plugins.secrets.targets.shop]
user = "app"
password = "env:SHOP_PASSWORD"
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEPOST_CONFIG", raising=False)
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)


def gatepost(*arguments: str, config: str | None = None) -> Result:
    if config is not None:
        Path("gatepost.toml").write_text(config)
    return CliRunner().invoke(main, arguments)


def test_help_needs_no_configuration_and_shows_plugins_commands_when_there_is_one() -> None:
    assert "\n  agents " not in gatepost("--help").output
    assert "\n  agents " in gatepost("--help", config=CONFIG).output
    assert gatepost("--help", config="not toml").exit_code == 0


def test_init_writes_a_file_that_check_accepts_and_never_overwrites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    assert gatepost("init").exit_code == 0
    written = Path("gatepost.toml").read_text()
    checked = gatepost("check")
    assert (checked.exit_code, checked.stderr) == (0, "")

    again = gatepost("init")

    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert Path("gatepost.toml").read_text() == written


def test_the_configuration_is_found_by_option_and_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("other.toml").write_text(CONFIG)

    assert gatepost("check").exit_code == 2
    assert gatepost("-c", "other.toml", "check").exit_code == 0
    monkeypatch.setenv("GATEPOST_CONFIG", "other.toml")
    assert gatepost("check").exit_code == 0


@pytest.mark.parametrize(
    ("config", "line", "key", "message"),
    [
        ("[targets", 1, "", "not valid TOML"),
        (CONFIG.replace("upstream", "upstrm"), 4, "targets.shop.upstrm", "did you mean `upstream`?"),
        (CONFIG.replace("postgres", "oracle"), 2, "targets.shop.protocol", "postgres"),
        (
            CONFIG.replace("env:SHOP_PASSWORD", "hunter2"),
            8,
            "plugins.secrets.targets.shop.password",
            "never the secret",
        ),
        (
            CONFIG.replace("targets.shop]\nuser", "targets.shpo]\nuser"),
            6,
            "plugins.secrets.targets.shpo",
            "did you mean",
        ),
        (CONFIG + "[plugins.msak]\n", 9, "plugins.msak", "mask"),
        (
            CONFIG + '[targets.shop.tls]\nmode = "required"\ncertificate = "no.pem"\nkey = "no.key"\n',
            9,
            "targets.shop.tls",
            "No such file",
        ),
        (
            CONFIG + '[targets.shop.upstream_tls]\nmode = "verify-full"\nca = "gatepost.toml"\n',
            9,
            "targets.shop.upstream_tls",
            "gatepost.toml",
        ),
    ],
)
def test_check_says_what_is_wrong_and_where(config: str, line: int | None, key: str, message: str) -> None:
    result = gatepost("check", "--json", config=config)

    report = json.loads(result.stdout)
    assert result.exit_code == 2
    assert not report["ok"]
    problem = report["problems"][0]
    assert problem["severity"] == "error"
    assert (problem["file"], problem["line"], problem["key"]) == (str(Path("gatepost.toml").absolute()), line, key)
    assert message in problem["message"] + problem["hint"]

    text = gatepost("check")
    assert text.exit_code == 2
    assert f"gatepost.toml:{line}: {key}" in text.stderr
    assert "hunter2" not in result.output + text.output


def test_check_accepts_usable_certificates(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).server()
    tls = f'[targets.shop.tls]\nmode = "required"\ncertificate = "{certificate}"\nkey = "{key}"\n'

    assert gatepost("check", config=CONFIG + tls).exit_code == 0


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        (CONFIG.replace("[plugins.agents]\n", ""), "plugins", "every client will be refused"),
        (CONFIG + '[limits]\nidle = "1h"\n', "limits.idle", "8.2.8"),
        (CONFIG.replace("127.0.0.1", "0.0.0.0"), "targets.shop.tls", "without TLS"),
        (CONFIG.replace("127.0.0.1", "gate.internal"), "targets.shop.tls", "without TLS"),
        (CONFIG, "plugins.secrets.targets.shop.password", "SHOP_PASSWORD is not set"),
    ],
)
def test_check_warns_of_what_may_not_be_meant(
    config: str, key: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "is not set" not in message:
        monkeypatch.setenv("SHOP_PASSWORD", "s3cret")

    result = gatepost("check", "--json", config=config)

    [problem] = json.loads(result.stdout)["problems"]
    assert result.exit_code == 0
    assert (problem["severity"], problem["key"]) == ("warning", key)
    assert message in problem["message"]


def test_check_warns_of_what_every_user_can_read() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are out of others' reach
        Path(name).chmod(0o755)
        certificate, key = Authority(Path(name)).server()
        secret, state = Path(name) / "secret", Path(name) / "state"
        secret.write_text("s3cret")
        state.mkdir()
        for path, mode in ((key, 0o644), (secret, 0o644), (state, 0o755)):
            path.chmod(mode)
        tls = f'[targets.shop.tls]\nmode = "required"\ncertificate = "{certificate}"\nkey = "{key}"\n'
        config = f'state = "{state}"\n{CONFIG}{tls}'.replace("env:SHOP_PASSWORD", f"file:{secret}")

        problems = json.loads(gatepost("check", "--json", config=config).stdout)["problems"]

        assert {each["key"]: each["severity"] for each in problems} == dict.fromkeys(
            ("targets.shop.tls.key", "plugins.secrets.targets.shop.password", "state"), "warning"
        )
        for path, mode in ((key, 0o600), (secret, 0o640), (state, 0o700)):
            path.chmod(mode)
        assert json.loads(gatepost("check", "--json", config=config).stdout)["problems"] == []


def test_a_state_folder_that_cannot_be_used_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    config = 'state = "gatepost.toml"\n' + CONFIG + "[plugins.audit]\n"

    checked = gatepost("check", "--json", config=config)

    [problem] = json.loads(checked.stdout)["problems"]
    assert (problem["severity"], problem["key"], problem["line"]) == ("warning", "state", 1)
    for command in (["run"], ["agents", "list"], ["agents", "add", "a", "--role", "r"], ["audit", "verify"]):
        result = gatepost(*command)
        assert result.exit_code == 2, result.output
        assert "gatepost.toml:1: state: " in result.stderr
        assert "is no folder" in result.stderr


def test_plugins_are_listed_in_their_order_with_their_hooks() -> None:
    Path("mine.py").write_text("from gatepost import hookimpl\n@hookimpl\ndef on_statement(statement): ...\n")

    report = json.loads(gatepost("-s", "mine.py", "plugins", "--json", config=CONFIG).stdout)

    assert [each["name"] for each in report["enabled"]] == ["agents", "secrets", "mine"]
    assert report["enabled"][1]["hooks"] == ["on_connect", "on_inspect", "on_start"]
    assert report["enabled"][2]["hooks"] == ["on_statement"]
    assert {"mask", "audit"} <= set(report["installed"])
    assert "on_statement" in gatepost("-s", "mine.py", "plugins").stdout


@pytest.mark.parametrize("command", ["run", "plugins", "agents"])
def test_a_missing_configuration_is_a_clear_error(command: str) -> None:
    result = gatepost(command)

    assert result.exit_code == 2
    assert "gatepost.toml: cannot be read" in result.stderr
    assert "gatepost init" in result.stderr


def test_a_command_of_a_plugin_that_is_off_says_so() -> None:
    result = gatepost("agents", "list", config=CONFIG.replace("[plugins.agents]\n", ""))

    assert result.exit_code == 2
    assert "add a table [plugins.agents] to gatepost.toml" in result.stderr


def test_an_unknown_command_is_an_error_with_and_without_a_configuration() -> None:
    for config in (None, CONFIG):
        result = gatepost("nonsense", config=config)
        assert result.exit_code == 2
        assert "No such command 'nonsense'" in result.stderr


def test_a_plugins_command_runs_after_its_start() -> None:
    Path("mine.py").write_text(
        "import click\nfrom gatepost import hookimpl\nstarted = []\n"
        "@hookimpl\ndef on_start(gateway):\n    started.append(gateway.worker)\n"
        "@hookimpl\ndef add_commands(cli):\n    cli.command('mine')(lambda: click.echo(f'started {started}'))\n"
    )

    assert gatepost("-s", "mine.py", "mine", config=CONFIG).stdout == "started [-1]\n"


def test_a_fault_of_a_plugins_command_is_shown_without_a_traceback() -> None:
    Path("mine.py").write_text(
        "from gatepost import PluginFault, hookimpl\n"
        "def fail():\n    raise PluginFault('no record', hint='Look for it.')\n"
        "@hookimpl\ndef add_commands(cli):\n    cli.command('mine')(fail)\n"
    )

    result = gatepost("-s", "mine.py", "mine", config=CONFIG)

    assert (result.exit_code, result.stderr) == (1, "Error: no record\nLook for it.\n")


def test_a_file_that_cannot_be_used_is_named_without_a_traceback() -> None:
    (Path(".gatepost") / "agents.db").mkdir(parents=True)
    Path("mine.py").write_text(
        "from gatepost import hookimpl\ndef read():\n    open('.gatepost')\n"
        "@hookimpl\ndef add_commands(cli):\n    cli.command('mine')(read)\n"
    )

    result = gatepost("-s", "mine.py", "mine", config=CONFIG)
    listed = gatepost("agents", "list")

    assert (result.exit_code, result.stderr) == (1, "Error: .gatepost: Is a directory.\n")
    assert (listed.exit_code, listed.stderr.count("\n")) == (1, 1)
    assert "agents.db cannot be read" in listed.stderr


def test_an_argument_that_is_no_text_is_refused() -> None:
    result = gatepost("agents", "add", "bot", "--role", os.fsdecode(b"caf\xe9"), config=CONFIG)

    assert result.exit_code == 2
    assert "not UTF-8 text" in result.stderr


def test_what_a_terminal_cannot_show_is_escaped() -> None:
    Path("gatepost.toml").write_text(CONFIG)
    command = [sys.executable, "-c", "from gatepost.cli import main; main()", "agents"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    add = [*command, "add", "bot", "--role", "r", "--acting-for", "Zoë"]
    subprocess.run(add, stdout=subprocess.DEVNULL, check=True)

    listed = subprocess.run([*command, "list"], env=environment, capture_output=True, text=True, check=False)

    assert (listed.returncode, listed.stderr) == (0, "")
    assert r"Zo\xeb" in listed.stdout


def test_an_interrupt_ends_with_130() -> None:
    Path("mine.py").write_text(
        "from gatepost import hookimpl\ndef interrupted():\n    raise KeyboardInterrupt\n"
        "@hookimpl\ndef add_commands(cli):\n    cli.command('mine')(interrupted)\n"
    )

    assert gatepost("-s", "mine.py", "mine", config=CONFIG).exit_code == 130


def test_a_reader_that_leaves_early_is_no_error() -> None:
    Path("gatepost.toml").write_text(CONFIG)
    command = [sys.executable, "-c", "from gatepost.cli import main; main()", "plugins", "--json"]
    read, write = os.pipe()
    os.close(read)

    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)

    assert ended.stderr == b""


def test_output_that_is_no_terminal_has_no_colours() -> None:
    for arguments in (["check"], ["plugins"]):
        result = gatepost(*arguments, config=CONFIG + '[limits]\nidle = "1h"\n')
        assert "\x1b" not in result.output
