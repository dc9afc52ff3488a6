"""Batches of rows and of COPY lines: what plugins see, what leaves after they changed it."""

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.cards import of_every_brand

from gatepost.errors import UpstreamFault
from gatepost.values import Kind, Scalar
from gatepost_mask.cells import mask_cell
from gatepost_mask.display import Display
from gatepost_mask.rows import mask_rows, plan
from gatepost_postgres.columns import COPY_BINARY, COPY_LINE, Description, describe
from gatepost_postgres.numbers import NUMERIC
from gatepost_postgres.rows import Batch, CopyBatch
from gatepost_postgres.types import BINARY_FORMAT, scalars

PAN = "4111111111111111"
PANS = of_every_brand(13)
MASKED = "************1111"

TEXT, INT4, INT8, BYTEA, JSON, TEXT_ARRAY = 25, 23, 20, 17, 114, 1009


def description(*oids: int, fmt: int = 0) -> Description:
    fields = b"".join(b"c\0" + struct.pack("!IhIhih", 0, 0, oid, -1, -1, fmt) for oid in oids)
    return describe(struct.pack("!h", len(oids)) + fields)


def row(*cells: bytes | None) -> bytes:
    body = struct.pack("!h", len(cells)) + b"".join(
        struct.pack("!i", -1) if cell is None else struct.pack("!i", len(cell)) + cell for cell in cells
    )
    return b"D" + struct.pack("!I", len(body) + 4) + body


def copy(line: bytes) -> bytes:
    return b"d" + struct.pack("!I", len(line) + 4) + line


def starts(messages: Sequence[bytes]) -> list[int]:
    return [sum(map(len, messages[:index])) for index in range(len(messages))]


def batch_of(*rows: Sequence[bytes | None], oids: Sequence[int] = (TEXT, TEXT), fmt: int = 0) -> Batch:
    messages = [row(*cells) for cells in rows]
    return Batch(description(*oids, fmt=fmt), b"".join(messages), starts(messages))


def cells_of(batch: Batch) -> list[list[bytes | None]]:
    buffer = batch.buffer
    columns = [
        [
            None if length < 0 else buffer[offset : offset + length]
            for offset, length in zip(offsets, lengths, strict=True)
        ]
        for offsets, lengths in (
            (batch.offsets(column).tolist(), batch.lengths(column).tolist()) for column in range(len(batch.columns))
        )
    ]
    return [list(cells) for cells in zip(*columns, strict=True)]


cell = st.none() | st.binary(max_size=12)


@given(st.integers(1, 5).flatmap(lambda count: st.lists(st.lists(cell, min_size=count, max_size=count), min_size=1)))
def test_cells_are_found_alike_one_by_one_and_all_at_once(rows: list[list[bytes | None]]) -> None:
    batch = batch_of(*rows, oids=[TEXT] * len(rows[0]))
    assert cells_of(batch) == rows
    assert [[batch.row(i).raw(c) for c in range(len(rows[0]))] for i in range(len(batch))] == rows


def test_what_nobody_changed_is_what_came() -> None:
    batch = batch_of((b"a", None), (b"", PAN.encode()))
    batch.offsets(0)
    batch.row(1).scalars(1)
    assert not batch.changed
    assert batch.output() is batch.buffer


def test_bytes_between_rows_leave_as_they_are() -> None:
    first, unwanted, last = row(b"a"), row(b"unwanted"), row(b"b")
    batch = Batch(description(TEXT), first + unwanted + last, [0, len(first) + len(unwanted)])
    assert cells_of(batch) == [[b"a"], [b"b"]]
    batch.row(1).replace(0, ["longer"])
    assert batch.output() == first + unwanted + row(b"longer")


def test_patches() -> None:
    batch = batch_of((b"1", PAN.encode()), (b"2", None), (b"3", PAN.encode()))
    buffer = batch.buffer
    hits = batch.offsets(1)[batch.lengths(1) == len(PAN)]
    batch.patch(hits[:, np.newaxis] + np.arange(12), ord("*"), len(hits))
    assert batch.changed
    assert batch.masked == 2
    assert batch.output() == row(b"1", MASKED.encode()) + row(b"2", None) + row(b"3", MASKED.encode())
    assert batch.buffer == batch.output()
    assert batch.row(2).raw(1) == MASKED.encode()
    assert PAN.encode() in buffer


def test_a_cell_of_the_same_length_is_patched() -> None:
    batch = batch_of((PAN.encode(), b"x"))
    batch.row(0).replace(0, [MASKED])
    assert batch.output() == row(MASKED.encode(), b"x")
    assert (batch.masked, batch.buffer) == (1, batch.output())


def test_changes_at_length_and_patches_together() -> None:
    batch = batch_of((b"a", PAN.encode()), (b"b", PAN.encode()), (b"c", b"d"))
    batch.row(0).replace(0, ["much longer"])
    batch.row(2).replace(1, [None])
    batch.patch(batch.offsets(1)[:2, np.newaxis] + np.arange(12), ord("*"), 2)
    masked = MASKED.encode()
    assert batch.output() == row(b"much longer", masked) + row(b"b", masked) + row(b"c", None)
    assert batch.masked == 4


def test_rows_are_dropped() -> None:
    batch = batch_of((b"a", b"1"), (b"b", b"2"), (b"c", b"3"))
    batch.drop(0)
    batch.row(2).drop()
    batch.row(2).replace(0, ["changed, and yet dropped"])
    assert batch.output() == row(b"b", b"2")
    assert (batch.changed, batch.dropped) == (True, 2)
    batch.drop(1)
    assert batch.output() == b""


def test_a_cell_counts_once_however_often_it_is_changed() -> None:
    batch = batch_of((b"a", b"b"))
    batch.row(0).replace(0, ["xx"])
    batch.row(0).replace(0, ["xxx"])
    batch.row(0).replace(1, ["b"])
    assert batch.masked == 1


def test_a_second_plugin_sees_what_the_first_made() -> None:
    batch = batch_of((b"a", b"1"), (b"b", b"2"), (b"c", b"3"))
    batch.row(0).replace(0, [f"now {PAN}"])
    batch.drop(1)
    batch.settle()
    assert cells_of(batch) == [[f"now {PAN}".encode(), b"1"], [b"b", b"2"], [b"c", b"3"]]
    batch.patch(batch.offsets(0)[:1, np.newaxis] + 4 + np.arange(12), ord("*"), 1)
    batch.row(2).replace(1, ["33"])
    assert batch.output() == row(f"now {MASKED}".encode(), b"1") + row(b"c", b"33")
    assert batch.masked == 3


@pytest.mark.parametrize(
    ("oid", "fmt", "data", "left"),
    [
        (TEXT, 0, b"secret", b"[removed]"),
        (TEXT, 1, b"secret", b"[removed]"),
        (INT4, 0, b"41", None),
        (INT8, 1, bytes(8), None),
        (BYTEA, 0, rb"\x41", None),
        (BYTEA, 1, b"A", None),
        (JSON, 0, b"{}", None),
        (TEXT_ARRAY, 0, b"{a}", None),
        (1082, 0, b"2026-11-23", None),
        (99999, 0, b"sad", b"[removed]"),
        (99999, 1, b"sad", None),
        # Whether there was a value is not told either.
        (TEXT, 0, None, b"[removed]"),
        (TEXT, 1, None, b"[removed]"),
        (INT8, 1, None, None),
    ],
)
def test_redaction(oid: int, fmt: int, data: bytes | None, left: bytes | None) -> None:
    batch = batch_of((data,), oids=(oid,), fmt=fmt)
    batch.row(0).redact(0, "[removed]")
    assert batch.output() == row(left)


def test_a_number_may_be_redacted_by_a_number() -> None:
    batch = batch_of((b"41",), oids=(INT4,))
    batch.row(0).redact(0, "0")
    assert batch.output() == row(b"0")


def test_null_has_no_values() -> None:
    batch = batch_of((None, b"x"))
    one = batch.row(0)
    assert one.scalars(0) == ()
    one.replace(0, [])
    with pytest.raises(ValueError, match="NULL"):
        one.replace(0, ["x"])
    assert not batch.changed


def test_binary_numbers_stay_numbers() -> None:
    batch = batch_of((int(PAN).to_bytes(8),), oids=(INT8,), fmt=1)
    one = batch.row(0)
    assert one.scalars(0) == (Scalar(Kind.INTEGER, PAN, 8),)
    one.replace(0, ["9000000000001111"])
    assert batch.output() == row((9000000000001111).to_bytes(8))
    with pytest.raises(ValueError, match="integer"):
        one.replace(0, [MASKED])


def test_malformed_cells_are_the_servers_fault_and_are_not_quoted() -> None:
    one = batch_of((b"secret\xff", b"x")).row(0)
    for act in (lambda: one.scalars(0), lambda: one.replace(0, ["x"])):
        with pytest.raises(UpstreamFault) as raised:
            act()
        assert "secret" not in str(raised.value)


LIES = [
    row(b"a"),
    row(b"a", b"b", b"c"),
    row(b"a", b"b")[:-1] + b"",
    row(b"a", b"b").replace(b"\0\0\0\1b", b"\0\0\0\2b"),
    row(b"a", b"b").replace(b"\0\0\0\1b", b"\0\0\0\0b"),
    row(b"a", b"b").replace(b"\0\0\0\1a", b"\xff\xff\xff\xfea"),
    row(b"a", b"b").replace(b"\0\0\0\1a", b"\x7f\xff\xff\xffa"),
    row(b"a", b"b").replace(b"\0\0\0\1b", b"\x7f\xff\xff\xffb"),
    b"D\0\0\0\4",
    b"D\0\0\0\6\0\2",
    b"D\xff\xff\xff\xff\0\2",
]


@pytest.mark.parametrize("lie", LIES)
def test_rows_that_lie_are_the_servers_fault(lie: bytes) -> None:
    good = row(b"a", b"b")
    for messages, index in (([lie], 0), ([good, lie], 1)):
        for act in (lambda batch: batch.offsets(0), lambda batch, at=index: batch.row(at)):
            with pytest.raises(UpstreamFault):
                act(Batch(description(TEXT, TEXT), b"".join(messages), starts(messages)))


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 255)), max_size=3))
def test_damaged_rows_are_read_alike_one_by_one_and_all_at_once(damage: list[tuple[int, int]]) -> None:
    data = bytearray(row(b"a", None, b"ccc", b"") + b"tail of another message")
    for at, value in damage:
        data[at % len(data)] = value
    batch = Batch(description(*[TEXT] * 4), bytes(data), [0])
    try:
        one = [batch.row(0).raw(column) for column in range(4)]
    except UpstreamFault:
        with pytest.raises(UpstreamFault):
            batch.offsets(0)
    else:
        assert cells_of(batch) == [one]


def test_a_row_must_not_reach_into_the_next() -> None:
    lie = row(b"a", row(b"x", b"y"))
    with pytest.raises(UpstreamFault):
        Batch(description(TEXT, TEXT), lie, [0, len(lie) - len(row(b"x", b"y"))]).offsets(0)


def test_there_are_no_other_rows() -> None:
    batch = batch_of((b"a", b"b"))
    for index in (-1, 1):
        with pytest.raises(IndexError):
            batch.row(index)
        with pytest.raises(IndexError):
            batch.drop(index)


def test_no_rows() -> None:
    batch = Batch(description(TEXT), b"", [])
    assert len(batch) == len(batch.offsets(0)) == 0
    assert batch.output() == b""


def copy_batch(*lines: bytes, about: Description = COPY_LINE) -> CopyBatch:
    messages = [copy(line) for line in lines]
    return CopyBatch(about, b"".join(messages), starts(messages))


def test_lines_of_copy() -> None:
    batch = copy_batch(b"1\t" + PAN.encode() + b"\n", b"\\N\n", b"")
    assert batch.lengths(0).tolist() == [19, 3, 0]
    assert [batch.row(index).scalars(0) for index in range(3)] == [
        (Scalar(Kind.TEXT, f"1\t{PAN}"),),
        (Scalar(Kind.TEXT, "\\N"),),
        (Scalar(Kind.TEXT, ""),),
    ]
    assert not batch.changed


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_the_end_of_a_line_stays(end: bytes) -> None:
    batch = copy_batch(PAN.encode() + end, b"a" + end, b"b" + end)
    batch.row(0).replace(0, [MASKED])
    batch.row(1).replace(0, ["longer"])
    batch.row(2).redact(0, "[removed]")
    assert batch.output() == copy(MASKED.encode() + end) + copy(b"longer" + end) + copy(b"[removed]" + end)
    assert batch.masked == 3


def test_lines_are_patched_and_dropped() -> None:
    batch = copy_batch(PAN.encode() + b"\n", b"a\n")
    batch.patch(batch.offsets(0)[:1, np.newaxis] + np.arange(12), ord("*"), 1)
    batch.drop(1)
    assert batch.output() == copy(MASKED.encode() + b"\n")


def test_a_line_cannot_be_null() -> None:
    with pytest.raises(ValueError, match="NULL"):
        copy_batch(b"a\n").row(0).replace(0, [None])


def test_a_line_in_another_encoding_is_a_fault() -> None:
    with pytest.raises(UpstreamFault):
        copy_batch(b"\xff\n").row(0).scalars(0)


HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


def test_copy_in_binary_format() -> None:
    tuples = row(PAN.encode(), int(PAN).to_bytes(8), None)[5:], row(b"x", bytes(8), None)[5:]
    batch = copy_batch(HEADER + tuples[0], tuples[1], TRAILER, about=COPY_BINARY)
    assert [len(batch.row(index).scalars(0)) for index in range(3)] == [2, 2, 0]
    assert [scalar.text for scalar in batch.row(0).scalars(0)] == [PAN, PAN]
    batch.row(0).replace(0, [f"{MASKED}!", "0"])
    assert batch.output() == b"".join(
        map(copy, (HEADER + row(f"{MASKED}!".encode(), bytes(8), None)[5:], tuples[1], TRAILER))
    )


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(int("6212366859336837432").to_bytes(8), id="an integer that reads as text"),
        pytest.param(struct.pack("!d", int(PAN)), id="a float"),
        # As an integer it is a card number, too.
        pytest.param(struct.pack("!d", 4398259791907482), id="a float and an integer"),
    ],
)
def test_numbers_in_eight_bytes_do_not_leave_in_copy_in_binary_format(cell: bytes) -> None:
    batch = copy_batch(HEADER + row(cell, b"x")[5:], about=COPY_BINARY)
    mask_rows(batch, plan(batch.columns), Display.LAST4)
    assert cell not in batch.output()


@pytest.mark.parametrize(
    "number",
    [pytest.param(int(PAN).to_bytes(8), id="int8"), pytest.param(NUMERIC.write(PAN), id="numeric")],
)
def test_a_domain_over_numbers_in_an_array_hides_none(number: bytes) -> None:
    """In an array, its own oid is told and not that of what it is over."""
    domain, array_of_it = 16500, 16501
    array = struct.pack("!iiIii", 1, 0, domain, 1, 1) + struct.pack("!i", len(number)) + number
    for oid in (array_of_it, 0):
        assert PAN in [scalar.text for scalar in scalars(oid, BINARY_FORMAT, array)]


@pytest.mark.parametrize("data", [b"\0", b"\0\1", b"\xff\xfe", TRAILER + b"\0", HEADER[:-1], row(b"a")[5:] + b"\0"])
def test_copy_in_binary_format_that_lies(data: bytes) -> None:
    with pytest.raises(UpstreamFault):
        copy_batch(data, about=COPY_BINARY).row(0).scalars(0)


def test_a_message_of_copy_that_lies() -> None:
    for message in (b"d\0\0\0\x09abc", b"d\0\0\0\3"):
        for act in (lambda batch: batch.offsets(0), lambda batch: batch.row(0)):
            with pytest.raises(UpstreamFault):
                act(CopyBatch(COPY_LINE, message, [0]))


@given(
    rows=st.lists(st.tuples(*[st.one_of(st.none(), st.binary(max_size=9))] * 3), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 200), max_size=8, unique=True),
)
def test_cells_are_located_by_their_bytes(rows, cuts):
    batch = batch_of(*rows, oids=(TEXT, TEXT, TEXT))
    cuts = sorted(cut for cut in cuts if cut <= len(batch.buffer))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    expected = []
    for start, end in spans:
        for index in range(len(batch)):
            for column in range(3):
                first, length = int(batch.offsets(column)[index]), int(batch.lengths(column)[index])
                if length > 0 and first < end and first + length > start:
                    shared = (max(first, start), min(first + length, end))
                    expected.append((index, column, first, first + length, *shared))
    assert list(batch.locate(spans)) == expected


def test_bytes_of_a_cell_are_overwritten_in_place():
    batch = batch_of((b"1", PAN.encode()), (b"2", PAN.encode()))
    (place,) = batch.locate([(batch.buffer.rindex(b"4111"), len(batch.buffer))])
    assert place[:2] == (1, 1)
    batch.overwrite([(place[2], MASKED.encode())])
    assert batch.masked == 1
    assert batch.output() == row(b"1", PAN.encode()) + row(b"2", MASKED.encode())


def test_a_row_whose_lengths_lie_is_not_located_in():
    data = bytearray(row(b"1", PAN.encode()))
    data[10] += 1
    batch = Batch(description(TEXT, TEXT), bytes(data), [0])
    with pytest.raises(UpstreamFault):
        list(batch.locate([(0, len(data))]))


LONG = "0123456789"
CELL = st.one_of(
    st.none(),
    st.text(LONG, min_size=10, max_size=21).map(str.encode),
    st.text(st.characters(exclude_characters="\0", max_codepoint=0x7F), max_size=24).map(str.encode),
    st.sampled_from([b"", b"\x10" + b"4" * 15, b"\x0c" * 3 + b"4" * 13]),
)


@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6),
    oids=st.tuples(*[st.sampled_from([TEXT, INT8])] * 3),
)
def test_a_glance_at_the_framing_finds_the_cells_of_digits_alone(rows, oids):
    batch = batch_of(*rows, oids=oids)
    expected = []
    for index in range(len(rows)):
        for column in range(3):
            start, length = int(batch.offsets(column)[index]), int(batch.lengths(column)[index])
            if 12 <= length <= 19 and batch.buffer[start : start + length].isdigit():
                expected.append((Kind.TEXT if oids[column] == TEXT else Kind.INTEGER, start, start + length))
    found = [(kind, start, start + length) for kind, length, places in batch.places(range(12, 20)) for start in places]
    found = [cell for cell in found if batch.buffer[cell[1] : cell[2]].isdigit()]
    # Behind an empty cell they are not told.
    told = [cell for cell in expected if batch.buffer[cell[1] - 5]]
    assert sorted(found, key=lambda cell: cell[1]) == told


@pytest.mark.parametrize("pan", PANS)
def test_a_long_cell_behind_an_empty_one_is_taken_for_no_number_that_its_length_ends(pan):
    """The zeros of an empty cell's length, and a length such as 0x1034, are three zeros, 16 and a four."""
    length = (len(pan) << 8) + ord(pan[0])
    batch = batch_of((b"", (pan[1:] + "x" * length)[:length].encode()))
    mask_rows(batch, plan(batch.columns), Display.LAST4)
    assert batch.buffer[:15] == row(b"", b"x" * length)[:15]
    assert len(batch.row(0).raw(1)) == length


def test_cells_that_are_no_characters_and_very_many_columns_are_not_glanced_at():
    assert not list(batch_of((PAN.encode(), b"12345678"), oids=(TEXT, INT8), fmt=1).places(range(12, 20)))
    many = Batch(description(*[TEXT] * 256), row(*[PAN.encode()] * 256), [0])
    assert not list(many.places(range(12, 20)))


NUMBER = st.one_of(
    st.sampled_from(PANS).map(str.encode),
    st.text(LONG, min_size=12, max_size=17).map(str.encode),
    st.sampled_from([b"4111111111111111", b"4111111111111112", b"4000000000000000", b"0411111111111111", b"x", b""]),
)


@example(rows=[(b"342504380349546", b"2200000000000001")], oid=INT8, display=Display.BIN_LAST4)
@example(rows=[(b"4000000000000002", b"4000000000000002")], oid=INT8, display=Display.BIN_LAST4)
@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(NUMBER, st.one_of(NUMBER, CELL)), min_size=1, max_size=12),
    oid=st.sampled_from([TEXT, INT8]),
    display=st.sampled_from(list(Display)),
)
def test_numbers_that_fill_a_cell_are_masked_together_as_each_is_by_itself(rows, oid, display):
    if oid == INT8:
        rows = [tuple(cell if cell and cell.isdigit() else None for cell in cells) for cells in rows]
        rows = [tuple(cell if cell and int(cell) < 1 << 63 else None for cell in cells) for cells in rows]
    batch, expected = batch_of(*rows, oids=(oid, oid)), batch_of(*rows, oids=(oid, oid))
    mask_rows(batch, plan(batch.columns), display)
    for index in range(len(rows)):
        for column in range(2):
            one = expected.row(index)
            texts = mask_cell(one.scalars(column), display)
            if texts is not None:
                one.replace(column, texts)
    assert batch.output() == expected.output()
    assert batch.masked == expected.masked


def test_what_was_rewritten_is_what_leaves_and_what_is_patched_next():
    batch = batch_of((b"1", PAN.encode()), (b"2", PAN.encode()))
    batch.overwrite([(batch.buffer.index(b"4111"), b"5")])
    batch.rewrite(batch.buffer.replace(b"4111", b"****"), 1)
    batch.overwrite([(batch.buffer.index(b"****"), b"+")])
    assert batch.changed
    assert batch.masked == 3
    assert batch.output() == row(b"1", b"5" + PAN[1:].encode()) + row(b"2", b"+***" + PAN[4:].encode())
