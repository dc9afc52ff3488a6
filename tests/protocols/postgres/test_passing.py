"""Bytes that nobody looks at, without sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost import ClientFault, Fault, UpstreamFault
from gatepost.adapter import CLIENT, UPSTREAM, Limits, SendClient, SendUpstream, Side
from gatepost.testing import RecordingHooks, make_environment
from gatepost_postgres import messages
from gatepost_postgres.messages import message
from gatepost_postgres.passing import PassingPhase

QUERY = message(messages.QUERY, b"SELECT 1\0")
BATCH = (
    message(messages.PARSE, b"\0SELECT $1\0\0\0")
    + message(messages.BIND, b"\0\0\0\0\0\1\0\0\0\0051\0xyz\0\0")
    + message(messages.EXECUTE, b"\0\0\0\0\0")
    + message(messages.SYNC, b"")
)
READY = message(messages.READY, b"I")
ROWS = b"".join(message(messages.DATA_ROW, b"\0\1\0\0\0\4" + bytes([65 + i]) * 4) for i in range(3))
ANSWER = message(messages.ROW_DESCRIPTION, b"\0\0") + ROWS + message(messages.COMMAND_COMPLETE, b"SELECT 3\0") + READY


def passing(message_bytes: int = 1000) -> PassingPhase:
    return PassingPhase(make_environment(hooks=RecordingHooks(), limits=Limits(message_bytes=message_bytes)))


def carried(phase: PassingPhase, side: Side, *chunks: bytes) -> bytes:
    kinds = {CLIENT: SendUpstream, UPSTREAM: SendClient}
    actions = [action for chunk in chunks for action in phase.receive(side, chunk)]
    assert all(isinstance(action, kinds[side]) for action in actions)
    return b"".join(action.data for action in actions)  # type: ignore[union-attr]


@given(st.lists(st.sampled_from([QUERY, BATCH]), min_size=1, max_size=4), st.data())
def test_bytes_pass_as_they_come_however_they_are_split(parts: list[bytes], data: st.DataObject) -> None:
    for side, whole in ((CLIENT, b"".join(parts)), (UPSTREAM, ANSWER * len(parts))):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
        chunks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        assert carried(passing(), side, *chunks) == whole


def test_a_chunk_of_whole_messages_is_the_same_object() -> None:
    (action,) = passing().receive(UPSTREAM, ANSWER)
    assert isinstance(action, SendClient)
    assert action.data is ANSWER


def test_a_row_larger_than_any_bound_passes_without_being_held() -> None:
    phase = passing()
    row = message(messages.DATA_ROW, bytes(100_000))
    assert carried(phase, UPSTREAM, row[:10]) == row[:10]
    assert phase.is_amid_message
    assert carried(phase, UPSTREAM, row[10:]) == row[10:]
    assert not phase.is_amid_message


def test_a_session_is_idle_when_all_is_answered_outside_a_transaction() -> None:
    phase = passing()
    assert phase.is_idle
    phase.receive(CLIENT, QUERY + QUERY)
    phase.receive(UPSTREAM, ANSWER)
    assert not phase.is_idle
    phase.receive(UPSTREAM, message(messages.READY, b"T"))
    assert not phase.is_idle
    phase.receive(CLIENT, BATCH[:-1])
    phase.receive(CLIENT, BATCH[-1:])
    phase.receive(UPSTREAM, READY)
    assert phase.is_idle
    phase.receive(CLIENT, message(messages.TERMINATE, b""))
    assert phase.is_over


@pytest.mark.parametrize(
    ("side", "data", "fault", "words"),
    [
        (CLIENT, message(messages.FUNCTION_CALL, b"\0\0\0\1"), ClientFault, "function calls"),
        (CLIENT, message(messages.PASSWORD, b"x\0"), ClientFault, "not allowed here"),
        (CLIENT, b"Q\0\0\0\3", ClientFault, "impossible length"),
        (CLIENT, b"Q\0\0\x10\0", ClientFault, "too long"),
        (CLIENT, b"\xff\0\0\0\4", ClientFault, "not allowed here"),
        (UPSTREAM, message(messages.COPY_BOTH, b"\0\0\0"), UpstreamFault, "not allowed here"),
        (UPSTREAM, message(messages.AUTHENTICATION, b"\0\0\0\0"), UpstreamFault, "not allowed here"),
        (UPSTREAM, b"D\xff\xff\xff\xff", UpstreamFault, "impossible length"),
    ],
)
def test_what_is_no_message_of_this_phase_is_the_fault_of_who_sent_it(
    side: Side, data: bytes, fault: type[Fault], words: str
) -> None:
    with pytest.raises(fault, match=words):
        passing().receive(side, data)


@pytest.mark.parametrize("kind", [messages.DATA_ROW, messages.COPY_DATA])
@pytest.mark.parametrize("size", [1000, 24_577, 30_000, 60_000, 1 << 20])
def test_many_rows_pass_as_they_come(size: int, kind: int) -> None:
    rows = [
        message(kind, b"\0\2\0\0\0\3USD\0\0\0" + bytes((number % 90,)) + b"D" * (number % 90)) for number in range(2000)
    ]
    whole = b"".join([*rows, message(messages.COMMAND_COMPLETE, b"SELECT 2000\0"), READY])
    phase = passing()
    carried(phase, CLIENT, QUERY)
    assert carried(phase, UPSTREAM, *(whole[at : at + size] for at in range(0, len(whole), size))) == whole
    assert phase.is_idle
    broken = b"".join(rows) + b"?\0\0\0\4" + b"".join(rows)
    with pytest.raises(UpstreamFault, match="not allowed"):
        carried(passing(), UPSTREAM, *(broken[at : at + size] for at in range(0, len(broken), size)))


def test_many_messages_of_another_kind_are_looked_at_one_by_one() -> None:
    with pytest.raises(UpstreamFault, match="not allowed"):
        passing().receive(UPSTREAM, message(ord("W"), b"x" * 20) * 2000)
    phase = passing()
    carried(phase, CLIENT, QUERY * 5000)
    assert carried(phase, UPSTREAM, READY * 5000) == READY * 5000
    assert phase.is_idle
