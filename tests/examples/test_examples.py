"""Every file in examples/ does what it says."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import msgspec
import psycopg
import pytest
from click.testing import CliRunner
from tests.certificates import Authority
from tests.servers import Database, MakeGate

from gatepost.cli import main
from gatepost.config import LimitsConfig, ListenTls, Settings, TargetConfig, UpstreamTls
from gatepost_agents import AgentsConfig
from gatepost_audit import AuditConfig
from gatepost_mask import MaskConfig
from gatepost_opa import OpaConfig
from gatepost_policy.config import AllowConfig, RiskConfig, RoleConfig
from gatepost_secrets import Login

EXAMPLES = Path(__file__).parents[2] / "examples"
README = EXAMPLES.parent / "README.md"
TABLES = {
    "": Settings,
    "tls.": ListenTls,
    "upstream_tls.": UpstreamTls,
    "plugins.agents.": AgentsConfig,
    "plugins.secrets.targets.NAME.": Login,
    "plugins.policy.roles.NAME.": RoleConfig,
    "plugins.policy.risk.": RiskConfig,
    "allow.": AllowConfig,
    "plugins.mask.": MaskConfig,
    "plugins.opa.": OpaConfig,
    "plugins.audit.": AuditConfig,
}


def source(name: str) -> str:
    return (EXAMPLES / name).read_text()


def test_no_example_is_left_out() -> None:
    assert {file.name for file in EXAMPLES.iterdir() if file.is_file()} == {
        "gatepost.toml",
        "hide_addresses.py",
        "no_delete.py",
        "policy.toml",
        "policy_cases.toml",
        "query.py",
    }


def test_the_configuration_passes_the_check(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.server()
    (tmp_path / "db-ca.pem").write_bytes(authority.certificate.read_bytes())
    certificate.rename(tmp_path / "server.pem")
    key.rename(tmp_path / "server.key")
    (tmp_path / "gatepost.toml").write_text(source("gatepost.toml"))

    result = CliRunner().invoke(main, ["-c", str(tmp_path / "gatepost.toml"), "check", "--json"])

    assert result.exit_code == 0, result.stderr
    # All but the secrets is here.
    assert {(each["severity"], each["key"]) for each in json.loads(result.stdout)["problems"]} == {
        ("warning", f"plugins.secrets.targets.shop.{place}password") for place in ("", "roles.reporting.", "inspector.")
    }


def test_the_policy_decides_its_cases(postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = f"127.0.0.1:{postgres.server.port}"
    policy = source("policy.toml").replace("127.0.0.1:5432", server).replace('"app"', f'"{postgres.user}"')
    (tmp_path / "policy.toml").write_text(policy)
    monkeypatch.setenv("SHOP_PASSWORD", postgres.password)
    cases = str(EXAMPLES / "policy_cases.toml")

    result = CliRunner().invoke(main, ["-c", str(tmp_path / "policy.toml"), "policy", "test", cases])

    assert (result.exit_code, result.output) == (0, "11 cases, none failed.\n")


def test_no_delete_refuses_what_deletes_or_might(postgres: Database, gate: MakeGate) -> None:
    running = gate(postgres, plugins="", scripts=[source("no_delete.py")])
    janitor = running.add_agent("janitor", "janitor")

    with psycopg.connect(running.address, autocommit=True) as agent:
        for statement in (
            "DELETE FROM orders",
            "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
            "TRUNCATE orders",
            "DO $$ BEGIN DELETE FROM orders; END $$",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
                agent.execute(statement)  # type: ignore[call-overload]
            assert caught.value.diag.message_hint == "Set deleted_at to now() instead."
        assert agent.execute("SELECT count(*) > 0 FROM orders").fetchone() == (True,)

    with psycopg.connect(running.address, user="janitor", password=janitor) as connection:
        assert connection.execute("DELETE FROM orders WHERE false").rowcount == 0


def test_hide_addresses_hides_them_wherever_they_are(postgres: Database, gate: MakeGate) -> None:
    running = gate(postgres, plugins="", scripts=[source("hide_addresses.py")])

    with psycopg.connect(running.address, autocommit=True) as agent:
        for binary in (False, True):
            row = agent.execute(
                "SELECT 'to kim@example.com' AS a, ARRAY['x', 'lee@example.org'], "
                '\'{"by": "kim@example.com"}\'::json, NULL, 7',
                binary=binary,
            ).fetchone()
            assert row == ("to (address)", ["x", "(address)"], {"by": "(address)"}, None, 7)


def test_query_tells_a_model_what_came_of_a_statement(
    postgres: Database, gate: MakeGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = gate(postgres, plugins="", scripts=[source("no_delete.py")])
    monkeypatch.setenv("GATEPOST_URL", running.address)
    names = runpy.run_path(str(EXAMPLES / "query.py"))
    query = names["query"]

    with names["connection"]:
        refused = query("DELETE FROM orders").splitlines()
        assert "rows are not deleted here" in refused[0]
        assert refused[-1] == "Set deleted_at to now() instead."
        assert query("SELECT 1") == "[(1,)]"
        assert query("UPDATE orders SET amount = amount WHERE false") == "UPDATE 0"
    assert query("SELECT 1") == "the connection is closed"


@pytest.mark.parametrize("name", ["no_delete.py", "query.py"])
def test_the_readme_shows_the_script_that_is_tested(name: str) -> None:
    assert source(name) in README.read_text()


def test_the_readme_tells_every_key_of_the_configuration_and_no_other() -> None:
    told = {
        key.removesuffix(".ROLE")
        for line in README.read_text().splitlines()
        if line.count("|") == 4
        for key in re.findall(r"`([^`]+)`", line.split("|")[1])
    }
    tables = [*TABLES.items(), ("", TargetConfig), ("", LimitsConfig)]
    known = {prefix + field.name for prefix, table in tables for field in msgspec.structs.fields(table)}
    whole_tables = {"limits", "targets", "plugins", "tls", "upstream_tls"}
    assert told == known - whole_tables | {f"plugins.secrets.targets.NAME.{key}" for key in ("roles", "inspector")}
