"""Query attributes as transcripts: read for plugins, sent on as they came, and refused where they are not clear."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from tests import mysql_wire as wire
from tests.protocols.mysql.exchange import said, serving

from gatepost import ALLOW, Deny, EndCode, Interest, Rewrite, Scalar, Statement
from gatepost.testing import Player, RecordingHooks, every_split, from_client, from_upstream
from gatepost_mysql.parameters import MAX_ATTRIBUTES

BIGINT, VARCHAR, NULL = 8, 253, 6
CAPABILITIES = wire.CAPABILITIES | wire.QUERY_ATTRIBUTES
COUNTED = 8

Bind = tuple[str, int, bytes]
TRACE: Bind = ("traceparent", VARCHAR, wire.counted(b"00-1-2-01"))
NUMBER: Bind = ("n", BIGINT, struct.pack("<q", -5))
NOTHING: Bind = ("nothing", NULL, b"")


def talking(**changes: Any) -> Player:
    return serving(capabilities=CAPABILITIES, server=wire.MYSQL, **changes)


def bound(*binds: Bind) -> bytes:
    """Values with types and names, from the NULL bitmap on."""
    nulls = sum(1 << index for index, (_, kind, _) in enumerate(binds) if kind == NULL)
    described = b"".join(struct.pack("<H", kind) + wire.counted(name.encode()) for name, kind, _ in binds)
    return nulls.to_bytes((len(binds) + 7) // 8, "little") + b"\1" + described + b"".join(data for *_, data in binds)


def query(text: str, *binds: Bind) -> bytes:
    return wire.command(wire.QUERY, bytes((len(binds), 1)) + (bound(*binds) if binds else b"") + text.encode())


def execute(*binds: Bind, flags: int = COUNTED, count: int | None = None) -> bytes:
    head = struct.pack("<IBI", 1, flags, 1)
    if not binds and not flags & COUNTED:
        return wire.command(wire.EXECUTE, head)
    count = len(binds) if count is None else count
    return wire.command(wire.EXECUTE, head + bytes((count,)) + (bound(*binds) if binds else b""))


def prepared(made: Player, text: str = "SELECT ?", parameters: int = 1) -> Player:
    made.client(wire.command(wire.PREPARE, text.encode()))
    head = struct.pack("<BIHHBH", 0, 1, 0, parameters, 0, 0)
    made.upstream(wire.packets(1, head, *[wire.definition("?")] * parameters))
    made.sent()
    return made


def told(statement: Statement) -> list[tuple[str, str | None]]:
    return [(name, None if value is None else value[0].text) for name, value in statement.attributes]


def test_attributes_of_a_query_are_asked_about_and_sent_on() -> None:
    made = talking()
    sent = query("SELECT 1", TRACE, NUMBER, NOTHING, TRACE)
    made.client(sent)
    (statement,) = made.asked
    assert (statement.text, statement.parameters) == ("SELECT 1", ())
    assert told(statement) == [
        ("traceparent", "00-1-2-01"),
        ("n", "-5"),
        ("nothing", None),
        ("traceparent", "00-1-2-01"),
    ]
    assert made.sent()[1] == sent


def test_a_query_without_attributes() -> None:
    made = talking()
    for sent in (query("SELECT 1"), query("SELECT 1", TRACE)):
        made.client(sent).upstream(wire.result([wire.definition("1")], [wire.text_row("1")]))
        assert made.sent()[1] == sent
    assert [told(statement) for statement in made.asked] == [[], [("traceparent", "00-1-2-01")]]


def test_a_rewrite_keeps_the_attributes() -> None:
    made = talking(judge=lambda statement: Rewrite(text="SELECT 2") if statement.text == "SELECT 1" else ALLOW)
    made.client(query("SELECT 1", TRACE))
    assert made.sent()[1] == query("SELECT 2", TRACE)
    made.upstream(wire.result([wire.definition("1")], []))
    ((statement, _),) = made.ended
    assert told(statement) == [("traceparent", "00-1-2-01")]


def test_another_database_by_a_rewrite() -> None:
    rewrite = Rewrite(text="USE other")
    made = talking(judge=lambda statement: ALLOW if statement.original else rewrite)
    made.client(wire.command(wire.INIT_DB, b"shop"))
    assert made.sent()[1] == query("USE other")


def test_gateposts_own_questions_have_none() -> None:
    made = talking()
    made.client(query("CALL p()", TRACE)).upstream(wire.packet(1, wire.ok()))
    check = query("SELECT @@sql_mode, @@character_set_client, @@character_set_results, DATABASE()")
    assert made.sent()[1] == query("CALL p()", TRACE) + check
    assert made.to_upstream.count(check) == 2


def test_an_execution_with_names_runs_beside_what_is_prepared() -> None:
    def other(statement: Statement) -> Rewrite | object:
        return Rewrite(text="SELECT ? + 1") if statement.number == 2 and statement.original is None else ALLOW

    def answer() -> bytes:
        return wire.packet(1, wire.ok())

    made = prepared(talking(judge=other))
    made.client(execute(("", VARCHAR, wire.counted(b"one")), TRACE))
    assert made.sent()[1] == wire.command(wire.PREPARE, b"SELECT ? + 1")
    made.upstream(wire.packets(1, struct.pack("<BIHHBH", 0, 7, 0, 1, 0, 0), wire.definition("?")))
    beside = execute(("", VARCHAR, wire.counted(b"one")), TRACE).replace(b"\x17\1\0\0\0", b"\x17\7\0\0\0")
    assert made.sent()[1] == beside + wire.command(wire.CLOSE, struct.pack("<I", 7))
    made.upstream(answer())
    # The client has told the types, but not of what it has prepared.
    head = struct.pack("<IBI", 1, COUNTED, 1) + b"\1\0"
    made.client(wire.command(wire.EXECUTE, head + b"\0" + wire.counted(b"two")))
    assert made.sent()[1] == execute(("", VARCHAR, wire.counted(b"two")))
    made.upstream(answer())
    assert made.session.is_idle


def test_a_cancel_request_is_found_behind_attributes() -> None:
    made = talking()
    made.client(query("KILL QUERY 9", TRACE))
    assert [cancel.number for cancel in made.cancelled] == [9]
    assert made.asked == []
    assert made.sent()[1] == b""
    made.client(query("KILL 9", TRACE))
    client, upstream = made.sent()
    assert not upstream
    assert said(client)[0][0] == 0
    assert made.cancelled[-1].ends_session
    assert (made.asked[-1].text, told(made.asked[-1])) == ("KILL 9", [("traceparent", "00-1-2-01")])


def test_attributes_of_an_execution_stand_behind_its_parameters() -> None:
    made = prepared(talking())
    for sent in (
        execute(("", VARCHAR, wire.counted(b"one")), TRACE, NOTHING),
        execute(("", VARCHAR, wire.counted(b"two"))),
        execute(("", VARCHAR, wire.counted(b"two")), flags=0),
    ):
        made.client(sent).upstream(wire.packet(1, wire.ok()))
        assert made.sent()[1] == sent
    first, second, third = made.asked[1:]
    assert (third.parameters, third.attributes) == (second.parameters, second.attributes)
    assert first.parameters[0] is not None
    assert (first.parameters[0][0].text, len(first.parameters)) == ("one", 1)
    assert told(first) == [("traceparent", "00-1-2-01"), ("nothing", None)]
    assert (told(second), second.parameters[0]) == ([], (Scalar(second.parameters[0][0].kind, "two"),))  # type: ignore[index]


def test_a_parameter_that_has_a_name_is_an_attribute_too() -> None:
    made = prepared(talking()).client(execute(("card", VARCHAR, wire.counted(b"4111"))))
    assert told(made.asked[-1]) == [("card", "4111")]
    assert len(made.asked[-1].parameters) == 1


def test_types_of_the_execution_before_hold_where_there_are_no_attributes() -> None:
    made = prepared(talking())
    made.client(execute(("", VARCHAR, wire.counted(b"one")), TRACE)).upstream(wire.packet(1, wire.ok()))
    again = wire.command(wire.EXECUTE, struct.pack("<IBI", 1, COUNTED, 1) + b"\1\0\0" + wire.counted(b"two"))
    made.sent()
    made.client(again)
    assert made.sent()[1] == again
    assert made.asked[-1].parameters[0] is not None
    assert made.asked[-1].parameters[0][0].text == "two"


def test_an_execution_with_nothing_to_bind() -> None:
    made = prepared(talking(), "SELECT 1", 0)
    for sent in (execute(flags=0), execute(), execute(TRACE)):
        made.client(sent).upstream(wire.packet(1, wire.ok()))
        assert made.sent()[1] == sent


def test_a_denied_statements_attributes_go_nowhere() -> None:
    made = talking(judge=lambda statement: Deny(reason="no"))
    made.client(query("SELECT 1", TRACE))
    client, upstream = made.sent()
    assert not upstream
    assert said(client)[0][0] == 0xFF


def test_the_cursor_of_an_execution_keeps_its_attributes() -> None:
    made = prepared(talking(), "SELECT 1", 0)
    made.client(execute(TRACE, flags=COUNTED | 1))
    made.upstream(wire.packets(1, b"\1", wire.definition("1"), wire.ok(head=0xFE, status=0x42)))
    made.client(wire.command(wire.FETCH, struct.pack("<II", 1, 1)))
    assert told(made.asked[-1]) == [("traceparent", "00-1-2-01")]


@pytest.mark.parametrize(
    "sent",
    [
        wire.query("SELECT 1"),  # S are 83 attributes
        wire.command(wire.QUERY, b"\0\2SELECT 1"),
        wire.command(wire.QUERY, b"\0"),
        wire.command(wire.QUERY),
        wire.command(wire.QUERY, b"\1\1"),
        wire.command(wire.QUERY, b"\1\1\0\0" + wire.counted(b"no types") + b"SELECT 1"),
        wire.command(wire.QUERY, b"\1\1\0\2" + bound(TRACE)[2:] + b"SELECT 1"),
        wire.command(wire.QUERY, b"\1\1" + bound(("n", 200, b"x"))),
        wire.command(wire.QUERY, b"\1\1\0\1" + struct.pack("<H", VARCHAR) + wire.counted(b"\xff") + b"\0SELECT 1"),
        wire.command(wire.QUERY, b"\xfb\1SELECT 1"),
        wire.command(wire.QUERY, b"\xfc" + struct.pack("<H", MAX_ATTRIBUTES + 1) + b"\1" + bytes(10_000)),
        wire.command(wire.QUERY, b"\xfe" + b"\xff" * 8 + b"\1" + bytes(100)),
    ],
)
def test_a_query_whose_attributes_are_not_clear(sent: bytes) -> None:
    made = talking().client(sent)
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_FAULT
    assert made.sent()[1] == b""
    assert made.asked == []


@pytest.mark.parametrize(
    "sent",
    [
        execute(count=0),
        execute(("", VARCHAR, wire.counted(b"one")), count=2),
        execute(("", VARCHAR, wire.counted(b"one")), TRACE, count=1),
        execute(flags=0),
        wire.command(wire.EXECUTE, struct.pack("<IBI", 1, COUNTED, 1) + b"\2\0\0" + wire.counted(b"x") * 2),
        wire.command(wire.EXECUTE, struct.pack("<IBI", 1, COUNTED, 1)),
        wire.command(wire.EXECUTE, struct.pack("<IBI", 1, 0, 1) + b"\0\1" + struct.pack("<H", VARCHAR) + b"\0\1x"),
        wire.command(wire.EXECUTE, struct.pack("<IBI", 1, 0x18, 1)),
    ],
)
def test_an_execution_whose_attributes_are_not_clear(sent: bytes) -> None:
    made = prepared(talking()).client(sent)
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_FAULT
    assert made.sent()[1] == b""


def test_nothing_of_it_is_taken_where_it_was_not_agreed_on() -> None:
    made = prepared(serving(capabilities=CAPABILITIES)).client(execute(("", VARCHAR, wire.counted(b"one"))))
    assert made.closed is not None
    unknown = serving(capabilities=CAPABILITIES).client(wire.query("SELECT 1"))
    assert [statement.text for statement in unknown.asked] == ["SELECT 1"]


def test_splitting_changes_nothing() -> None:
    answer = wire.result([wire.definition("1")], [wire.text_row("1")])
    head = struct.pack("<BIHHBH", 0, 1, 0, 0, 0, 0)
    steps = [
        from_client(query("SELECT 1", TRACE, NUMBER)),
        from_upstream(answer),
        from_client(wire.command(wire.PREPARE, b"SELECT 1")),
        from_upstream(wire.packet(1, head)),
        from_client(execute(TRACE)),
        from_upstream(wire.packet(1, wire.ok())),
    ]
    plays = every_split(lambda: talking(hooks=RecordingHooks(Interest.EVERYTHING)), steps)
    _, whole = next(plays)
    for how, made in plays:
        assert (made.to_client, made.to_upstream, made.asked) == (whole.to_client, whole.to_upstream, whole.asked), how
