"""`gatepost policy`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from tests.plugins.policy.deciding import NOON, config

from gatepost import Facts, Identity, PastStatement, UpstreamFault, Use
from gatepost.testing import FakeGateway, make_session, make_statement
from gatepost.values import Target
from gatepost_policy import Policy
from gatepost_sql import facts

TOML = """
[risk]
sensitive = ["public.cards(pan)"]

[roles.reader]
rows = 100
allow = [
  { do = "read", on = "public.*" },
  { do = "update", on = "public.orders(state)" },
  { do = "call", on = "app.refund" },
]
deny = [{ do = "all", on = "public.secrets" }, { do = "select", on = "public.cards(pan)" }]

[roles.nobody]
"""
TABLES = {
    "public.cards": ("id", "pan"),
    "public.orders": ("id", "state"),
    "public.secrets": ("id",),
    "pg_catalog.pg_type": ("oid",),
}


class Catalogue:
    read_at = 0.0
    tables: Mapping[str, tuple[str, ...]] = TABLES


class Adapter:
    """PostgreSQL's grammar, and a catalogue that settles nothing but that it is there."""

    def facts(self, text: str, catalogue: object = None) -> Facts:
        found = facts(text)
        return found if catalogue is None else Facts(**{**_fields(found), "is_resolved": True})

    def grants(self, role: str, uses: Sequence[Use], catalogue: object) -> list[str]:
        return [f"{role}: {use.verb} {use.name} {use.columns}" for use in uses]


def _fields(found: Facts) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__struct_fields__}


class Gateway(FakeGateway):
    """A gate with a database that can be read, or not."""

    def __init__(self, state: Path, *, known: bool, past: Sequence[PastStatement] = ()) -> None:
        targets = [Target(name=name, protocol="postgres", host="db", port=5432) for name in ("shop", "vault")]
        adapters: Any = {"postgres": Adapter()}
        super().__init__(state, worker=-1, targets=targets, adapters=adapters, past=past)
        self._known = known

    async def catalogue(self, target: Target) -> Any:
        if target.name == "vault":
            raise UpstreamFault("the database is out of reach")
        return Catalogue() if self._known else None


def run(tmp_path: Path, *arguments: str, known: bool = True, past: Sequence[PastStatement] = ()) -> Result:
    @click.group()
    def cli() -> None: ...

    Policy(config(TOML)).add_commands(cli, Gateway(tmp_path, known=known, past=past))
    return CliRunner().invoke(cli, ["policy", *arguments])


def explained(tmp_path: Path, text: str, *arguments: str) -> dict[str, Any]:
    result = run(tmp_path, "explain", "reader", text, "--target", "shop", "--json", *arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_explain_shows_what_is_done_which_rule_decides_and_what_is_allowed(tmp_path: Path) -> None:
    result = run(tmp_path, "explain", "reader", "SELECT id, pan FROM public.cards", "--target", "shop")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert "effect   read" in lines
    assert "does     select public.cards, all rows" in lines
    assert "verdict  deny" in lines
    assert "rule     policy.reader.deny[1]" in lines
    assert "risk     30: it reads sensitive columns of all rows" in lines
    assert "may      update public.orders(state)" in lines


def test_explain_in_json(tmp_path: Path) -> None:
    allowed = explained(tmp_path, "UPDATE orders SET state = 'x' WHERE id = 1")
    assert (allowed["verdict"], allowed["effect"], allowed["is_resolved"]) == ("allow", "write", True)
    assert allowed["rules"] == ["policy.reader.allow[1]"]
    assert {"verb": "update", "on": "orders", "columns": ["state"], "is_bounded": True} in allowed["does"]
    assert allowed["may"]["call"] == ["app.refund"]
    denied = explained(tmp_path, "DELETE FROM orders")
    assert (denied["verdict"], denied["rules"]) == ("deny", ["policy.reader: no rule"])
    assert denied["reason"] == "You may not delete orders."
    assert explained(tmp_path, "SELECT id FROM orders")["rows"] == 100


def test_explain_without_a_catalogue_says_that_it_went_by_the_text(tmp_path: Path) -> None:
    result = run(tmp_path, "explain", "reader", "SELECT id FROM orders", "--target", "shop", known=False)
    assert "verdict  allow" in result.stdout
    assert "The catalogue of shop is not known (nobody has credentials to read it)" in result.stderr
    result = run(tmp_path, "explain", "reader", "SELECT id FROM orders", "--target", "vault")
    assert "The catalogue of vault is not known (the database is out of reach)" in result.stderr


def test_what_is_asked_must_be_there(tmp_path: Path) -> None:
    assert run(tmp_path, "explain", "nope", "SELECT 1").exit_code == 2
    several = run(tmp_path, "explain", "reader", "SELECT 1")
    assert (several.exit_code, "Say which target: shop, vault." in several.stderr) == (2, True)


CASES = """
[[case]]
role = "reader"
sql = "SELECT id FROM public.orders"
expect = "allow"
rule = "policy.reader.allow[0]"

[[case]]
role = "reader"
sql = "SELECT pan FROM public.cards"
expect = "deny"
rule = "policy.reader.deny[1]"
at = 2026-01-05T08:00:00
client = "10.0.0.1"
"""


def test_cases_that_come_out_as_they_say(tmp_path: Path) -> None:
    (tmp_path / "cases.toml").write_text(CASES)
    result = run(tmp_path, "test", str(tmp_path / "cases.toml"))
    assert (result.exit_code, result.stdout) == (0, "2 cases, none failed.\n")


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (
            ('expect = "allow"', 'expect = "deny"'),
            ["- deny by policy.reader.allow[0]", "+ allow by policy.reader.allow[0]"],
        ),
        (("deny[1]", "deny[0]"), ["- deny by policy.reader.deny[0]", "+ deny by policy.reader.deny[1]"]),
    ],
)
def test_a_case_that_does_not_is_shown(tmp_path: Path, change: tuple[str, str], shown: list[str]) -> None:
    (tmp_path / "cases.toml").write_text(CASES.replace(*change))
    result = run(tmp_path, "test", str(tmp_path / "cases.toml"))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1:] == [*shown, "2 cases, 1 failed."]


def test_a_file_of_cases_is_read_strictly(tmp_path: Path) -> None:
    (tmp_path / "cases.toml").write_text(CASES.replace("client", "clint"))
    result = run(tmp_path, "test", str(tmp_path / "cases.toml"))
    assert "unknown key, did you mean `client`?" in str(result.exception)
    (tmp_path / "cases.toml").write_text('[[case]]\nrole = "reader"\nsql = ""\nexpect = "deny"\ntarget = "x"')
    assert "expected one of shop, vault" in str(run(tmp_path, "test", str(tmp_path / "cases.toml")).exception)


def past(text: str, verdict: str, rule: str = "", *, role: str = "reader", at: float = NOON) -> PastStatement:
    resolved = Facts(**{**_fields(facts(text)), "is_resolved": True})
    return PastStatement(
        at=at,
        session=make_session(id="s9", identity=Identity(name="bot", roles=(role,))),
        statement=make_statement(text, number=4, facts=resolved),
        verdict=verdict,
        rule=rule,
    )


PAST = (
    past("SELECT id FROM public.orders", "allow"),
    past("SELECT id FROM public.secrets -- \x1b[2J", "allow"),
    past("SELECT id FROM public.orders WHERE id = 1", "deny", "policy.reader.deny[9]"),
    past("SELECT pan FROM public.cards", "deny", "mask.columns"),
    past("DELETE FROM public.orders", "deny", "policy.reader: no rule"),
    past("SELECT id FROM public.secrets", "allow", at=NOON - 10 * 86400),
)


def test_backtest_lists_what_would_now_differ(tmp_path: Path) -> None:
    result = run(tmp_path, "backtest", "--since", "2025-12-30", past=PAST)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "2025-12-31T12:00:00Z s9/4 bot shop: SELECT id FROM public.secrets -- \\x1b[2J",
        "- allow",
        "+ deny policy.reader.deny[0]",
        "2025-12-31T12:00:00Z s9/4 bot shop: SELECT id FROM public.orders WHERE id = 1",
        "- deny policy.reader.deny[9]",
        "+ allow",
    ]
    assert result.stderr == "4 statements since 2025-12-30T00:00:00Z, 2 would differ.\n"
    printed = run(tmp_path, "backtest", "--json", *SINCE, past=PAST[1:2]).stdout
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [(line["was"], line["now"], line["now_rule"]) for line in lines] == [
        ("allow", "deny", "policy.reader.deny[0]"),
    ]
    assert run(tmp_path, "backtest", *SINCE, past=PAST[:1]).exit_code == 0


SINCE = ("--since", "2025-12-30")


def test_backtest_tries_another_configuration(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(
        '[targets.shop]\nprotocol = "postgres"\nlisten = "127.0.0.1:0"\nupstream = "db"\n'
        "[plugins.policy.roles.reader]\n"
    )
    result = run(tmp_path, "backtest", *SINCE, "--config", str(other), past=PAST[:1])
    assert (result.exit_code, "+ deny policy.reader: no rule" in result.stdout) == (1, True)


def test_grants_are_what_the_role_may_do_to_the_tables_that_there_are(tmp_path: Path) -> None:
    result = run(tmp_path, "grants", "reader", "--target", "shop", "--as", "agent_reader")
    assert result.stdout.splitlines() == [
        "agent_reader: select public.cards ('id',)",
        "agent_reader: select public.orders None",
        "agent_reader: update public.orders ('state',)",
        "agent_reader: call app.refund None",
    ]
    assert run(tmp_path, "grants", "nobody", "--target", "shop").stdout == ""
    unknown = run(tmp_path, "grants", "reader", "--target", "vault")
    assert (unknown.exit_code, "the database is out of reach" in unknown.stderr) == (1, True)


def test_every_command_and_option_is_explained(tmp_path: Path) -> None:
    @click.group()
    def cli() -> None: ...

    Policy(config(TOML)).add_commands(cli, Gateway(tmp_path, known=True))
    group = cli.commands["policy"]
    assert isinstance(group, click.Group)
    assert sorted(group.commands) == ["backtest", "explain", "grants", "test"]
    for command in (group, *group.commands.values()):
        assert command.help
        assert all(each.help for each in command.params if isinstance(each, click.Option))
