"""A denial is an ordinary error: 42501 with advice, answers in order, the connection lives on, nothing of it runs."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from tests.e2e.scripts import DENIES
from tests.servers import Database, Gate, gates
from tests.wire import SYNC, Wire, bind, describe, execute, parse, query

FAILS = """
from gatepost import hookimpl

@hookimpl
def on_statement(statement):
    if "make it fail" in statement.text:
        raise ValueError("the text of this error quotes 4111111111111111")
"""

REWRITES = """
from gatepost import Rewrite, hookimpl

@hookimpl
def on_statement(statement):
    if statement.text == "SELECT 'before'":
        return Rewrite(text="SELECT 'after'")
    if statement.text == "SELECT 'sly'":
        return Rewrite(text="SELECT 'forbidden'")
"""


@pytest.fixture(scope="module", params=["[plugins.mask]\n[plugins.audit]\n", ""], ids=["full", "bare"])
def denying_gate(
    request: pytest.FixtureRequest, postgres: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    with gates(tmp_path_factory.mktemp("denials")) as make:
        yield make(postgres, plugins=request.param, scripts=[REWRITES, DENIES, FAILS])


@pytest.fixture
def wire(denying_gate: Gate) -> Iterator[Wire]:
    with Wire(denying_gate.port).log_in("agent", denying_gate.password) as wire:
        yield wire


def kinds(messages: list) -> str:
    return "".join(each.kind for each in messages)


def test_the_error_tells_a_language_model_what_to_do(denying_gate: Gate) -> None:
    with psycopg.connect(denying_gate.address, autocommit=True) as connection:
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            connection.execute("SELECT 'forbidden'")
        told = caught.value.diag
        assert told.sqlstate == "42501"
        assert "this is forbidden" in told.message_primary
        assert "tests: no forbidden" in told.message_detail
        assert told.message_hint == "Ask for something else."
        assert connection.execute("SELECT 'allowed'").fetchone() == ("allowed",)


def test_no_trace_of_how_it_was_done_reaches_the_client(wire: Wire) -> None:
    (error, _) = wire.query("SELECT 'forbidden'")
    assert set(error.fields) <= set("SVCMDH")
    assert "P" not in error.fields


def test_statements_around_a_denied_one_are_answered_in_order(wire: Wire) -> None:
    wire.send(query("SELECT 1"), query("SELECT 'forbidden'"), query("SELECT 2"))
    assert [kinds(wire.read_until("Z")) for _ in range(3)] == ["TDCZ", "EZ", "TDCZ"]


def test_a_denied_statement_does_not_run(wire: Wire) -> None:
    wire.query("CREATE TEMP TABLE kept (a text)")
    assert kinds(wire.query("INSERT INTO kept VALUES ('forbidden')")) == "EZ"
    assert kinds(wire.query("INSERT INTO kept VALUES ('one'); INSERT INTO kept VALUES ('forbidden')")) == "EZ"
    (row,) = [each.cells for each in wire.query("SELECT count(*) FROM kept") if each.kind == "D"]
    assert row == [b"0"]


def test_a_transaction_is_left_aborted(wire: Wire) -> None:
    wire.query("BEGIN")
    assert wire.query("SELECT 'forbidden'")[-1].body == b"E"
    (error, ready) = wire.query("SELECT 1")
    assert (error.fields["C"], ready.body) == ("25P02", b"E")
    assert wire.query("ROLLBACK")[-1].body == b"I"


def test_a_savepoint_survives(wire: Wire) -> None:
    wire.query("BEGIN")
    wire.query("SAVEPOINT s")
    wire.query("SELECT 'forbidden'")
    assert wire.query("ROLLBACK TO s")[-1].body == b"T"
    assert kinds(wire.query("SELECT 1")) == "TDCZ"


def test_a_denied_parse_skips_all_up_to_sync(wire: Wire) -> None:
    wire.query("CREATE TEMP TABLE t (a int)")
    wire.send(
        *(parse("INSERT INTO t VALUES (1)"), bind(), execute()),
        *(parse("SELECT 'forbidden'"), bind(), describe("P"), execute()),
        *(parse("INSERT INTO t VALUES (2)"), bind(), execute()),
        SYNC,
    )
    assert kinds(wire.read_until("Z")) == "12CEZ"
    wire.send(parse("SELECT count(*) FROM t"), bind(), execute(), SYNC)
    answer = wire.read_until("Z")
    assert kinds(answer) == "12DCZ"
    assert answer[2].cells == [b"0"]


def test_a_denied_execution_skips_all_up_to_sync(wire: Wire) -> None:
    wire.send(parse("SELECT $1::text", "s"), SYNC)
    assert kinds(wire.read_until("Z")) == "1Z"
    wire.send(
        *(bind(name="s", parameters=[b"fine"]), execute()),
        *(bind(name="s", parameters=[b"forbidden"]), execute()),
        *(bind(name="s", parameters=[b"fine"]), execute()),
        SYNC,
    )
    answer = wire.read_until("Z")
    assert kinds(answer)[:3] == "2DC"
    assert kinds(answer)[-2:] == "EZ"
    assert kinds(answer).count("D") == 1
    wire.send(bind(name="s", parameters=[b"fine"]), execute(), SYNC)
    assert kinds(wire.read_until("Z")) == "2DCZ"


def test_a_denied_statement_leaves_a_prepared_one_of_its_name_as_it_was(wire: Wire) -> None:
    wire.send(parse("SELECT 'forbidden'", "n"), SYNC)
    assert kinds(wire.read_until("Z")) == "EZ"
    wire.send(bind(name="n"), execute(), SYNC)
    (error, _) = wire.read_until("Z")
    assert error.fields["C"] == "26000"
    wire.send(parse("SELECT 'fine'", "n"), bind(name="n"), execute(), SYNC)
    assert kinds(wire.read_until("Z")) == "12DCZ"


def test_pipelines_of_batches_stay_in_order(wire: Wire) -> None:
    for number in range(50):
        text = "SELECT 'forbidden'" if number % 3 == 1 else f"SELECT {number}"
        wire.send(parse(text), bind(), execute(), SYNC)
    for number in range(50):
        assert kinds(wire.read_until("Z")) == ("EZ" if number % 3 == 1 else "12DCZ")


def test_a_denied_copy_does_not_wait_for_data(wire: Wire) -> None:
    assert kinds(wire.query("COPY cards TO STDOUT /* forbidden */")) == "EZ"
    assert kinds(wire.query("COPY cards FROM STDIN /* forbidden */")) == "EZ"
    assert kinds(wire.query("SELECT 1")) == "TDCZ"


def test_psycopg_s_pipeline_sees_a_denial_as_any_error(denying_gate: Gate) -> None:
    with psycopg.connect(denying_gate.address, autocommit=True) as connection:
        with pytest.raises(errors.InsufficientPrivilege), connection.pipeline() as pipeline:
            first = connection.execute("SELECT 1")
            pipeline.sync()
            connection.execute("SELECT 'forbidden'")
            pipeline.sync()
            assert first.fetchone() == (1,)
        assert connection.execute("SELECT 2").fetchone() == (2,)


def test_a_plugin_that_fails_closes_the_gate_and_tells_no_text(wire: Wire, denying_gate: Gate) -> None:
    (error, _) = wire.query("SELECT 'make it fail'")
    assert error.fields["S"] == "ERROR"
    assert "ValueError" in error.fields["M"]
    assert "4111" not in str(error.fields)
    assert "4111111111111111" not in str(denying_gate.log)
    assert kinds(wire.query("SELECT 1")) == "TDCZ"


def test_a_rewritten_statement_runs_as_rewritten(wire: Wire) -> None:
    (row,) = [each.cells for each in wire.query("SELECT 'before'") if each.kind == "D"]
    assert row == [b"after"]
    wire.send(parse("SELECT 'before'"), bind(), execute(), SYNC)
    (row,) = [each.cells for each in wire.read_until("Z") if each.kind == "D"]
    assert row == [b"after"]


def test_a_rewritten_statement_is_judged_again(wire: Wire) -> None:
    assert kinds(wire.query("SELECT 'sly'")) == "EZ"
