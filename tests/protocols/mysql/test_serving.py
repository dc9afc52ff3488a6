"""The serving phase as transcripts: prepared statements, cursors, several results, session state, and bad input."""

from __future__ import annotations

import itertools
import struct

import pytest
from tests import mysql_wire as wire
from tests.protocols.mysql.exchange import said, serving

from gatepost import (
    ALLOW,
    ClientFault,
    Deny,
    Effect,
    EndCode,
    Facts,
    FaultCode,
    Identity,
    Interest,
    Kind,
    Limit,
    Notice,
    PluginFault,
    Rewrite,
    Row,
    Scalar,
    Statement,
)
from gatepost.adapter import CLIENT, UPSTREAM, Authenticate, Cancel, Limits
from gatepost.testing import AGENT, Player, RecordingHooks, every_split, from_client, from_upstream
from gatepost_mysql.commands import kill_proof
from gatepost_mysql.runs import Prepared

INT, BIGINT, DOUBLE, DATETIME, TIME, BLOB, VARCHAR = 3, 8, 5, 12, 11, 252, 253
CURSOR_EXISTS, LAST_ROW_SENT, MORE, IN_TRANSACTION = 0x40, 0x80, 0x08, 0x01


def prepared(number: int = 1, columns: int = 0, parameters: int = 0) -> bytes:
    return struct.pack("<BIHHBH", 0, number, columns, parameters, 0, 0)


def prepare(made: Player, text: str, *, columns: list[bytes], parameters: int, number: int = 1) -> Player:
    made.client(wire.command(wire.PREPARE, text.encode()))
    definitions = [wire.definition("?", BLOB)] * parameters + columns
    return made.upstream(wire.packets(1, prepared(number, len(columns), parameters), *definitions))


def execute(*values: tuple[int, bytes] | None, number: int = 1, flags: int = 0, types: bool = True) -> bytes:
    nulls = sum(1 << index for index, value in enumerate(values) if value is None)
    body = struct.pack("<IBI", number, flags, 1)
    if values:
        body += nulls.to_bytes((len(values) + 7) // 8, "little") + bytes((types,))
        if types:
            body += b"".join(struct.pack("<H", 6 if value is None else value[0]) for value in values)
        body += b"".join(value[1] for value in values if value is not None)
    return wire.command(wire.EXECUTE, body)


def binary_row(*cells: bytes | None) -> bytes:
    nulls = sum(1 << index + 2 for index, cell in enumerate(cells) if cell is None)
    return b"\0" + nulls.to_bytes((len(cells) + 9) // 8, "little") + b"".join(cell or b"" for cell in cells)


COLUMNS = [wire.definition("id", INT, collation=63), wire.definition("pan")]


def test_an_answer_like_those_before_can_lose_rows_and_get_longer_ones() -> None:
    def change(row: Row) -> None:
        if row.raw(0) == b"gone":
            row.drop()
        elif row.raw(0) == b"long":
            row.replace(0, ["x" * 300])

    made = serving(RecordingHooks(Interest.EVERYTHING, change_row=change))
    for cells, left in ((["1"], ["1"]), (["gone", "2", "long"], ["2", "x" * 300]), (["gone"], [])):
        rows = [wire.text_row(cell) for cell in cells]
        made.client(wire.query("SELECT a FROM t")).upstream(wire.result([wire.definition("a")], rows))
        assert made.sent()[0] == wire.result([wire.definition("a")], [wire.text_row(cell) for cell in left])
        assert made.ended[-1][1].rows == len(left)


def test_an_execution_is_asked_with_its_parameters() -> None:
    made = prepare(serving(), "SELECT ?, ?, ?, ?", columns=COLUMNS, parameters=4)
    made.client(
        execute((INT, struct.pack("<i", -5)), (VARCHAR, wire.counted(b"two")), None, (DOUBLE, struct.pack("<d", 4.5)))
    )
    preparation, execution = made.asked
    assert (preparation.is_preparation, execution.is_preparation) == (True, False)
    assert execution.text == "SELECT ?, ?, ?, ?"
    assert [None if value is None else value[0].text for value in execution.parameters] == ["-5", "two", None, "4.5"]
    # Without their types once more.
    made.upstream(wire.result(COLUMNS, [binary_row(struct.pack("<i", 7), wire.counted(b"x"))]))
    made.client(
        execute(
            (INT, struct.pack("<i", 6)),
            (VARCHAR, wire.counted(b"b")),
            None,
            (DOUBLE, struct.pack("<d", 1)),
            types=False,
        )
    )
    assert [None if value is None else value[0].text for value in made.asked[-1].parameters] == ["6", "b", None, "1"]


def test_rows_in_binary_are_shown_and_changed() -> None:
    def change(row: Row) -> None:
        row.replace(0, [str(int(row.scalars(0)[0].text) + 1)])
        row.replace(1, ["longer than before"])

    hooks = RecordingHooks(Interest.EVERYTHING, change_row=change)
    made = prepare(serving(hooks), "SELECT id, pan FROM cards", columns=COLUMNS, parameters=0)
    made.sent()
    made.client(execute())
    made.upstream(wire.result(COLUMNS, [binary_row(struct.pack("<i", 7), wire.counted(b"x"))] * 2))
    rows = said(made.sent()[0])[3:5]
    assert rows == [binary_row(struct.pack("<i", 8), wire.counted(b"longer than before"))] * 2
    assert hooks.results[-1].columns[0].kind is Kind.INTEGER
    assert not hooks.results[-1].columns[0].is_text
    assert made.ended[-1][1].masked == 4


def test_times_in_binary() -> None:
    texts: list[str] = []
    hooks = RecordingHooks(
        Interest.EVERYTHING, change_row=lambda row: texts.extend(row.scalars(at)[0].text for at in range(len(row)))
    )
    columns = [wire.definition("a", DATETIME, collation=63), wire.definition("b", TIME, collation=63)]
    made = prepare(serving(hooks), "SELECT a, b FROM t", columns=columns, parameters=0)
    made.client(execute())
    moment = bytes((7,)) + struct.pack("<HBBBBB", 2026, 1, 2, 3, 4, 5)
    span = bytes((12,)) + struct.pack("<BIBBBI", 1, 2, 3, 4, 5, 6)
    made.upstream(wire.result(columns, [binary_row(moment, span), binary_row(b"\0", b"\0")]))
    assert texts == ["2026-01-02 03:04:05", "-51:04:05.000006", "0000-00-00 00:00:00", "00:00:00"]


@pytest.mark.parametrize("capabilities", [wire.CAPABILITIES, wire.CAPABILITIES & ~wire.DEPRECATE_EOF])
def test_an_answer_like_those_before_is_looked_at_all_the_same(capabilities: int) -> None:
    def answer(*cells: str, status: int = 2) -> bytes:
        rows = map(wire.text_row, cells)
        if capabilities & wire.DEPRECATE_EOF:
            return wire.result([wire.definition("a")], list(rows), status=status)
        return wire.packets(1, b"\x01", wire.definition("a"), wire.eof(), *rows, wire.eof(status))

    hooks = RecordingHooks(Interest(maybe=lambda data: b"secret" in data), change_row=lambda row: row.replace(0, ["x"]))
    made = serving(hooks, capabilities=capabilities)
    for cells in (["1"], ["2", "3"], [], ["4", "secret"], ["5"]):
        made.client(wire.query(f"SELECT a FROM t LIMIT {len(cells)}")).upstream(answer(*cells))
        expected = answer(*cells) if "secret" not in cells else answer("x", "x")
        assert made.sent()[0] == expected
        assert made.ended[-1][1].rows == len(cells)
    assert hooks.rows_seen == [(b"4",), (b"secret",)]
    assert made.session.is_idle
    made.client(wire.query("SELECT a FROM t LIMIT 1")).upstream(answer("6", status=2 | IN_TRANSACTION))
    assert not made.session.is_idle
    for broken in (answer("7")[:-1], answer("7") + b"x"):
        again = serving(hooks, capabilities=capabilities)
        for data in (answer("6"), broken):
            again.client(wire.query("SELECT a FROM t LIMIT 1")).upstream(data)
        assert len(again.ended) == (1 if broken == answer("7")[:-1] else 2)
    limited = serving(hooks, capabilities=capabilities, judge=lambda statement: Limit(rows=1))
    for cells in (["1"], ["2", "3"]):
        limited.client(wire.query("SELECT a FROM t LIMIT 2")).upstream(answer(*cells))
    assert [outcome.error for _, outcome in limited.ended] == ["", "1142"]


def test_a_dropped_row_leaves_no_gap_in_the_numbers() -> None:
    hooks = RecordingHooks(Interest.EVERYTHING, change_row=lambda row: row.drop() if row.raw(0) == b"2" else None)
    made = serving(hooks).client(wire.query("SELECT a FROM t; SELECT a FROM t"))
    first = wire.result([wire.definition("a")], [wire.text_row(cell) for cell in "123"], status=2 | MORE)
    second = wire.result([wire.definition("a")], [wire.text_row("2")], first=7)
    made.upstream(first).upstream(second)
    messages = said(made.sent()[0])
    assert [message for message in messages if message in map(wire.text_row, "123")] == list(map(wire.text_row, "13"))
    assert made.ended[0][1].rows == 2


def test_rows_behind_a_dropped_one_are_numbered_on_though_they_keep_their_length() -> None:
    def change(row: Row) -> None:
        if row.raw(0) == b"2":
            row.drop()
        elif row.raw(0) == b"3":
            row.replace(0, ["x"])

    made = serving(RecordingHooks(Interest.EVERYTHING, change_row=change)).client(wire.query("SELECT a FROM t"))
    answer = wire.result([wire.definition("a")], list(map(wire.text_row, "1234")))
    at = answer.index(wire.text_row("3")) - 4
    made.upstream(answer[:at]).upstream(answer[at:])
    assert made.sent()[0] == wire.result([wire.definition("a")], list(map(wire.text_row, "1x4")))


def test_long_data_is_a_parameter_and_goes_with_its_execution() -> None:
    made = prepare(serving(), "INSERT INTO t VALUES (?)", columns=[], parameters=1)
    made.sent()
    pieces = [wire.command(wire.LONG_DATA, struct.pack("<IH", 1, 0) + part) for part in (b"first ", b"second")]
    for piece in pieces:
        made.client(piece)
    assert made.sent() == (b"", b"")
    run = execute((BLOB, b""))
    made.client(run)
    assert made.asked[-1].parameters[0] is not None
    assert made.asked[-1].parameters[0][0].text == "first second"
    assert made.sent()[1] == b"".join(pieces) + run


def test_long_data_of_a_denied_execution_goes_nowhere() -> None:
    deny = Deny(reason="no")
    made = serving(judge=lambda statement: ALLOW if statement.is_preparation else deny)
    prepare(made, "INSERT INTO t VALUES (?)", columns=[], parameters=1)
    made.sent()
    made.client(wire.command(wire.LONG_DATA, struct.pack("<IH", 1, 0) + b"data")).client(execute((BLOB, b"")))
    client, upstream = made.sent()
    assert not upstream
    assert said(client)[0][0] == 0xFF


def test_a_database_whose_name_holds_a_zero_ends_the_session() -> None:
    made = serving().client(wire.command(wire.INIT_DB, b"shop\0vault"))
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_FAULT
    assert not made.asked


def test_long_data_is_bounded() -> None:
    made = serving(environment={"limits": Limits(message_bytes=1000)})
    prepare(made, "INSERT INTO t VALUES (?)", columns=[], parameters=1)
    for _ in range(3):
        made.client(wire.command(wire.LONG_DATA, struct.pack("<IH", 1, 0) + b"x" * 600))
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_FAULT


def test_long_data_is_bounded_over_all_that_is_prepared_and_however_it_comes() -> None:
    several = serving(environment={"limits": Limits(message_bytes=1000)})
    for number in (1, 2, 3):
        several.client(wire.command(wire.PREPARE, b"INSERT INTO t VALUES (?)"))
        several.upstream(wire.packets(1, prepared(number, 0, 1), wire.definition("?", BLOB)))
    in_pieces = prepare(
        serving(environment={"limits": Limits(message_bytes=1000)}), "SELECT ?", columns=[], parameters=1
    )
    for number in (1, 2, 3):
        assert several.closed is None
        several.client(wire.command(wire.LONG_DATA, struct.pack("<IH", number, 0) + b"x" * 300))
    for _ in range(20):
        in_pieces.client(wire.command(wire.LONG_DATA, struct.pack("<IH", 1, 0)))
    for made in (several, in_pieces):
        assert made.closed is not None
        assert made.closed.code is EndCode.CLIENT_FAULT


@pytest.mark.parametrize("code", [INT, BIGINT, VARCHAR + 0x100, VARCHAR + 0x4000, 15])
def test_long_data_of_a_type_that_no_server_takes_it_for_ends_the_session(code: int) -> None:
    made = prepare(serving(), "INSERT INTO t VALUES (?)", columns=[], parameters=1)
    made.sent()
    made.client(wire.command(wire.LONG_DATA, struct.pack("<IH", 1, 0) + b"data")).client(execute((code, b"")))
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_FAULT
    assert made.sent()[1] == b""


def test_a_type_with_bits_that_mean_nothing_ends_the_session() -> None:
    made = prepare(serving(), "SELECT ?", columns=[], parameters=1).client(execute((BIGINT + 0x100, b"12345678")))
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_FAULT


def test_the_server_is_told_types_again_behind_an_execution_that_has_failed() -> None:
    """It may have failed before the server took them, and those of an earlier one would hold."""
    made = prepare(serving(), "SELECT ?", columns=COLUMNS, parameters=1)
    made.client(execute((VARCHAR, wire.counted(b"1234567")))).upstream(wire.packets(1, wire.err(1210, "wrong")))
    told = execute((VARCHAR, wire.counted(b"7654321")))
    for sent in (told, execute((VARCHAR, wire.counted(b"7654321")), types=False)):
        made.sent()
        made.client(execute((VARCHAR, wire.counted(b"7654321")), types=False))
        assert made.asked[-1].parameters[0] == (Scalar(Kind.TEXT, "7654321"),)
        assert made.sent()[1] == sent
        made.upstream(wire.result(COLUMNS, []))


def test_a_server_that_takes_a_command_for_malformed_has_read_it_otherwise_than_it_was_judged() -> None:
    made = prepare(serving(), "SELECT ?", columns=COLUMNS, parameters=1)
    made.client(execute((VARCHAR, wire.counted(b"x")))).upstream(wire.packets(1, wire.err(1835, "Malformed packet.")))
    assert made.closed is not None
    assert made.closed.code is EndCode.UPSTREAM_FAULT


@pytest.mark.parametrize("capabilities", [wire.CAPABILITIES, wire.CAPABILITIES & ~wire.DEPRECATE_EOF])
def test_a_cursor_is_asked_about_at_each_fetch(capabilities: int) -> None:
    hooks = RecordingHooks(Interest.EVERYTHING)
    made = serving(hooks, capabilities=capabilities)
    deprecates = bool(capabilities & wire.DEPRECATE_EOF)
    end = (lambda status: wire.ok(head=0xFE, status=status)) if deprecates else wire.eof
    made.client(wire.command(wire.PREPARE, b"SELECT id, pan FROM cards"))
    made.upstream(wire.packets(1, prepared(1, 2), *COLUMNS, *([] if deprecates else [wire.eof()])))
    made.client(execute(flags=1))
    made.upstream(wire.packets(1, b"\x02", *COLUMNS, end(2 | CURSOR_EXISTS)))
    assert [outcome.rows for _, outcome in made.ended] == [0, 0]
    row = binary_row(struct.pack("<i", 7), wire.counted(b"x"))
    for status in (2 | CURSOR_EXISTS, 2 | LAST_ROW_SENT):
        made.sent()
        fetch = wire.command(wire.FETCH, struct.pack("<II", 1, 1))
        made.client(fetch)
        assert made.sent()[1] == fetch
        made.upstream(wire.packets(1, row, end(status)))
        assert made.sent()[0] == wire.packets(1, row, end(status))
    assert [statement.text for statement in made.asked] == ["SELECT id, pan FROM cards"] * 4
    assert len(hooks.rows_seen) == 2
    assert [outcome.rows for _, outcome in made.ended] == [0, 0, 1, 1]


def test_no_cursor_no_rows() -> None:
    made = prepare(serving(), "SELECT id, pan FROM cards", columns=COLUMNS, parameters=0)
    made.sent()
    made.client(wire.command(wire.FETCH, struct.pack("<II", 1, 1)))
    client, upstream = made.sent()
    assert not upstream
    assert said(client)[0][1:3] == struct.pack("<H", 1243)


def test_what_is_closed_is_not_known() -> None:
    made = prepare(serving(), "SELECT id, pan FROM cards", columns=COLUMNS, parameters=0)
    close = wire.command(wire.CLOSE, struct.pack("<I", 1))
    made.sent()
    made.client(close + execute())
    client, upstream = made.sent()
    assert upstream == close
    assert said(client)[0][1:3] == struct.pack("<H", 1243)


def test_large_prepared_statements_are_bounded_by_what_they_take_together() -> None:
    made = serving(environment={"limits": Limits(prepared=100, message_bytes=64_000)})
    long = "SELECT " + "x" * 2000
    prepare(made, long, columns=[], parameters=0)
    prepare(made, long, number=2, columns=[], parameters=0)
    made.sent()
    made.client(wire.command(wire.PREPARE, long.encode()))
    client, upstream = made.sent()
    assert not upstream
    assert b"too many prepared statements" in client


def test_prepared_statements_are_bounded() -> None:
    made = serving(environment={"limits": Limits(prepared=1)})
    prepare(made, "SELECT 1", columns=[], parameters=0)
    made.sent()
    made.client(wire.command(wire.PREPARE, b"SELECT 2"))
    client, upstream = made.sent()
    assert not upstream
    assert b"too many prepared statements" in client


def test_a_rewrite_of_a_preparation_is_what_is_executed() -> None:
    made = serving(judge=lambda statement: Rewrite(text="SELECT 2") if statement.text == "SELECT 1" else ALLOW)
    made.client(wire.command(wire.PREPARE, b"SELECT 1"))
    assert made.sent()[1] == wire.command(wire.PREPARE, b"SELECT 2")
    made.upstream(wire.packets(1, prepared()))
    made.client(execute())
    assert (made.asked[-1].text, made.asked[-1].original) == ("SELECT 2", "SELECT 1")
    assert made.sent()[1] == execute()


def rewriting(statement: Statement) -> Rewrite | object:
    """Other words for executions of texts that say so."""
    is_due = not statement.is_preparation and statement.original is None and "old" in statement.text
    return Rewrite(text=statement.text.replace("old", "new")) if is_due else ALLOW


def close(number: int) -> bytes:
    return wire.command(wire.CLOSE, struct.pack("<I", number))


@pytest.mark.parametrize("has_eof", [False, True])
def test_an_execution_that_a_plugin_has_other_words_for_runs_beside_what_is_prepared(has_eof: bool) -> None:
    capabilities = wire.CAPABILITIES & ~wire.DEPRECATE_EOF if has_eof else wire.CAPABILITIES
    made = serving(judge=rewriting, capabilities=capabilities)
    between = [wire.eof()] if has_eof else []
    definitions = [wire.definition("?", BLOB), *between, *COLUMNS, *between]
    made.client(wire.command(wire.PREPARE, b"SELECT old, ?"))
    made.upstream(wire.packets(1, prepared(1, 2, 1), *definitions))
    long_data = struct.pack("<IH", 1, 0) + b"abc"
    made.client(wire.command(wire.LONG_DATA, long_data))
    made.sent()
    made.client(execute((VARCHAR, b""), flags=1))
    assert made.sent() == (b"", wire.command(wire.PREPARE, b"SELECT new, ?"))
    made.upstream(wire.packets(1, prepared(7, 2, 1), *definitions))
    assert made.sent() == (
        b"",
        wire.command(wire.LONG_DATA, struct.pack("<IH", 7, 0) + b"abc") + execute((VARCHAR, b""), number=7) + close(7),
    )
    row = binary_row(struct.pack("<i", 7), wire.counted(b"x"))
    end = wire.eof() if has_eof else wire.ok(head=0xFE)
    answer = wire.packets(1, b"\x02", *COLUMNS, *between, row, end)
    made.upstream(answer)
    assert made.sent() == (answer, b"")
    assert [statement.text for statement, _ in made.ended] == ["SELECT old, ?", "SELECT new, ?"]
    assert made.ended[-1][1].rows == 1
    assert made.session.is_idle


def test_the_server_is_told_types_that_it_was_not_told_beside() -> None:
    """The client tells them once; the next execution is of the statement that has not heard of them."""

    def first_alone(statement: Statement) -> Rewrite | object:
        return rewriting(statement) if statement.number == 2 else ALLOW

    made = prepare(serving(judge=first_alone), "SELECT old, ?", columns=COLUMNS, parameters=1)
    made.client(execute((INT, struct.pack("<i", 6))))
    made.upstream(wire.packets(1, prepared(7, 2, 1), wire.definition("?", BLOB), *COLUMNS))
    made.upstream(wire.result(COLUMNS, []))
    made.sent()
    for sent in (execute((INT, struct.pack("<i", 8))), execute((INT, struct.pack("<i", 8)), types=False)):
        made.client(execute((INT, struct.pack("<i", 8)), types=False))
        assert made.sent()[1] == sent
        made.upstream(wire.result(COLUMNS, []))


def test_other_words_that_cannot_be_prepared_are_an_error_in_the_executions_place() -> None:
    made = prepare(serving(judge=rewriting), "SELECT old", columns=COLUMNS, parameters=0)
    made.client(execute())
    made.sent()
    made.upstream(wire.packets(1, wire.err(1146, "no such table")))
    client, upstream = made.sent()
    assert (said(client), upstream) == ([wire.err(1146, "no such table")], b"")
    assert made.ended[-1][1].error == "1146"
    assert made.session.is_idle


def test_other_words_with_other_parameters_are_denied() -> None:
    made = prepare(serving(judge=rewriting), "SELECT old", columns=COLUMNS, parameters=0)
    made.client(execute())
    made.sent()
    made.upstream(wire.packets(1, prepared(7, 0, 1), wire.definition("?", BLOB)))
    client, upstream = made.sent()
    assert b"other parameters" in said(client)[0]
    assert upstream == close(7)
    assert made.ended[-1][1].error == "1142"
    assert made.session.is_idle


def test_the_rows_of_a_cursor_are_not_those_of_other_words() -> None:
    made = prepare(
        serving(judge=lambda statement: rewriting(statement) if statement.number > 2 else ALLOW),
        "SELECT old",
        columns=COLUMNS,
        parameters=0,
    )
    made.client(execute(flags=1))
    made.upstream(wire.packets(1, b"\x02", *COLUMNS, wire.ok(head=0xFE, status=CURSOR_EXISTS)))
    made.sent()
    made.client(wire.command(wire.FETCH, struct.pack("<II", 1, 10)))
    client, upstream = made.sent()
    assert b"without a cursor" in said(client)[0]
    assert not upstream


def test_columns_in_the_older_form() -> None:
    made = serving(RecordingHooks(Interest.EVERYTHING), capabilities=wire.CAPABILITIES & ~wire.DEPRECATE_EOF)
    made.client(wire.query("SELECT id, pan FROM cards"))
    answer = wire.packets(1, b"\x02", *COLUMNS, wire.eof(), wire.text_row("1", "x"), wire.eof())
    made.upstream(answer)
    assert made.sent()[0] == answer
    assert made.session.is_idle


TWO = Limit(rows=2, rule="reader.rows", hint="Add LIMIT 2.", plugin="policy")


def limited(statement: Statement) -> Limit:
    return TWO


@pytest.mark.parametrize("interest", [Interest.NOTHING, Interest.EVERYTHING])
def test_no_row_too_many_leaves(interest: Interest) -> None:
    def make() -> Player:
        return serving(RecordingHooks(interest), judge=limited)

    rows = [wire.text_row(cell) for cell in "123456"]
    first = wire.result([wire.definition("a")], rows, status=2 | MORE)
    second = wire.result([wire.definition("a")], rows, first=10)
    steps = [
        from_client(wire.query("SELECT a FROM t; SELECT a FROM t") + wire.command(wire.PING)),
        from_upstream(first + second),
        from_upstream(wire.packet(1, wire.ok())),
    ]
    for how, made in every_split(make, steps):
        output = bytes(made.to_client)
        assert rows[1] in output, how
        assert rows[2] not in output, how
        # The error is the end of the answer, and what follows is answered.
        *_, error, answer = wire.split(output)
        assert (error[0], error[1][:1], b"more than 2 rows" in error[1]) == (5, b"\xff", True), how
        assert answer == (1, wire.ok()), how
        ((_, outcome),) = made.ended
        assert (outcome.rows, outcome.error, outcome.complete) == (2, "1142", True), how


def test_as_many_rows_as_the_limit_are_not_too_many() -> None:
    made = serving(judge=limited).client(wire.query("SELECT a FROM t"))
    answer = wire.result([wire.definition("a")], [wire.text_row("1"), wire.text_row("2")])
    made.upstream(answer)
    assert made.sent()[0] == answer


def test_a_limit_holds_for_all_fetches_of_a_cursor_together() -> None:
    made = serving(judge=limited)
    made.client(wire.command(wire.PREPARE, b"SELECT id, pan FROM cards")).upstream(
        wire.packets(1, prepared(1, 2), *COLUMNS)
    )
    made.client(execute(flags=1)).upstream(
        wire.packets(1, b"\x02", *COLUMNS, wire.ok(head=0xFE, status=2 | CURSOR_EXISTS))
    )
    row = binary_row(struct.pack("<i", 7), wire.counted(b"x"))
    shown = 0
    for _ in range(4):
        made.sent()
        made.client(wire.command(wire.FETCH, struct.pack("<II", 1, 1)))
        made.upstream(wire.packets(1, row, wire.ok(head=0xFE, status=2 | CURSOR_EXISTS)))
        shown += row in made.sent()[0]
    assert shown == 2
    assert made.ended[-1][1].error == "1142"


def test_a_long_row_that_is_too_many() -> None:
    none = Limit(rows=0)
    made = serving(judge=lambda statement: none).client(wire.query("SELECT a FROM t") + wire.command(wire.PING))
    made.upstream(wire.packets(1, b"\x01", wire.definition("a")))
    made.sent()
    long = (1 << 24) - 1
    made.upstream(b"\xff\xff\xff\x03" + b"\xfe" + struct.pack("<Q", long) + bytes(long - 9))
    made.upstream(wire.packets(4, bytes(9), wire.ok(head=0xFE)))
    assert [message[:1] for message in said(made.sent()[0])] == [b"\xff"]
    made.upstream(wire.packet(1, wire.ok()))
    assert made.sent()[0] == wire.packet(1, wire.ok())


@pytest.mark.parametrize("capabilities", [wire.CAPABILITIES, wire.CAPABILITIES & ~wire.DEPRECATE_EOF])
def test_fields_are_listed_as_a_statement_that_shows_them(capabilities: int) -> None:
    def change(notice: Notice) -> None:
        notice.fields.update({name: "hidden" for name, text in notice.fields.items() if text == "secret"})

    made = serving(RecordingHooks(change_notice=change), capabilities=capabilities)
    command = wire.command(wire.FIELD_LIST, b"ca`rds\0p\\_a'n%")
    made.client(command + wire.command(wire.PING))
    assert made.asked[-1].text == "SHOW COLUMNS FROM `ca``rds` LIKE 'p\\\\_a''n%'"
    assert [use.name for use in made.asked[-1].facts.objects] == ["information_schema.columns"]
    assert made.sent()[1] == command
    end = wire.ok(head=0xFE) if capabilities & wire.DEPRECATE_EOF else wire.eof()
    made.upstream(wire.packets(1, wire.field("a", None), wire.field("b", "secret"), wire.field("c", ""), end))
    seen = [wire.field("a", None), wire.field("b", "hidden"), wire.field("c", ""), end]
    assert made.sent() == (wire.packets(1, *seen), wire.command(wire.PING))
    ((_, outcome),) = made.ended
    assert (outcome.rows, outcome.masked, outcome.error) == (3, 1, "")
    assert outcome.bytes == len(wire.packets(1, *seen[:3]))


def test_fields_that_are_not_listed() -> None:
    made = serving().client(wire.command(wire.FIELD_LIST, b"nosuch\0"))
    made.upstream(wire.packet(1, wire.err(1146, "no such table")))
    assert made.ended[-1][1].error == "1146"
    deny = Deny(reason="no")
    made = serving(judge=lambda statement: deny).client(wire.command(wire.FIELD_LIST, b"cards\0"))
    client, upstream = made.sent()
    assert not upstream
    assert said(client)[0][1:3] == struct.pack("<H", 1142)
    rewrite = Rewrite(text="SELECT 1")
    made = serving(judge=lambda statement: rewrite).client(wire.command(wire.FIELD_LIST, b"cards\0"))
    client, upstream = made.sent()
    assert not upstream
    assert said(client)[0][0] == 0xFF
    assert made.closed is None
    assert made.session.is_idle


def test_no_field_too_many_is_listed() -> None:
    made = serving(judge=limited).client(wire.command(wire.FIELD_LIST, b"cards\0"))
    made.upstream(wire.packets(1, *(wire.field(name, None) for name in "abcd"), wire.ok(head=0xFE)))
    *fields, error = said(made.sent()[0])
    assert fields == [wire.field("a", None), wire.field("b", None)]
    assert b"more than 2 rows" in error
    assert made.session.is_idle


LOAD = "LOAD DATA LOCAL INFILE '/tmp/a\\\\b''c' INTO TABLE orders"
ASKED = wire.packet(1, b"\xfb/tmp/a\\b'c")


def test_a_file_that_a_statement_names_is_passed_on_and_counted() -> None:
    long = (1 << 24) - 1
    for pieces in ([b"1,2\n", b"3,4\n"], [], [bytes(long), b"", b"x"], [b"x"] * 300):
        made = serving().client(wire.query(LOAD))
        assert [(use.verb, use.name) for use in made.asked[-1].facts.objects] == [("load_local", "shop.orders")]
        assert made.sent()[1] == wire.query(LOAD)
        made.upstream(ASKED)
        assert made.sent() == (ASKED, b"")
        file = wire.packets(2, *pieces, b"")
        made.client(file + wire.query("SELECT 1"))
        assert made.sent() == (b"", file)
        assert not made.ended
        done = wire.packet(2 + len(pieces) + 1, wire.ok(affected=2))
        made.upstream(done)
        assert made.sent() == (done, wire.query("SELECT 1"))
        ((_, outcome),) = made.ended
        assert (outcome.received, outcome.complete, outcome.tag) == (sum(map(len, pieces)), True, "2 rows affected")


def test_what_is_sent_of_a_file_does_not_wait_for_the_rest() -> None:
    made = serving(environment={"limits": Limits(message_bytes=1000)}).client(wire.query(LOAD)).upstream(ASKED)
    made.sent()
    packet = wire.packet(2, bytes(5000))
    made.client(packet[:3000])
    assert made.sent() == (b"", packet[:3000])
    made.client(packet[3000:] + wire.packet(3, b""))
    assert made.sent() == (b"", packet[3000:] + wire.packet(3, b""))
    made.upstream(wire.packet(4, wire.err(1062, "duplicate")))
    ((_, outcome),) = made.ended
    assert (outcome.error, outcome.received) == ("1062", 5000)
    assert made.session.is_idle


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("SELECT 1", ASKED),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE orders", wire.packet(1, b"\xfbX")),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE orders", wire.packet(1, b"\xfb")),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE orders", wire.packet(1, b"\xfbx\0")),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE orders", wire.packets(1, wire.ok(status=2 | MORE), b"\xfbx")),
        ("LOAD DATA INFILE 'x' INTO TABLE orders", wire.packet(1, b"\xfbx")),
        ("CALL p('load data local infile')", wire.packet(1, b"\xfbx")),
    ],
)
def test_a_file_that_no_statement_names_is_not_asked_for(text: str, asked: bytes) -> None:
    made = serving().client(wire.query(text)).upstream(asked)
    if made.closed is None:
        assert b"local files" in made.sent()[0]
        return
    assert made.closed.code is EndCode.UPSTREAM_FAULT
    assert b"\xfb" not in made.to_client[-100:]
    made.client(wire.packets(2, b"secret", b""))
    assert b"secret" not in made.to_upstream


def test_a_file_is_asked_for_once() -> None:
    made = serving().client(wire.query(LOAD)).upstream(ASKED).client(wire.packets(2, b"1\n", b""))
    made.sent()
    made.upstream(wire.packet(4, ASKED[4:]))
    assert made.closed is not None
    assert made.closed.code is EndCode.UPSTREAM_FAULT
    assert ASKED[4:] not in made.sent()[0]


@pytest.mark.parametrize("answer", [wire.err(), wire.ok(), ASKED[4:]])
@pytest.mark.parametrize("number", [2, 3])
def test_a_server_that_does_not_wait_for_the_file(answer: bytes, number: int) -> None:
    made = serving().client(wire.query(LOAD)).upstream(ASKED).client(wire.packet(2, b"1\n") + b"\x05\0\0")
    made.sent()
    made.upstream(wire.packet(number, answer))
    assert made.closed is not None
    assert made.closed.code is EndCode.UPSTREAM_FAULT
    ((number, error),) = wire.split(made.sent()[0])
    assert (number, error[0]) == (3, 0xFF)
    ((_, outcome),) = made.ended
    assert (outcome.complete, outcome.received) == (False, 2)


def test_a_file_that_is_sent_before_it_is_asked_for() -> None:
    file = wire.packets(2, b"1\n", b"")
    made = serving().client(wire.query(LOAD) + file)
    assert made.sent()[1] == wire.query(LOAD)
    made.upstream(ASKED)
    assert made.sent() == (ASKED, file)
    refused = serving().client(wire.query(LOAD) + file).upstream(wire.packet(1, wire.err(1146, "no such table")))
    assert refused.closed is not None
    assert refused.closed.code is EndCode.CLIENT_FAULT
    assert file not in refused.to_upstream


@pytest.mark.parametrize(
    "data", [wire.command(wire.PING), wire.packet(3, b"1\n"), wire.packets(2, b"1\n", b"2\n")[:10]]
)
def test_a_client_that_sends_something_else_than_the_file(data: bytes) -> None:
    made = serving().client(wire.query(LOAD)).upstream(ASKED)
    made.sent()
    made.client(data)
    if wire.split(data[:6])[0][0] == 2:
        made.eof(CLIENT)
    assert made.closed is not None
    assert made.closed.code in (EndCode.CLIENT_FAULT, EndCode.CLIENT_LEFT)
    ((_, outcome),) = made.ended
    assert not outcome.complete


def test_a_file_whose_name_must_not_be_shown() -> None:
    def change(notice: Notice) -> None:
        notice.fields.update(dict.fromkeys(notice.fields, "****"))

    made = serving(RecordingHooks(change_notice=change)).client(wire.query(LOAD)).upstream(ASKED)
    assert made.closed is not None
    assert ASKED[4:] not in made.to_client


def test_a_load_that_the_session_cannot_follow_is_denied() -> None:
    for command in (
        wire.command(wire.PREPARE, LOAD.encode()),
        wire.query(f"{LOAD}; SELECT 1"),
        wire.query("LOAD XML LOCAL INFILE 'x' INTO TABLE t"),
        wire.query("LOAD DATA LOCAL INFILE x'41' INTO TABLE t"),
    ):
        made = serving().client(command)
        client, upstream = made.sent()
        assert not upstream
        assert b"local files" in client
        assert made.closed is None


def test_splitting_a_file_changes_nothing() -> None:
    steps = [
        from_client(wire.query(LOAD)),
        from_upstream(ASKED),
        from_client(wire.packets(2, b"1\n", b"22\n", b"") + wire.command(wire.PING)),
        from_upstream(wire.packet(5, wire.ok(affected=2))),
        from_upstream(wire.packet(1, wire.ok())),
    ]
    plays = every_split(serving, steps)
    _, whole = next(plays)
    assert whole.closed is None
    for how, made in plays:
        assert (made.to_client, made.to_upstream) == (whole.to_client, whole.to_upstream), how
        assert [outcome for _, outcome in made.ended] == [outcome for _, outcome in whole.ended], how


def test_names_and_texts_are_shown_and_changed() -> None:
    def change(notice: Notice) -> None:
        for name, text in notice.fields.items():
            notice.fields[name] = text.replace("secret", "[gone]")

    hooks = RecordingHooks(change_notice=change)
    made = serving(hooks, capabilities=wire.CAPABILITIES | wire.SESSION_TRACK)
    made.client(wire.query("SELECT 1"))
    made.upstream(wire.result([wire.definition("secret", table="secret", own_name="x")], []))
    made.client(wire.query("SELECT x")).upstream(wire.packet(1, wire.err(text="near secret")))
    variable = wire.counted(b"x") + wire.counted(b"secret")
    state = (
        b"\0" + wire.counted(variable) + b"\x01" + wire.counted(wire.counted(b"secret")) + b"\x02" + wire.counted(b"1")
    )
    tracked = wire.ok(status=2 | 0x4000, info=wire.counted(b"secret info") + wire.counted(state))
    made.client(wire.query("SET x = 1")).upstream(wire.packet(1, tracked))
    output = made.sent()[0]
    assert b"secret" not in output
    assert output.count(b"[gone]") == 7
    assert ("parameter", {"name": "x", "value": "secret"}) in hooks.notices
    assert ("error", {"message": "near secret"}) in hooks.notices


def test_an_id_that_plugins_object_to_is_none() -> None:
    def change(notice: Notice) -> None:
        notice.fields.update(dict.fromkeys(notice.fields, "****"))

    made = serving(RecordingHooks(change_notice=change)).client(wire.query("INSERT INTO t VALUES (1)"))
    made.upstream(wire.packet(1, wire.ok(affected=1, last_id=99)))
    assert said(made.sent()[0])[0][:3] == bytes((0, 1, 0))


def test_a_status_tells_of_a_transaction() -> None:
    made = serving().client(wire.query("BEGIN")).upstream(wire.packet(1, wire.ok(status=2 | IN_TRANSACTION)))
    assert not made.session.is_idle
    made.client(wire.query("COMMIT")).upstream(wire.packet(1, wire.ok()))
    assert made.session.is_idle


def test_after_a_statement_that_nobody_understands_the_settings_are_read_again() -> None:
    made = serving()
    made.sent()
    made.client(wire.query("CALL p()") + wire.query("SELECT 1"))
    assert made.sent()[1] == wire.query("CALL p()")
    made.upstream(wire.packet(1, wire.ok()))
    client, upstream = made.sent()
    assert said(client) == [wire.ok()]
    assert wire.split(upstream)[0][1].startswith(b"\x03SELECT @@sql_mode")
    made.upstream(wire.settings())
    assert made.sent() == (b"", wire.query("SELECT 1"))
    made.upstream(wire.packet(1, wire.ok()))
    made.client(wire.query("CALL p()")).upstream(wire.packet(1, wire.ok())).upstream(wire.settings("ANSI_QUOTES"))
    assert made.closed is not None
    assert made.closed.code is EndCode.UPSTREAM_FAULT


def test_names_are_of_the_current_database() -> None:
    def names(made: Player) -> list[str]:
        return [use.name for use in made.asked[-1].facts.objects]

    made = serving()
    made.client(wire.query("SELECT 1 FROM cards, other.cards")).upstream(wire.packet(1, wire.ok()))
    assert names(made) == ["shop.cards", "other.cards"]
    facts = made.asked[-1].facts
    made.client(wire.query("SELECT 2 FROM cards, other.cards")).upstream(wire.packet(1, wire.ok()))
    assert made.asked[-1].facts is facts
    made.client(wire.query("USE nowhere")).upstream(wire.packet(1, wire.err()))
    made.client(wire.command(wire.INIT_DB, b"mysql")).upstream(wire.packet(1, wire.ok()))
    made.client(wire.query("SELECT 1 FROM user")).upstream(wire.packet(1, wire.ok()))
    assert names(made) == ["mysql.user"]
    # What nobody understands may have changed it.
    made.client(wire.query("USE shop; nonsense")).upstream(wire.packet(1, wire.ok()))
    made.upstream(wire.settings(database="shop"))
    made.client(wire.query("SELECT 1 FROM cards")).upstream(wire.packet(1, wire.ok()))
    assert names(made) == ["shop.cards"]


def test_a_batch_that_changes_the_database_is_denied() -> None:
    made = serving().client(wire.query("USE mysql; SELECT 1 FROM user"))
    client, upstream = made.sent()
    assert not upstream
    assert b"Send USE by itself" in client


def test_a_reset_connection_forgets_what_was_prepared() -> None:
    made = prepare(serving(), "SELECT 1", columns=[], parameters=0)
    made.client(wire.command(0x1F)).upstream(wire.packet(1, wire.ok())).upstream(wire.settings())
    made.sent()
    made.client(execute())
    assert said(made.sent()[0])[0][0] == 0xFF


def test_a_cancel_names_a_session_of_the_same_identity() -> None:
    made = serving().client(wire.query("KILL QUERY 12"))
    (cancel,) = (action for action in made.actions if isinstance(action, Cancel))
    assert cancel.number == 12
    assert serving().session.owns(cancel.secret)
    assert not serving(authenticate=_somebody_else).session.owns(cancel.secret)
    assert said(made.sent()[0])[0][0] == 0
    assert not made.asked
    assert made.session.is_idle


def _somebody_else(question: Authenticate) -> Identity:
    return Identity(name="other", issuer="test")


def test_the_server_s_word_for_a_session_that_is_not_there_is_that_for_a_foreign_one() -> None:
    for text, statements in (("KILL QUERY 12", 0), ("KILL 12", 1), ("KILL CONNECTION 12", 1)):
        made = serving(finds=lambda request: False)
        made.client(wire.query(text) + wire.query("SELECT 1"))
        assert [statement.text for statement in made.asked] == [*[text][:statements], "SELECT 1"]
        client, upstream = made.sent()
        assert said(client)[0][1:3] == struct.pack("<H", 1094)
        assert [outcome.error for _, outcome in made.ended] == ["1094"][:statements]
        assert upstream == wire.query("SELECT 1")


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (wire.query("KILL 12"), "KILL 12"),
        (wire.query(" kill\tCONNECTION 12 ; "), " kill\tCONNECTION 12 ; "),
        (wire.command(0x0C, struct.pack("<I", 12)), "KILL 12"),
    ],
)
def test_a_kill_is_a_statement_that_ends_a_session(command: bytes, text: str) -> None:
    made = serving().client(command)
    (statement,) = made.asked
    assert (statement.text, statement.facts.effect, statement.facts.verbs) == (text, Effect.CONTROL, ("kill",))
    (request,) = made.cancelled
    assert (request.number, request.ends_session) == (12, True)
    assert made.session.owns(request.secret)
    client, upstream = made.sent()
    assert not upstream
    assert said(client)[0][0] == 0
    assert [outcome.error for _, outcome in made.ended] == [""]
    assert made.session.is_idle
    deny = Deny(reason="no")
    denied = serving(judge=lambda statement: deny).client(command)
    assert not denied.cancelled
    assert said(denied.sent()[0])[0][1:3] == struct.pack("<H", 1142)


def test_a_session_that_ends_itself() -> None:
    made = serving(finds=lambda request: killed.append(made.fault(KILLED)) is None)
    killed: list[Player] = []
    made.client(wire.query("KILL 7") + wire.query("SELECT 1"))
    assert killed
    client, upstream = made.sent()
    assert not upstream
    ((number, error),) = wire.split(client)
    assert (number, error[1:3]) == (1, struct.pack("<H", 1317))
    ((_, outcome),) = made.ended
    assert not outcome.complete
    assert made.closed is not None
    assert made.session.cancelled(True) == []
    again = serving().client(wire.query("KILL QUERY 7"))
    assert not again.cancelled
    assert said(again.sent()[0])[0][1:3] == struct.pack("<H", 1317)
    assert again.closed is None


KILLED = ClientFault("it was ended", code=FaultCode.KILLED)


@pytest.mark.parametrize(
    "text", ["KILL 1; KILL 2", "SELECT 1; KILL 12", "KILL USER agent", "KILL (SELECT 12)", "KILL ?"]
)
def test_a_kill_that_the_session_does_not_carry_out_goes_nowhere(text: str) -> None:
    made = serving().client(wire.query(text))
    client, upstream = made.sent()
    assert not upstream
    assert not made.cancelled
    assert b"own sessions" in client


@pytest.mark.parametrize("is_found", [True, False])
def test_a_kill_has_ended_even_if_what_comes_behind_it_is_no_command(is_found: bool) -> None:
    made = serving(finds=lambda request: is_found).client(wire.query("KILL 12") + wire.packet(7, b"x"))
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_FAULT
    ((statement, outcome),) = made.ended
    assert (statement.text, outcome.complete, bool(outcome.error)) == ("KILL 12", True, not is_found)


def test_a_kill_cannot_be_prepared() -> None:
    made = serving()
    made.client(wire.command(wire.PREPARE, b"KILL QUERY 12"))
    client, upstream = made.sent()
    assert not upstream
    assert b"own sessions" in client


def test_a_rewrite_to_what_the_session_refuses_is_denied() -> None:
    made = serving(judge=lambda statement: Rewrite(text="SET sql_mode = 'ANSI'") if not statement.original else ALLOW)
    made.client(wire.query("SELECT 1"))
    client, upstream = made.sent()
    assert not upstream
    assert b"sql_mode" in client
    ((_, outcome),) = made.ended
    assert outcome.error == "1142"


@pytest.mark.parametrize("text", ["/*!50000 DROP TABLE cards */", "SELECT 1 /*M!100100 , pan */ FROM cards"])
def test_executable_comments_are_refused(text: str) -> None:
    made = serving().client(wire.query(text))
    client, upstream = made.sent()
    assert not upstream
    assert b"executable comment" in client
    made.client(wire.query("SELECT '/*!50000 no comment */'"))
    assert made.sent()[1]


def test_a_text_that_is_not_utf8_is_denied() -> None:
    made = serving().client(wire.command(wire.QUERY, b"SELECT '\xff'"))
    client, upstream = made.sent()
    assert not upstream
    assert b"UTF-8" in client
    assert made.closed is None


def test_a_client_that_leaves() -> None:
    made = serving().client(wire.command(wire.QUIT)).eof(UPSTREAM)
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_LEFT


@pytest.mark.parametrize(
    "data",
    [
        wire.packet(1, b"\x03SELECT 1"),  # out of order
        wire.packet(0, b""),
        wire.command(0x7F),
        wire.command(0xFA, b"bulk"),
        wire.command(wire.EXECUTE, b"\1"),
        wire.command(wire.EXECUTE, struct.pack("<IBI", 1, 0, 2)),
        wire.command(wire.EXECUTE, struct.pack("<IBI", 1, 8, 1)),
        wire.command(wire.EXECUTE, struct.pack("<IBI", 1, 0, 1) + b"\0\0"),  # no types were ever bound
        execute((INT, b"\1\2")),
        execute((INT, b"\1\2\3\4\5")),
        execute((VARCHAR, b"\xfe" + b"\xff" * 8)),
        execute((200, b"x")),
        wire.command(wire.CLOSE, b"\1"),
        wire.command(wire.FETCH, b"\1\0\0\0"),
        wire.command(wire.FIELD_LIST, b"cards"),
        wire.command(wire.FIELD_LIST, b"cards\0a\0b"),
    ],
)
def test_a_client_that_breaks_the_protocol(data: bytes) -> None:
    made = prepare(serving(), "SELECT ?", columns=[], parameters=1)
    made.sent()
    made.client(data)
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_FAULT
    client, upstream = made.sent()
    assert not upstream
    assert said(client)[0][0] == 0xFF


@pytest.mark.parametrize(
    "answer",
    [
        wire.packet(2, wire.ok()),  # out of order
        wire.packet(1, b""),
        wire.packet(1, b"\xfb/etc/passwd"),  # a file that nobody has offered
        wire.packet(1, b"\xfc\xff\xff\xff"),
        wire.packets(1, b"\x01", b"nonsense"),
        wire.packets(1, b"\x01", wire.definition("x", 99)),
        wire.packets(1, b"\x01", wire.definition("x", collation=8)),
        wire.packets(1, b"\x01", wire.definition("x"), b"\x05ab"),
        wire.packets(1, b"\x01", wire.definition("x"), b""),
        wire.packets(1, b"\x01", wire.definition("x"), wire.text_row("a", "b")),
        wire.packets(1, b"\x01", wire.definition("x"), b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"),
        wire.packets(1, wire.ok(), wire.ok()),
    ],
)
def test_a_server_that_breaks_the_protocol(answer: bytes) -> None:
    for show in (None, lambda batch: batch.offsets(0)):
        for at in {0, *itertools.accumulate(4 + len(packet) for _, packet in wire.split(answer))}:
            made = serving(RecordingHooks(Interest.EVERYTHING, change_batch=show)).client(wire.query("SELECT x"))
            made.sent()
            made.upstream(answer[:at]).upstream(answer[at:])
            assert made.closed is not None, show
            assert made.closed.code is EndCode.UPSTREAM_FAULT
            packets = wire.split(made.sent()[0])
            assert packets[-1][1][0] == 0xFF
            ended = [number for number, (_, packet) in enumerate(packets) if packet == wire.ok()]
            first = ended[-1] + 1 if ended else 0
            assert [number for number, _ in packets[first:]] == list(range(1, len(packets) + 1 - first))


def test_a_plugin_that_fails_on_a_name() -> None:
    def fail(notice: Notice) -> None:
        raise PluginFault("cannot tell")

    made = serving(RecordingHooks(change_notice=fail)).client(wire.query("SELECT 1"))
    made.upstream(wire.result([wire.definition("secret")], [wire.text_row("x")]))
    assert made.closed is not None
    assert made.closed.code is EndCode.PLUGIN_FAULT
    assert b"secret" not in made.to_client


@pytest.mark.parametrize("interest", [Interest.NOTHING, Interest.EVERYTHING])
def test_splitting_changes_nothing(interest: Interest) -> None:
    def change(row: Row) -> None:
        row.replace(len(row) - 1, ["longer than before"] if row.raw(len(row) - 1) is not None else [])

    def make() -> Player:
        return serving(RecordingHooks(interest, change_row=change))

    row = binary_row(struct.pack("<i", 7), wire.counted(b"x"))
    steps = [
        from_client(wire.command(wire.PREPARE, b"SELECT id, pan FROM cards WHERE id = ?")),
        from_upstream(wire.packets(1, prepared(1, 2, 1), wire.definition("?", BLOB), *COLUMNS)),
        from_client(execute((INT, struct.pack("<i", 7)))),
        from_upstream(wire.result(COLUMNS, [row, row])),
        from_client(wire.query("SELECT 1; SELECT id, pan FROM cards")),
        from_upstream(wire.result([wire.definition("1")], [wire.text_row("1")], status=2 | MORE)),
        from_upstream(wire.result(COLUMNS, [wire.text_row("1", "x"), wire.text_row(None, None)], first=5)),
        from_client(wire.command(wire.PING)),
        from_upstream(wire.packet(1, wire.ok())),
    ]
    plays = every_split(make, steps)
    _, whole = next(plays)
    for how, made in plays:
        assert (made.to_client, made.to_upstream) == (whole.to_client, whole.to_upstream), how
        assert [outcome for _, outcome in made.ended] == [outcome for _, outcome in whole.ended], how
    assert whole.closed is None


def test_the_proof_of_a_kill_is_the_identitys_alone() -> None:
    assert serving().session.owns(kill_proof(bytes(range(32, 64)), AGENT))
    assert not serving().session.owns(kill_proof(bytes(32), AGENT))


def test_what_is_prepared_shows_nothing_of_itself() -> None:
    held = Prepared("SELECT '4111111111111111'", Facts(effect=Effect.READ), None, 0, held=[b"4111111111111111"])
    assert "4111" not in repr(held)
