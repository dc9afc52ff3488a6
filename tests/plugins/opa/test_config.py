"""`[plugins.opa]`: what is wrong is said by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost import ConfigFault, PluginFault
from gatepost.config import load, section
from gatepost.testing import FakeGateway, make_session, make_statement
from gatepost_opa import Opa, OpaConfig

CONFIG = """\
[targets.shop]
protocol = "postgres"
listen = "127.0.0.1:0"
upstream = "db.internal"
[plugins.opa]
"""


def configured(folder: Path, table: str) -> OpaConfig:
    file = folder / "gatepost.toml"
    file.write_text(CONFIG + table)
    return section(load(file), "opa", OpaConfig)


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    config = configured(tmp_path, 'policy = "policy"\ntimeout = "50ms"\ncache = 100')
    assert (config.policy, config.timeout, config.cache) == (str(tmp_path / "policy"), 0.05, 100)
    assert config.decision == "gatepost/decision"


def test_a_server(tmp_path: Path) -> None:
    config = configured(tmp_path, 'url = "https://opa:8181/"\nca = "ca.pem"\ntoken = "file:token"')
    assert (config.url, config.ca) == ("https://opa:8181", str(tmp_path / "ca.pem"))
    assert config.timeout == 0.5


@pytest.mark.parametrize(
    ("table", "key", "message"),
    [
        ("", "plugins.opa", "expected either `policy`"),
        ('policy = "p"\nurl = "http://opa"', "plugins.opa", "expected either `policy`"),
        ('url = "http://opa"\ncache = 1', "plugins.opa", "`cache` goes with `policy`"),
        ('policy = "p"\nca = "ca.pem"', "plugins.opa", "`ca` and `token` go with `url`"),
        ('url = "http://opa"\ntoken = "env:X"', "plugins.opa", "over https"),
        ('url = "http://opa"\ntoken = "hunter2"', "plugins.opa.token", "never the secret itself"),
        ('url = "opa:8181"', "plugins.opa.url", "expected an address"),
        ('url = "ftp://opa"', "plugins.opa.url", "expected an address"),
        ('url = "http://user:hunter2@opa"', "plugins.opa.url", "expected an address"),
        ('url = "http://opa:port"', "plugins.opa.url", "expected an address"),
        ('url = "http://opa/?pretty"', "plugins.opa.url", "expected an address"),
        ('policy = "p"\ndecision = "data.gatepost"', "plugins.opa.decision", ""),
        ('policy = "p"\ndecision = "a/../b"', "plugins.opa.decision", ""),
        ('policy = "p"\ncache = -1', "plugins.opa.cache", ""),
        ('policy = "p"\nchace = 1', "plugins.opa.chace", "did you mean `cache`?"),
    ],
)
def test_what_is_wrong_is_said_by_key(tmp_path: Path, table: str, key: str, message: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        configured(tmp_path, table)
    assert caught.value.key == key
    assert message in caught.value.message
    assert "hunter2" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_token_may_go_to_this_machine(tmp_path: Path, host: str) -> None:
    assert configured(tmp_path, f'url = "http://{host}:8181"\ntoken = "env:X"').token


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('url = "https://opa"\nca = "missing.pem"', "plugins.opa.ca"),
        ('url = "https://opa"\ntoken = "env:GATEPOST_NO_SUCH_TOKEN"', "plugins.opa.token"),
        ('policy = "missing"', "plugins.opa.policy"),
    ],
)
def test_files_are_looked_for_when_a_worker_starts(tmp_path: Path, table: str, key: str) -> None:
    plugin = Opa(configured(tmp_path, table))
    with pytest.raises(ConfigFault) as caught:
        plugin.on_start(FakeGateway(tmp_path, config_file=tmp_path / "gatepost.toml"))
    assert caught.value.key == key


def test_without_a_policy_nothing_runs(tmp_path: Path) -> None:
    """As after its end: what is asked then is refused."""
    plugin = Opa(configured(tmp_path, 'url = "http://localhost:1"'))
    plugin.on_start(FakeGateway(tmp_path, worker=-1))
    with pytest.raises(PluginFault, match="not there"):
        plugin.on_statement(make_session(), make_statement())
