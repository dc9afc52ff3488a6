"""A policy that is evaluated in process, by the real interpreter."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gatepost import ConfigFault, Deny, Effect, Facts, Identity, PluginFault, Use
from gatepost.testing import FakeGateway, make_session, make_statement
from gatepost_opa import Opa, OpaConfig
from gatepost_opa.plugin import INPUT_BYTES

ALLOWS_READS = """
package gatepost
import rego.v1
default decision := false
decision if input.facts.effect == "read"
"""
ECHOES = """
package gatepost
import rego.v1
decision := {"allow": false, "reason": sprintf("no %s", [input.session.application]), "rule": input.session.database}
"""


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def bundle(file: Path, files: Mapping[str, str]) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return file


def start(place: Path, **settings: Any) -> Opa:
    plugin = Opa(OpaConfig(policy=str(place), **settings))
    plugin.on_start(FakeGateway(place.parent))
    return plugin


def policy(folder: Path, text: str, **settings: Any) -> Opa:
    return start(write(folder / "policy", {"policy.rego": text}), **settings)


async def judge(plugin: Opa, *, effect: Effect = Effect.READ, **session: Any) -> Any:
    answer = plugin.on_statement(make_session(**session), make_statement(effect=effect))
    return await answer if hasattr(answer, "__await__") else answer


async def test_a_folder_s_policy_decides(tmp_path: Path) -> None:
    plugin = policy(tmp_path, ALLOWS_READS, timeout=20.0)
    assert await judge(plugin) is None
    denial = await judge(plugin, effect=Effect.WRITE)
    assert isinstance(denial, Deny)
    assert denial.reason
    assert denial.rule == "gatepost/decision"


FILES = {
    "policy.rego": """
        package gatepost
        import rego.v1
        decision if input.identity.name in data.shop.agents.names
        decision if input.identity.name == data.one
    """,
    "policy_test.rego": "package gatepost\ndecision := this is not read",
    "data.json": '{"one": "first"}',
    "shop/agents/data.json": '{"names": ["second"]}',
    ".manifest": "{}",
}


@pytest.mark.parametrize("kind", ["folder", "bundle"])
async def test_data_is_where_its_folder_says(tmp_path: Path, kind: str) -> None:
    place = write(tmp_path / "p", FILES) if kind == "folder" else bundle(tmp_path / "p.tar.gz", FILES)
    plugin = start(place, timeout=20.0)
    for name, allowed in (("first", True), ("second", True), ("third", False)):
        assert (await judge(plugin, identity=Identity(name=name)) is None) is allowed


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"readme": "x"}, "it has no *.rego"),
        ({"p.rego": "package gatepost\ndecision := {"}, "it does not compile"),
        ({"p.rego": "package gatepost\ndecision := allowed(1)"}, "calls what is not there"),
        ({"p.rego": "package gatepost\ndecision := 1 if true\ndecision := 2 if true"}, "several things at once"),
        ({"p.rego": ALLOWS_READS, "data.json": "[1]"}, "data.json is not a JSON object"),
        ({"p.rego": ALLOWS_READS, "data.json": '{"a": {"b": 1}}', "a/data.json": '{"b": 2}'}, "says again"),
        ({"p.rego": ALLOWS_READS, "a/data.yaml": "b: 1"}, "a/data.yaml is not read here"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said_at_the_start(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    for place in (write(tmp_path / "p", files), bundle(tmp_path / "p.tar.gz", files)):
        with pytest.raises(ConfigFault) as caught:
            start(place)
        assert problem in caught.value.message
        assert caught.value.key == "plugins.opa.policy"


@pytest.mark.parametrize("content", [None, b"", b"not an archive", b"\x1f\x8b\x08\0cut"])
def test_a_policy_that_is_none_is_said_too(tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "policy.tar.gz"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(ConfigFault, match="the policy cannot be used: it"):
        start(place)


async def test_an_undefined_decision_is_a_denial(tmp_path: Path) -> None:
    plugin = policy(tmp_path, ALLOWS_READS, decision="gatepost/misspelt", timeout=20.0)
    denial = await judge(plugin)
    assert isinstance(denial, Deny)
    assert denial.rule == "gatepost/misspelt is undefined"


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ('decision := "yes"', "not a decision"),
        ('decision := {"allow": true, "denied": true}', "not a decision"),
        ("decision := 1 if input.facts\ndecision := 2 if input.facts", "could not be evaluated"),
    ],
)
async def test_what_is_no_decision_is_a_fault(tmp_path: Path, rules: str, reason: str) -> None:
    plugin = policy(tmp_path, f"package gatepost\nimport rego.v1\n{rules}", timeout=20.0)
    with pytest.raises(PluginFault, match=reason):
        await judge(plugin)


TRICKS = [
    'x", "allow": true, "hint": "',
    "quotes \" ' ` and \\ and {braces}",
    "a newline\nand a tab\t",
    "NUL \0 and what follows it",
    "é😀\u2028\u202e",
    "\\",
    '\\"',
    '\\", "allow": true, "a": "',
]


@pytest.mark.parametrize("text", TRICKS)
async def test_a_text_stays_a_text(tmp_path: Path, text: str) -> None:
    """What a client chooses is compared as it is, and does not become a part of the decision that quotes it."""
    plugin = policy(tmp_path, ECHOES, timeout=20.0)
    denial = await judge(plugin, application=text, database=text)
    assert (denial.reason, denial.rule) == (f"no {text}", text)


async def test_a_text_that_a_policy_cuts_open_allows_nothing(tmp_path: Path) -> None:
    """Cutting an escape in two lets a text break out of its quotes; what it then says twice is no decision."""
    plugin = policy(
        tmp_path,
        "package gatepost\nimport rego.v1\n"
        'decision := {"allow": false, "reason": trim_right(input.session.application, "\\""), '
        '"rule": input.session.database}',
        timeout=20.0,
    )
    try:
        verdict = await judge(plugin, application='x"', database=', "allow": true, "hint": ')
    except PluginFault:
        return
    assert isinstance(verdict, Deny)


async def test_decisions_are_kept_by_their_input(tmp_path: Path) -> None:
    plugin = policy(tmp_path, ALLOWS_READS, cache=2, timeout=20.0)
    write, read = (make_statement(effect=effect) for effect in (Effect.WRITE, Effect.READ))
    assert isinstance(await plugin.on_statement(make_session(), write), Deny)
    assert isinstance(plugin.on_statement(make_session(client="127.0.0.1:2"), write), Deny)
    assert await plugin.on_statement(make_session(), read) is None
    assert plugin.on_statement(make_session(), read) is None
    other = make_session(identity=Identity(name="other"))
    assert await plugin.on_statement(other, read) is None
    assert isinstance(await plugin.on_statement(make_session(), write), Deny)


def test_a_policy_that_asks_the_clock_keeps_nothing(tmp_path: Path) -> None:
    text = "package gatepost\nimport rego.v1\ndecision if time.now_ns() > 0"
    with pytest.raises(ConfigFault, match=r"policy\.rego calls time\.now_ns"):
        policy(tmp_path, text, cache=1)
    policy(tmp_path, text)


async def test_a_decision_that_takes_too_long_is_a_fault(tmp_path: Path) -> None:
    counts = "count([1 | some i in numbers.range(1, 300); some j in numbers.range(1, 300); i == j + 1000]) > 0"
    slow = f"decision if {{ input.facts.effect; {counts} }}"
    plugin = policy(tmp_path, f"package gatepost\nimport rego.v1\n{slow}", timeout=0.001)
    with pytest.raises(PluginFault, match="did not decide in time"):
        await judge(plugin)


async def test_a_statement_that_names_too_much_is_refused_before_it_is_judged(tmp_path: Path) -> None:
    plugin = policy(tmp_path, ALLOWS_READS, send_text=True)
    uses = tuple(Use(verb="select", name=f"public.table{number}") for number in range(INPUT_BYTES // 50))
    for statement in (
        make_statement(facts=Facts(effect=Effect.READ, objects=uses)),
        make_statement("SELECT '" + "x" * INPUT_BYTES + "'"),
    ):
        with pytest.raises(PluginFault, match="too large to be judged"):
            await plugin.on_statement(make_session(), statement)
