"""A recording read back: what each message was follows from those before it."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from tests import mysql_wire as wire

from gatepost_mysql import ADAPTER

COLUMNS = [wire.definition("id", 3, collation=63), wire.definition("name"), wire.definition("data", 252, collation=63)]
BINARY = b"\0\0" + struct.pack("<i", 7) + wire.counted(b"seven") + wire.counted(b"\xff")
OUTPUT = [
    wire.packet(1, wire.ok()),
    wire.result(COLUMNS, [wire.text_row("1", "one", b"\1"), wire.text_row(None, "", None)]),
    wire.packets(1, b"\x01", wire.definition("old"), wire.eof(), wire.text_row("way"), wire.eof()),
    wire.packets(1, struct.pack("<BIHHBH", 0, 1, 3, 1, 0, 0), wire.definition("?"), *COLUMNS),
    wire.result(COLUMNS, [BINARY]),
    wire.result([wire.definition("a")], [wire.text_row("first")], status=2 | 8)
    + wire.result([wire.definition("b")], [wire.text_row("second")], first=5),
    wire.packet(1, wire.err(text="no")),
    wire.packets(1, b"\x01", wire.definition("c"), wire.text_row("x"), wire.err(text="amid")),
    wire.packet(1, b"Uptime: 5"),
    wire.packets(
        1, wire.progress(), b"\x02\x01", wire.definition("j", more=b"\1\4json"), wire.definition("t", more=b"")
    ),
    wire.packets(4, wire.text_row("{}", "x"), wire.progress("amid", stage=2), wire.ok(head=0xFE)),
    wire.packets(1, b"\x01\x00", BINARY, wire.ok(head=0xFE)),
    wire.packets(1, b"\x01\x00", wire.eof(), BINARY, wire.eof()),
    wire.packets(1, struct.pack("<BIHHBH", 0, 1, 0, 1, 0, 0), wire.definition("?")),
    wire.packets(1, *(wire.field(f"f{number}", None) for number in range(299)), wire.field("last", "5"), wire.eof()),
]
SHOWN = [
    ("tag", ("0 rows affected",)),
    ("columns", ("id", "name", "data")),
    ("row", ("1", "one", "\\x01")),
    ("row", (None, "", None)),
    ("tag", ("0 rows affected",)),
    ("columns", ("old",)),
    ("row", ("way",)),
    ("tag", ("",)),
    ("columns", ("id", "name", "data")),
    ("row", ("7", "seven", "\\xff")),
    ("tag", ("0 rows affected",)),
    ("columns", ("a",)),
    ("row", ("first",)),
    ("tag", ("0 rows affected",)),
    ("columns", ("b",)),
    ("row", ("second",)),
    ("tag", ("0 rows affected",)),
    ("error", ("ERROR", "1064", "no")),
    ("columns", ("c",)),
    ("row", ("x",)),
    ("error", ("ERROR", "1064", "amid")),
    ("tag", ("Uptime: 5",)),
    ("notice", ("stage 1 of 2", "copy to tmp table")),
    ("columns", ("j", "t")),
    ("row", ("{}", "x")),
    ("notice", ("stage 2 of 2", "amid")),
    ("tag", ("0 rows affected",)),
    ("row", ("\\x" + BINARY.hex(),)),
    ("tag", ("0 rows affected",)),
    ("row", ("\\x" + BINARY.hex(),)),
    ("tag", ("",)),
    *(("row", (f"f{number}", None)) for number in range(299)),
    ("row", ("last", "5")),
    ("tag", ("",)),
]


def shown(*chunks: bytes) -> list[tuple[str, tuple[str | None, ...]]]:
    return [(each.kind, each.cells) for each in ADAPTER.shown(chunks)]


def test_what_was_shown() -> None:
    assert shown(*OUTPUT) == SHOWN


@given(st.integers(1, 40))
def test_pieces_change_nothing(size: int) -> None:
    data = b"".join(OUTPUT)
    assert shown(*(data[at : at + size] for at in range(0, len(data), size))) == SHOWN


@given(st.integers(0, 1000))
def test_a_recording_may_end_anywhere(length: int) -> None:
    found = shown(b"".join(OUTPUT)[:length])
    assert found == SHOWN[: len(found)]


def test_a_long_row_comes_back_whole() -> None:
    long = b"x" * (1 << 24)
    row = wire.counted(long)
    first, rest = row[: (1 << 24) - 1], row[(1 << 24) - 1 :]
    data = wire.packets(1, b"\x01", wire.definition("a"), first, rest, wire.ok(head=0xFE))
    assert shown(data)[1] == ("row", (long.decode(),))


@given(st.binary(max_size=60))
def test_garbage_raises_nothing(data: bytes) -> None:
    shown(data)
    shown(OUTPUT[1][:40], data)
