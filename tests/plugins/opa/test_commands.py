"""`gatepost opa eval` shows what the policy is told and what it decides."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from tests.plugins.opa.opa_stand_in import result, running

from gatepost import Effect, Facts, Target, Use
from gatepost.adapter import Catalogue
from gatepost.errors import UpstreamFault
from gatepost.testing import FakeGateway
from gatepost_opa import Opa, OpaConfig

SHOP = Target(name="shop", protocol="postgres", host="db.internal", port=5432, database="shop")
OTHER = Target(name="other", protocol="postgres", host="db.internal", port=5432)
POLICY = """
package gatepost
import rego.v1
default decision := {"allow": false, "reason": "Not for you.", "rule": "default", "hint": "Ask less."}
decision := {"allow": true, "risk": {"score": 5, "reasons": ["is new"]}} if {
    "reader" in input.identity.roles
    input.session.target == "shop"
    startswith(input.session.client, "10.")
    input.facts.objects[0].name == "public.cards"
}
"""


class Reader:
    """An adapter that knows one statement, and whether there was a catalogue."""

    def facts(self, text: str, catalogue: Any = None) -> Facts:
        name = "public.cards" if catalogue else "cards"
        return Facts(effect=Effect.READ, verbs=("select",), objects=(Use(verb="select", name=name),))


class Unreachable(FakeGateway):
    async def catalogue(self, target: Target) -> Catalogue | None:
        raise UpstreamFault("the database cannot be reached")


def gateway(folder: Path, kind: type[FakeGateway] = FakeGateway) -> FakeGateway:
    return kind(
        folder,
        worker=-1,
        targets=(SHOP, OTHER),
        adapters={"postgres": Reader()},  # type: ignore[dict-item]
        catalogues={"shop": object()},  # type: ignore[dict-item]
    )


@pytest.fixture
def plugin(tmp_path: Path) -> Opa:
    (tmp_path / "policy.rego").write_text(POLICY)
    return Opa(OpaConfig(policy=str(tmp_path), timeout=20.0))  # type: ignore[arg-type]


def invoke(plugin: Opa, gate: FakeGateway, *arguments: str) -> Result:
    cli = click.Group()
    plugin.add_commands(cli, gate)
    plugin.on_start(gate)
    return CliRunner().invoke(cli, ["opa", "eval", *arguments])


def test_json_has_the_input_and_the_decision(plugin: Opa, tmp_path: Path) -> None:
    done = invoke(plugin, gateway(tmp_path), "reader", "SELECT pan FROM cards", "--client", "10.0.0.7", "--json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert shown["input"]["identity"]["roles"] == ["reader"]
    assert shown["input"]["session"]["client"] == "10.0.0.7"
    assert shown["input"]["facts"]["objects"][0]["name"] == "public.cards"
    assert "SELECT" not in done.stdout
    assert shown["decision"] == {
        "allow": True,
        "reason": "",
        "rule": "",
        "hint": "",
        "risk": {"score": 5, "reasons": ["is new"]},
        "rows": None,
    }


def test_a_denial_is_told_in_words(plugin: Opa, tmp_path: Path) -> None:
    done = invoke(plugin, gateway(tmp_path), "reader", "SELECT pan FROM cards", "--target", "other")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-4:] == ["denied", "reason: Not for you.", "rule: default", "hint: Ask less."]


def test_without_a_catalogue_the_text_alone_is_judged(plugin: Opa, tmp_path: Path) -> None:
    done = invoke(plugin, gateway(tmp_path, Unreachable), "reader", "SELECT 1", "--client", "10.0.0.7", "--json")
    assert "the database cannot be reached" in done.stderr
    assert json.loads(done.stdout)["decision"]["allow"] is False


def test_an_unknown_target_is_said(plugin: Opa, tmp_path: Path) -> None:
    done = invoke(plugin, gateway(tmp_path), "reader", "SELECT 1", "--target", "shpo")
    assert done.exit_code == 1
    assert "there are shop, other" in done.stderr


async def test_a_server_is_asked_too(tmp_path: Path) -> None:
    async with running() as stand_in:
        stand_in.answer = result({"allow": False, "rule": "theirs"})
        config = OpaConfig(url=f"http://127.0.0.1:{stand_in.port}", timeout=20.0)  # type: ignore[arg-type]
        done = await asyncio.to_thread(invoke, Opa(config), gateway(tmp_path), "reader", "SELECT 1", "--json")
    assert json.loads(done.stdout)["decision"]["rule"] == "theirs"
