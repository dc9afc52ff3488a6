from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gatepost import ConfigFault, Identity, PluginFault, Session, Target
from gatepost.config import load, section
from gatepost_secrets import Secrets, SecretsConfig

TARGET = Target(name="shop", protocol="postgres", host="db.internal", port=5432)
CONFIG = """\
[targets.shop]
protocol = "postgres"
listen = "127.0.0.1:0"
upstream = "db.internal"
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2")
    (tmp_path / "reporting").write_text("hunter3\n")


def secrets(folder: Path, tables: str) -> Secrets:
    file = folder / "gatepost.toml"
    file.write_text(CONFIG + tables)
    return Secrets(section(load(file), "secrets", SecretsConfig))


def session(*roles: str) -> Session:
    identity = Identity(name="bot", roles=roles)
    return Session(id="1", number=1, protocol="postgres", target="shop", client="", started_at=0, identity=identity)


def gateway(worker: int) -> Any:
    return SimpleNamespace(worker=worker, targets=(TARGET,), config_file=Path("gatepost.toml"))


ROLES = """\
[plugins.secrets.targets.shop]
user = "app"
password = "env:SHOP_PASSWORD"
[plugins.secrets.targets.shop.roles.reporting]
user = "app_reporting"
password = "file:reporting"
database = "copy"
[plugins.secrets.targets.shop.roles.local]
user = "app_local"
"""


@pytest.mark.parametrize(
    ("roles", "login"),
    [
        ((), ("app", "hunter2", "")),
        (("reader",), ("app", "hunter2", "")),
        (("reader", "reporting"), ("app_reporting", "hunter3", "copy")),
        (("local", "reporting"), ("app_local", None, "")),
    ],
)
def test_the_first_role_with_a_login_decides(tmp_path: Path, roles: tuple[str, ...], login: tuple[str, ...]) -> None:
    found = secrets(tmp_path, ROLES).on_connect(session(*roles), TARGET)

    assert found is not None
    assert (found.user, found.password.reveal() if found.password else None, found.database) == login
    assert "hunter" not in repr(found)


def test_other_targets_are_not_its_business(tmp_path: Path) -> None:
    other = Target(name="other", protocol="postgres", host="db.internal", port=5432)

    assert secrets(tmp_path, ROLES).on_connect(session(), other) is None


def test_without_a_login_of_its_own_a_target_serves_the_listed_roles_alone(tmp_path: Path) -> None:
    plugin = secrets(tmp_path, '[plugins.secrets.targets.shop.roles.reader]\nuser = "ro"\n')

    assert plugin.on_connect(session("writer"), TARGET) is None
    found = plugin.on_connect(session("reader"), TARGET)
    assert found is not None
    assert found.user == "ro"


def test_a_rotated_password_is_used_from_the_next_connection_on(tmp_path: Path) -> None:
    plugin = secrets(tmp_path, ROLES)
    (tmp_path / "reporting").write_text("hunter4\n")

    found = plugin.on_connect(session("reporting"), TARGET)

    assert found is not None
    assert found.password is not None
    assert found.password.reveal() == "hunter4"


def test_the_catalogue_is_read_with_a_login_of_its_own(tmp_path: Path) -> None:
    table = (
        '[plugins.secrets.targets.shop.inspector]\nuser = "looker"\npassword = "file:reporting"\ndatabase = "copy"\n'
    )
    plugin = secrets(tmp_path, ROLES + table)

    found = plugin.on_inspect(TARGET)

    assert found is not None
    assert found.password is not None
    assert (found.user, found.password.reveal(), found.database) == ("looker", "hunter3", "copy")
    assert secrets(tmp_path, ROLES).on_inspect(TARGET) is None
    (tmp_path / "reporting").unlink()
    with pytest.raises(ConfigFault) as caught:
        secrets(tmp_path, "[plugins.secrets.targets.shop]\n" + table).on_start(gateway(0))
    assert caught.value.key == "plugins.secrets.targets.shop.inspector.password"


def test_an_inspector_must_know_its_database(tmp_path: Path) -> None:
    plugin = secrets(tmp_path, '[plugins.secrets.targets.shop.inspector]\nuser = "looker"\n')
    with pytest.raises(ConfigFault, match="expected the `database`") as caught:
        plugin.on_start(gateway(-1))
    assert caught.value.key == "plugins.secrets.targets.shop.inspector"


def test_a_password_that_is_gone_ends_the_session_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = secrets(tmp_path, ROLES)
    (tmp_path / "reporting").unlink()

    with caplog.at_level(logging.ERROR, "gatepost.secrets"), pytest.raises(PluginFault) as caught:
        plugin.on_connect(session("reporting"), TARGET)

    assert "target shop" in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert str(tmp_path / "reporting") in caplog.text


def test_passwords_are_looked_for_when_a_worker_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = secrets(tmp_path, ROLES)
    plugin.on_start(gateway(0))
    monkeypatch.delenv("SHOP_PASSWORD")
    plugin.on_start(gateway(-1))

    with pytest.raises(ConfigFault, match="SHOP_PASSWORD is not set") as caught:
        plugin.on_start(gateway(0))

    assert caught.value.key == "plugins.secrets.targets.shop.password"


def test_a_misspelt_target_is_an_error(tmp_path: Path) -> None:
    plugin = secrets(tmp_path, '[plugins.secrets.targets.shpo]\nuser = "app"\n')

    with pytest.raises(ConfigFault, match=r"did you mean shop\?") as caught:
        plugin.on_start(gateway(-1))

    assert caught.value.key == "plugins.secrets.targets.shpo"


@pytest.mark.parametrize(
    ("tables", "line", "key"),
    [
        (
            '[plugins.secrets.targets.shop]\nuser = "a"\npassword = "hunter2"',
            7,
            "plugins.secrets.targets.shop.password",
        ),
        ('[plugins.secrets.targets.shop]\nusr = "a"', 6, "plugins.secrets.targets.shop.usr"),
        ('[plugins.secrets.targets.shop.roles.r]\npassword = "env:X"', 5, "plugins.secrets.targets.shop.roles.r"),
        ("[plugins.secrets]", 5, "plugins.secrets"),
    ],
)
def test_what_is_wrong_is_said_by_key(tmp_path: Path, tables: str, line: int, key: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        secrets(tmp_path, tables)

    assert (caught.value.line, caught.value.key) == (line, key)
    assert "hunter2" not in str(caught.value) + caught.value.hint
