"""Recordings, read by a person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.postgres.exchange import (
    BOUND,
    INT8,
    PARSED,
    READY,
    READY_FAILED,
    READY_IN_BLOCK,
    description,
    error,
    notice,
    row,
    tag,
)
from tests.wire import message

from gatepost.values import Shown
from gatepost_postgres import ADAPTER

RESULT = description("id", "name") + row(b"1", None) + tag("SELECT 1") + READY


def shown(*chunks: bytes) -> list[tuple[str, tuple[str | None, ...]]]:
    return [(item.kind, item.cells) for item in ADAPTER.shown(chunks)]


def test_a_session() -> None:
    assert shown(
        RESULT,
        notice("careful"),
        error("42501", "no", D="rule r1", H="ask"),
        READY_FAILED + READY_IN_BLOCK,
        message("A", b"\0\0\0\1channel\0payload\0") + message("S", b"TimeZone\0UTC\0"),
        message("H", b"\0\0\0") + message("d", b"1\tx\n") + message("d", b"\xff\0") + message("c") + tag("COPY 2"),
    ) == [
        ("columns", ("id", "name")),
        ("row", ("1", None)),
        ("tag", ("SELECT 1",)),
        ("state", ("idle",)),
        ("notice", ("NOTICE", "00000", "careful", None, None)),
        ("error", ("ERROR", "42501", "no", "rule r1", "ask")),
        ("state", ("in a failed transaction",)),
        ("state", ("in a transaction",)),
        ("notification", ("channel", "payload")),
        ("state", ("TimeZone", "UTC")),
        ("copy", ("1\tx",)),
        ("copy", ("\\xff00",)),
        ("tag", ("COPY 2",)),
    ]


def test_binary_cells_are_read_by_their_type() -> None:
    data = PARSED + BOUND + description("n", oid=INT8, binary=1) + row((4111).to_bytes(8)) + tag("SELECT 1")
    assert ("row", ("4111",)) in shown(data)


def test_a_cell_of_a_prepared_statement_is_taken_for_what_it_looks_like() -> None:
    prepared = PARSED + message("t", b"\0\0") + description("n", oid=INT8) + READY
    data = prepared + BOUND + row((7).to_bytes(8)) + row(b"12") + tag("SELECT 2")
    assert [cells for kind, cells in shown(data) if kind == "row"] == [("7",), ("12",)]


def test_a_recording_may_start_in_a_result_and_end_in_a_message() -> None:
    assert shown(row(b"text", b"\xff\x00", None, b"") + description("id", "name") + RESULT[:3]) == [
        ("row", ("text", "\\xff00", None, "")),
        ("columns", ("id", "name")),
    ]


@pytest.mark.parametrize(
    "garbage", [b"\0\0\0\0\0", b"D\0\0\0\0", b"D\0\0\0\x07\0\1\0", b"HTTP/1.1 200", row(b"x")[:-1] + b""]
)
def test_reading_ends_where_no_message_is(garbage: bytes) -> None:
    assert shown(RESULT + garbage) == shown(RESULT)


@given(st.data())
def test_chunks_may_be_cut_anywhere(data: st.DataObject) -> None:
    at = sorted(data.draw(st.lists(st.integers(0, len(RESULT)), max_size=5)))
    chunks = [RESULT[start:stop] for start, stop in zip([0, *at], [*at, len(RESULT)], strict=True)]
    assert shown(*chunks) == shown(RESULT)


@given(st.lists(st.binary()))
def test_garbage_raises_nothing(chunks: list[bytes]) -> None:
    assert all(isinstance(item, Shown) for item in ADAPTER.shown(chunks))
