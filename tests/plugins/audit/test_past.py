"""Statements from the record, as a plugin that asks for them gets them."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner
from tests.plugins.audit.recording import open_journal

from gatepost import ALLOW, Deny, Kind, PastStatement, PluginFault, Risk, Scalar
from gatepost.testing import FakeGateway, make_session, make_statement
from gatepost_audit import Audit, records
from gatepost_audit.describe import Describer
from gatepost_audit.segment import PLAIN, segment_path
from gatepost_audit.store import Store, entries
from gatepost_sql import facts

SESSION = make_session(id="a", application="bot", client="10.0.0.1:5")
TEXTS = (
    "select id, now() from public.cards where pan like '4%' order by id",
    "with d as (delete from orders returning *) select refund(1), (select 1 from d)",
    "begin isolation level serializable; set role admin; reset search_path",
    "this is no SQL",
)
ALL = (0.0, 1e12)


def write(folder: Path, written: list[records.Record | bytes]) -> None:
    folder.mkdir(mode=0o700)
    journal = open_journal(folder)
    journal.write([(PLAIN, each if isinstance(each, bytes) else records.encode(each)) for each in written], sync=True)
    journal.close()


def read(state: Path, since: float = ALL[0], until: float = ALL[1]) -> list[PastStatement]:
    """What a command is told."""
    gateway = FakeGateway(state, worker=-1)
    audit = Audit(Audit.Config(segment_megabytes=1))
    audit.on_start(gateway)
    found: list[PastStatement] = []

    @click.command()
    @click.option("--since")
    def backtest(since: str) -> None:
        found.extend(audit.past_statements(float(since), until))

    result = CliRunner().invoke(backtest, ["--since", str(since)])
    if result.exception is not None:
        raise result.exception
    return found


def test_what_was_judged_comes_back_as_it_was(tmp_path: Path) -> None:
    describer = Describer(lambda text: text, 0)
    risk = Risk(score=40, reasons=("it changes definitions",))
    parameters = ((Scalar(Kind.TEXT, "x"),), None)
    attributes = (("traceparent", (Scalar(Kind.TEXT, "00-1-2-01"),)), ("", None))
    statements = [
        make_statement(text, number=number, facts=facts(text), parameters=parameters, attributes=attributes, risk=risk)
        for number, text in enumerate(TEXTS, 1)
    ]
    denial = Deny(reason="no", rule="policy.r.deny[0]", plugin="policy")
    prepared = make_statement("select 1", number=9, facts=facts("select 1"), is_preparation=True)
    write(
        tmp_path / "audit",
        [
            describer.started(SESSION),
            *(describer.asked(SESSION, statement, ALLOW) for statement in statements[:-1]),
            describer.asked(SESSION, statements[-1], denial),
            describer.asked(SESSION, prepared, denial),
        ],
    )

    found = read(tmp_path)

    assert [each.statement.text for each in found] == list(TEXTS)
    for past, statement in zip(found, statements, strict=True):
        assert past.statement.facts == statement.facts
        assert (past.statement.risk, past.statement.parameters) == (risk, parameters)
        assert past.statement.attributes == attributes
        assert past.session.identity is not None
        assert past.session.identity.roles == ("reader",)
        assert (past.session.client, past.session.target) == (SESSION.client, SESSION.target)
    assert [(each.verdict, each.rule) for each in found] == [("allow", "")] * 3 + [("deny", denial.rule)]


def test_only_what_was_asked_in_the_time_is_told(tmp_path: Path) -> None:
    describer = Describer(lambda text: text, 0)
    asked = [describer.asked(SESSION, make_statement("select 1", number=number), ALLOW) for number in (1, 2, 3)]
    times = [msgspec.structs.replace(each, time=each.number * 10**9) for each in asked]
    write(tmp_path / "audit", [describer.started(SESSION), *times])
    assert [each.at for each in read(tmp_path, 2, 3)] == [2.0]


def test_reading_is_on_record(tmp_path: Path) -> None:
    write(tmp_path / "audit", [Describer(str, 0).started(SESSION)])
    assert read(tmp_path) == []
    events = [
        record for entry in entries(tmp_path / "audit", None) if isinstance(record := entry.record(), records.Event)
    ]
    assert [(event.kind, event.detail) for event in events] == [(records.EventKind.ACCESS, "backtest since=0.0")]


def test_records_that_tell_less_are_read(tmp_path: Path) -> None:
    """A record of before risks were weighed, and before more of the facts was kept."""
    old = msgspec.msgpack.encode(
        [
            *(3, 10**9, "a", 1, 0, "select a from t", None, [["5"]], False, "allow", "", "", "", "read"),
            [["select"], [["select", "t", ["a"]]], ["now"], "f", ""],
        ]
    )
    write(tmp_path / "audit", [Describer(str, 0).started(SESSION), old])

    (past,) = read(tmp_path)

    (use,) = past.statement.facts.objects
    assert (use.verb, use.name, use.columns, use.is_bounded) == ("select", "t", ("a",), True)
    assert (past.statement.facts.apart, past.statement.risk) == (None, None)


def test_a_damaged_record_is_not_told(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    write(folder, [Describer(str, 0).started(SESSION)])
    with Store(folder) as store:
        store.catch_up()
    data = bytearray(segment_path(folder, 1).read_bytes())
    place = data.index(b"agent")
    data[place] ^= 1
    segment_path(folder, 1).write_bytes(data)
    with pytest.raises(PluginFault, match="the record cannot be read"):
        read(tmp_path)
