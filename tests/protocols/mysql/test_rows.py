"""Rows in text and in binary: where cells are, what they mean, and what leaves when they change."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import mysql_wire as wire

from gatepost import Kind, UpstreamFault
from gatepost_mysql.columns import Description, define, describe
from gatepost_mysql.rows import Batch

CODES = {"int": 3, "bigint": 8, "double": 5, "datetime": 12, "varchar": 253, "blob": 252, "bit": 16, "decimal": 246}
CODES |= {"date": 10, "time": 11, "timestamp": 7, "json": 245}
TIMES = ("date", "time", "timestamp", "datetime")


def description(*names: str, is_binary: bool, flags: int = 0) -> Description:
    definitions = []
    for name in names:
        collation = 63 if name in ("blob", "int", "bigint", "double", *TIMES) else 45
        definitions.append(define(wire.definition(name, CODES[name], collation=collation, flags=flags)))
    return describe(definitions, is_binary=is_binary)


def batch(about: Description, *payloads: bytes, first: int = 5) -> Batch:
    starts, data = [], b""
    for index, payload in enumerate(payloads):
        starts.append(len(data))
        data += wire.packet(first + index, payload)
    return Batch(about, data, starts)


def binary_row(*cells: bytes | None) -> bytes:
    nulls = sum(1 << index + 2 for index, cell in enumerate(cells) if cell is None)
    return b"\0" + nulls.to_bytes((len(cells) + 9) // 8, "little") + b"".join(cell or b"" for cell in cells)


lengths = st.one_of(st.integers(0, 8), st.sampled_from([250, 251, 252, 65535, 65536]))
cells = st.one_of(st.none(), lengths.map(lambda length: b"x" * length))


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=6))
def test_arrays_and_rows_agree_on_text(rows: list[tuple[bytes | None, ...]]) -> None:
    made = batch(description("varchar", "blob", "int", is_binary=False), *(wire.text_row(*row) for row in rows))
    for index, row in enumerate(rows):
        for column, cell in enumerate(row):
            offset, length = int(made.offsets(column)[index]), int(made.lengths(column)[index])
            assert (None if length < 0 else made.buffer[offset : offset + length]) == cell
            assert made.row(index).raw(column) == cell


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(-5, 5)), cells, st.booleans()), min_size=1, max_size=6))
def test_arrays_and_rows_agree_on_binary(rows: list[tuple[int | None, bytes | None, bool]]) -> None:
    payloads = []
    for number, text, has_time in rows:
        payloads.append(
            binary_row(
                None if number is None else struct.pack("<q", number),
                None if text is None else wire.counted(text),
                b"\4" + struct.pack("<HBB", 2026, 1, 2) if has_time else None,
            )
        )
    made = batch(description("bigint", "varchar", "datetime", is_binary=True), *payloads)
    for index, (number, text, has_time) in enumerate(rows):
        assert made.row(index).raw(1) == text
        assert [scalar.text for scalar in made.row(index).scalars(0)] == ([] if number is None else [str(number)])
        assert [scalar.text for scalar in made.row(index).scalars(2)] == (["2026-01-02 00:00:00"] if has_time else [])
        for column in range(3):
            raw = made.row(index).raw(column)
            offset, length = int(made.offsets(column)[index]), int(made.lengths(column)[index])
            assert (None if length < 0 else made.buffer[offset : offset + length]) == raw


def test_locate() -> None:
    made = batch(
        description("varchar", "varchar", is_binary=False), wire.text_row("one", None), wire.text_row("", "two")
    )
    at = made.buffer.index(b"two")
    assert list(made.locate([(at, at + 1)])) == [(1, 1, at, at + 3, at, at + 1)]


numbers = st.text("0123456789", min_size=10, max_size=21)
texts = st.one_of(st.none(), numbers, st.sampled_from(["x\x0d4111111111111", "x" * 300]))


@given(st.lists(st.tuples(texts, numbers, numbers), max_size=4))
def test_cells_of_digits_are_found_at_a_glance(rows: list[tuple[str | None, str, str]]) -> None:
    made = batch(description("varchar", "blob", "bigint", is_binary=False), *(wire.text_row(*row) for row in rows))
    cells = [(kind, start, start + length) for kind, length, places in made.places(range(12, 20)) for start in places]
    found = [(start, kind, cell.decode()) for kind, start, end in cells if (cell := made.buffer[start:end]).isdigit()]
    kinds = (Kind.TEXT, None, Kind.INTEGER)
    expected = [
        (int(made.offsets(column)[index]), kind, cell)
        for index, row in enumerate(rows)
        for column, (kind, cell) in enumerate(zip(kinds, row, strict=True))
        if kind is not None and cell is not None and 12 <= len(cell) <= 19 and cell.isdigit()
    ]
    assert sorted(found) == expected


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3))
def test_a_glance_at_rows_that_lie_stays_within_them(payloads: list[bytes]) -> None:
    made = batch(description("varchar", "varchar", is_binary=False), *payloads)
    begins = [sum(4 + len(payload) for payload in payloads[:index]) + 4 for index in range(len(payloads))]
    for _, length, places in made.places(range(1, 20)):
        for start in places:
            end = start + length
            assert any(at < start and end <= at + len(payload) for at, payload in zip(begins, payloads, strict=True))


def test_changes_are_numbered_on() -> None:
    made = batch(description("varchar", is_binary=False), *(wire.text_row(text) for text in ("a", "b", "c")))
    made.row(0).replace(0, ["a longer text"])
    made.row(1).drop()
    made.row(2).replace(0, [None])
    assert made.packets(9) == wire.packets(9, wire.text_row("a longer text"), wire.text_row(None))
    assert made.masked == 2


def test_a_settled_batch_can_be_changed_again() -> None:
    made = batch(description("varchar", "varchar", is_binary=False), wire.text_row("a", "b"), wire.text_row("c", "d"))
    made.row(0).replace(0, ["x" * 300])
    made.settle()
    assert made.row(1).raw(1) == b"d"
    made.row(1).replace(1, ["e"])
    assert made.packets(5) == wire.packets(5, wire.text_row("x" * 300, "b"), wire.text_row("c", "e"))


@pytest.mark.parametrize(
    ("name", "flags", "cell", "kind", "text", "new", "written"),
    [
        ("int", 0, struct.pack("<i", -7), Kind.INTEGER, "-7", "8", struct.pack("<i", 8)),
        ("bigint", 0x20, struct.pack("<Q", 1 << 63), Kind.INTEGER, str(1 << 63), "1", struct.pack("<Q", 1)),
        ("double", 0, struct.pack("<d", 4.5), Kind.FLOAT, "4.5", "1", struct.pack("<d", 1)),
        ("double", 0, struct.pack("<d", 4111111111111111), Kind.FLOAT, "4111111111111111", "1", struct.pack("<d", 1)),
        ("decimal", 0, b"12.30", Kind.DECIMAL, "12.30", "9", b"9"),
        ("bit", 0, b"\0\5", Kind.INTEGER, "5", "6", b"\0\6"),
        ("blob", 0, b"\xff", Kind.BYTES, "ff", "00", b"\0"),
        ("varchar", 0, b"text", Kind.TEXT, "text", "other", b"other"),
    ],
)
def test_values_in_binary(name: str, flags: int, cell: bytes, kind: Kind, text: str, new: str, written: bytes) -> None:
    counted = name in ("decimal", "bit", "blob", "varchar")
    payload = binary_row(wire.counted(cell) if counted else cell)
    made = batch(description(name, is_binary=True, flags=flags), payload)
    (scalar,) = made.row(0).scalars(0)
    assert (scalar.kind, scalar.text) == (kind, text)
    made.row(0).replace(0, [new])
    assert made.row(0).raw(0) == written


@pytest.mark.parametrize(
    ("name", "is_binary", "cell", "texts"),
    [
        ("int", True, struct.pack("<i", 1), [str(1 << 40)]),
        ("int", False, b"1", ["one"]),
        ("bit", False, b"\1", ["300"]),
        ("datetime", True, b"\4" + struct.pack("<HBB", 2026, 1, 2), ["****-**-** 00:00:00"]),
        ("datetime", True, b"\4" + struct.pack("<HBB", 2026, 1, 2), ["2026-13-02 00:00:00"]),
        ("date", False, b"2026-01-02", ["2026-01-02 00:00:00"]),
        ("time", False, b"00:00:00", ["839:00:00"]),
        ("json", True, b"{}", ["[removed]"]),
        ("varchar", False, b"x", []),
        ("varchar", False, b"x", ["a", "b"]),
    ],
)
def test_what_a_type_cannot_hold(name: str, is_binary: bool, cell: bytes, texts: list[str | None]) -> None:
    fixed = is_binary and name in ("int", "datetime")
    payload = binary_row(cell if fixed else wire.counted(cell)) if is_binary else wire.text_row(cell)
    made = batch(description(name, is_binary=is_binary), payload)
    with pytest.raises(ValueError):  # noqa: PT011
        made.row(0).replace(0, texts)


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("date", "2027-03-04", b"\4" + struct.pack("<HBB", 2027, 3, 4)),
        ("date", "0000-00-00", b"\0"),
        ("datetime", "2027-03-04 00:00:00", b"\4" + struct.pack("<HBB", 2027, 3, 4)),
        ("timestamp", "2027-03-04 23:59:58", b"\7" + struct.pack("<HBBBBB", 2027, 3, 4, 23, 59, 58)),
        ("datetime", "2027-03-04 00:00:00.000500", b"\x0b" + struct.pack("<HBBBBBI", 2027, 3, 4, 0, 0, 0, 500)),
        ("time", "00:00:00", b"\0"),
        ("time", "-51:04:05", b"\x08" + struct.pack("<BIBBB", 1, 2, 3, 4, 5)),
        ("time", "838:59:59.500000", b"\x0c" + struct.pack("<BIBBBI", 0, 34, 22, 59, 59, 500000)),
    ],
)
def test_times_are_changed_in_text_and_in_binary(name: str, text: str, written: bytes) -> None:
    old = b"\x08" + struct.pack("<BIBBB", 0, 0, 1, 0, 0) if name == "time" else b"\4" + struct.pack("<HBB", 2026, 1, 2)
    made = batch(description(name, is_binary=True), binary_row(old))
    made.row(0).replace(0, [text])
    assert made.row(0).raw(0) == written[1:]
    assert made.row(0).scalars(0)[0].text == text
    assert made.packets(5) == wire.packet(5, binary_row(written))
    made = batch(description(name, is_binary=False), wire.text_row("x"))
    made.row(0).replace(0, [text])
    assert made.row(0).raw(0) == text.encode()


@pytest.mark.parametrize("is_binary", [False, True])
def test_redacting(is_binary: bool) -> None:
    """What is put there is of the column's type: where that holds no such text, nothing is."""
    names = ("varchar", "int", "blob", "json", *TIMES)
    number = struct.pack("<i", 1) if is_binary else wire.counted(b"1")
    cells = [wire.counted(b"x"), number, wire.counted(b"y"), wire.counted(b"{}"), *[b"\0"] * len(TIMES)]
    payload = binary_row(*cells) if is_binary else b"".join(cells)
    made = batch(description(*names, is_binary=is_binary), payload)
    for column in range(len(names)):
        made.row(0).redact(column, "[removed]")
    expected: list[bytes | None] = [b"[removed]", *[None] * (len(names) - 1)]
    row = binary_row(wire.counted(b"[removed]"), *expected[1:]) if is_binary else wire.text_row(*expected)
    assert made.packets(5) == wire.packet(5, row)


@pytest.mark.parametrize("is_binary", [False, True])
def test_redacting_tells_not_whether_there_was_a_value(is_binary: bool) -> None:
    about = description("varchar", "int", is_binary=is_binary)
    made = batch(about, binary_row(None, None) if is_binary else wire.text_row(None, None))
    for column in range(2):
        made.row(0).redact(column, "[removed]")
    left = binary_row(wire.counted(b"[removed]"), None) if is_binary else wire.text_row(b"[removed]", None)
    assert made.packets(5) == wire.packet(5, left)


@pytest.mark.parametrize(
    "payload", [b"", b"\5ab", b"\1a\1b", b"\xfe" + b"\xff" * 8, b"\xfc\xff", b"\xfd\1", b"\xff", b"\1a" + b"\0"]
)
def test_a_row_that_lies_is_the_servers_fault(payload: bytes) -> None:
    for look in (lambda made: made.offsets(0), lambda made: made.row(0), lambda made: list(made.locate([(4, 5)]))):
        made = batch(description("varchar", is_binary=False), payload)
        with pytest.raises(UpstreamFault):
            look(made)


@given(st.binary(max_size=30), st.booleans())
def test_no_row_raises_anything_else(payload: bytes, is_binary: bool) -> None:
    about = description("bigint", "varchar", "datetime", is_binary=is_binary)
    for look in (lambda made: made.offsets(1), lambda made: [made.row(0).scalars(column) for column in range(3)]):
        try:
            look(batch(about, payload))
        except UpstreamFault as fault:
            assert fault.message  # noqa: PT017


def test_a_value_that_is_none_of_its_type_is_not_quoted() -> None:
    made = batch(description("varchar", is_binary=False), wire.text_row(b"secret\xff"))
    with pytest.raises(UpstreamFault, match="column 1") as fault:
        made.row(0).scalars(0)
    assert "secret" not in fault.value.message
