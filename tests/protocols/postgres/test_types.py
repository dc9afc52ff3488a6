"""Codecs against bytes that a real server sent, and against bytes that none would send."""

import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.postgres.cells import BY_SQL, CELLS, Cell

from gatepost.values import Kind, Scalar
from gatepost_postgres import types
from gatepost_postgres.types import BINARY_FORMAT, TEXT_FORMAT, TYPES, Malformed, encode, scalars, to_text, whole

INT4, INT8, TEXT, NUMERIC, TEXT_ARRAY, INT8_ARRAY, RECORD = 23, 20, 25, 1700, 1009, 1016, 2249
PAN = "4111111111111111"
BOTH = (TEXT_FORMAT, BINARY_FORMAT)


def texts(found: tuple[Scalar, ...]) -> list[str]:
    return [scalar.text for scalar in found]


def tells_more_in_binary(cell: Cell) -> bool:
    """A record's text form doesn't name its types, nor does the server tell of those that users define.

    Names of objects are identifiers in binary, and money has no currency there.
    """
    type_ = TYPES.get(cell.oid)
    return (
        type_ is None
        or Kind.RECORD in (type_.kind, type_.element)
        or type_.name == "money"
        or type_.name.startswith("reg")
    )


@pytest.mark.parametrize("cell", [cell for cell in CELLS if not tells_more_in_binary(cell)], ids=lambda cell: cell.sql)
def test_both_formats_say_the_same(cell: Cell) -> None:
    assert scalars(cell.oid, BINARY_FORMAT, cell.data(BINARY_FORMAT)) == scalars(cell.oid, TEXT_FORMAT, cell.data(0))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "(1,'4111111111111111',4111111111111111,array['t1','t 2'],'2026-11-23')::cards",
            ["1", PAN, PAN, "t1", "t 2", "2026-11-23"],
        ),
        ("row(1,row('in',2))", ["1", "in", "2"]),
        ("array[row(1,'a'),row(2,'b c')]", ["1", "a", "2", "b c"]),
        ('\'a=>1,"b c"=>NULL,"pan"=>"4111111111111111"\'::hstore', ["a", "1", "b c", "pan", PAN]),
        ("array['sad'::mood,'4111111111111111'::mood]", ["sad", PAN]),
        ("'4111111111111111'::mood", [PAN]),
        ("4111111111111111::numeric::money", [f"{PAN}.00"]),
        ("'pg_class'::regclass", ["1259"]),
    ],
)
def test_what_binary_tells(sql: str, expected: list[str]) -> None:
    cell = BY_SQL[sql]
    assert texts(scalars(cell.oid, BINARY_FORMAT, cell.data(BINARY_FORMAT))) == expected


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.sql)
@pytest.mark.parametrize("fmt", BOTH)
def test_the_same_texts_give_the_same_bytes(cell: Cell, fmt: int) -> None:
    data = cell.data(fmt)
    assert encode(cell.oid, fmt, data, texts(scalars(cell.oid, fmt, data))) == data


READ_ONLY = {"tid", "pg_lsn", "time", "timetz", "interval", "point", "lseg", "box", "line", "circle", "path", "polygon"}
READ_ONLY |= {"tsvector"}
# datetime knows no other years, and no infinity. The server gives a numeric infinity a scale that means nothing.
NOT_WRITTEN_ALIKE = ("BC", "infinity", "12345", "5874897", "294276", "'Infinity'::numeric", "'-Infinity'::numeric")


@pytest.mark.parametrize(
    "cell",
    [
        cell
        for cell in CELLS
        if (type_ := TYPES.get(cell.oid)) is not None
        and type_.split is None
        and type_.name not in READ_ONLY
        and not any(word in cell.sql for word in NOT_WRITTEN_ALIKE)
    ],
    ids=lambda cell: cell.sql,
)
def test_a_text_is_written_as_the_server_writes_it(cell: Cell) -> None:
    data = cell.data(BINARY_FORMAT)
    (scalar,) = scalars(cell.oid, BINARY_FORMAT, data)
    assert TYPES[cell.oid].codec.write(scalar.text) == data


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.sql)
def test_damaged_bytes_are_malformed_or_another_value(cell: Cell) -> None:
    data = cell.data(BINARY_FORMAT)
    damaged = [data[:at] for at in range(len(data))] + [data + b"\0", data + b"\0" * 8]
    damaged += [data[:at] + bytes((data[at] ^ bits,)) + data[at + 1 :] for at in range(len(data)) for bits in (1, 128)]
    for each in damaged:
        try:
            found = scalars(cell.oid, BINARY_FORMAT, each)
            assert all(isinstance(scalar.text, str) for scalar in found)
        except Malformed:
            pass
        to_text(cell.oid, each)


@pytest.mark.parametrize(
    ("oid", "data"),
    [
        (INT4, b"\0\0\0"),
        (INT8, b"\0\0\0\0"),
        (TEXT, b"\xff\xfe"),
        (NUMERIC, struct.pack("!HhHHH", 1, 0, 0, 0, 10000)),
        (NUMERIC, struct.pack("!HhHH", 1, 0, 0, 0)),
        (NUMERIC, struct.pack("!HhHHH", 1, 0, 0x1234, 0, 1)),
        (16, b"\2"),
        (3802, b"\2{}"),
        (1560, struct.pack("!i", 9) + b"\0"),
        (INT8_ARRAY, struct.pack("!iiI", 7, 0, 20)),
        (INT8_ARRAY, struct.pack("!iiIii", 1, 0, 20, 1 << 30, 1)),
        (INT8_ARRAY, struct.pack("!iiI" + "ii" * 6, 6, 0, 20, *[1 << 30, 1] * 6)),
        (INT8_ARRAY, struct.pack("!iiIiii", 1, 0, 20, 1, 1, 9)),
        (RECORD, struct.pack("!i", -1)),
        (RECORD, struct.pack("!i", 1 << 30)),
        (RECORD, struct.pack("!iIi", 1, 25, -2)),
        (3904, b""),
        (4451, struct.pack("!i", 1 << 30)),
    ],
)
def test_lies_are_malformed(oid: int, data: bytes) -> None:
    with pytest.raises(Malformed):
        scalars(oid, BINARY_FORMAT, data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "{",
        "{1",
        "1}",
        "{1}}",
        "{1}{2}",
        "{1,}",
        "{,1}",
        '{"a}',
        '{"a"b}',
        "{a{b}}",
        "{1} 2",
        "[0:1]",
        "{{{{{{{1}}}}}}}",
    ],
)
def test_text_arrays_that_are_not_well_formed(text: str) -> None:
    with pytest.raises(Malformed):
        scalars(TEXT_ARRAY, TEXT_FORMAT, text.encode())


@pytest.mark.parametrize("text", ["", "(", "a", "(a", "a)", '("a)', "(a)b", "(a(b)"])
def test_text_records_that_are_not_well_formed(text: str) -> None:
    with pytest.raises(Malformed):
        scalars(RECORD, TEXT_FORMAT, text.encode())


def test_a_value_nested_too_deeply_is_malformed() -> None:
    value = b"x"
    oid = TEXT
    for _ in range(types.MAX_DEPTH + 1):
        value = struct.pack("!iIi", 1, oid, len(value)) + value
        oid = RECORD
    with pytest.raises(Malformed, match="deeply"):
        scalars(RECORD, BINARY_FORMAT, value)


def test_a_value_of_too_many_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types, "MAX_SCALARS", 3)
    assert len(scalars(TEXT_ARRAY, TEXT_FORMAT, b"{1,2,3}")) == 3
    with pytest.raises(Malformed, match="too many"):
        scalars(TEXT_ARRAY, TEXT_FORMAT, b"{1,2,3,4}")


def test_a_few_bytes_of_numeric_do_not_become_a_long_text() -> None:
    for weight, scale in ((32767, 0), (-32768, 16383), (0, 16383)):
        (scalar,) = scalars(NUMERIC, BINARY_FORMAT, struct.pack("!HhHHH", 1, weight, 0, scale, 4111))
        assert len(scalar.text) < 40
    (scalar,) = scalars(NUMERIC, BINARY_FORMAT, struct.pack("!HhHHH", 1, 32767, 0, 0, 4111))
    assert Decimal(scalar.text) == Decimal(f"4111e{4 * 32767}")


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(lambda number: abs(number.adjusted()) < 200)
)
def test_numeric_round_trip(number: Decimal) -> None:
    text = f"{number:f}"
    data = encode(NUMERIC, BINARY_FORMAT, struct.pack("!HhHH", 0, 0, 0, 1), [text])
    assert data is not None
    (scalar,) = scalars(NUMERIC, BINARY_FORMAT, data)
    assert Decimal(scalar.text) == number
    assert scalar.text.partition(".")[2] == text.partition(".")[2]


@given(st.floats(allow_nan=False))
def test_float_round_trip(number: float) -> None:
    (scalar,) = scalars(701, BINARY_FORMAT, struct.pack("!d", number))
    assert float(scalar.text) == number


plain = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


@given(st.lists(plain, min_size=1), st.sampled_from(BOTH))
def test_array_round_trip(values: list[str], fmt: int) -> None:
    blank = b"{" + b",".join([b"x"] * len(values)) + b"}"
    if fmt == BINARY_FORMAT:
        blank = struct.pack("!iiIii", 1, 0, TEXT, len(values), 1) + b"\0\0\0\1x" * len(values)
    data = encode(TEXT_ARRAY, fmt, blank, values)
    assert data is not None
    assert texts(scalars(TEXT_ARRAY, fmt, data)) == values


@given(st.lists(plain, min_size=1), st.sampled_from(BOTH))
def test_record_round_trip(values: list[str], fmt: int) -> None:
    blank = b"(" + b",".join([b"x"] * len(values)) + b")"
    if fmt == BINARY_FORMAT:
        blank = struct.pack("!i", len(values)) + struct.pack("!IiB", TEXT, 1, ord("x")) * len(values)
    data = encode(RECORD, fmt, blank, values)
    assert data is not None
    assert texts(scalars(RECORD, fmt, data)) == values


def assert_value_or_malformed(oid: int, fmt: int, data: bytes) -> None:
    try:
        found = scalars(oid, fmt, data)
    except Malformed:
        return
    assert encode(oid, fmt, data, texts(found)) is not None


@given(st.sampled_from([*TYPES, 0, 99999]), st.sampled_from(BOTH), st.binary())
def test_any_bytes_are_a_value_or_malformed(oid: int, fmt: int, data: bytes) -> None:
    assert_value_or_malformed(oid, fmt, data)


@given(st.sampled_from([TEXT_ARRAY, RECORD, 3904, 4451, 1020, 22]), st.text('{}()[],;" \\\n=:19aN'))
def test_any_text_is_a_value_or_malformed(oid: int, text: str) -> None:
    assert_value_or_malformed(oid, TEXT_FORMAT, text.encode())


@pytest.mark.parametrize("fmt", BOTH)
def test_elements_are_changed_in_their_places(fmt: int) -> None:
    cell = BY_SQL["array[1,null,3]"]
    changed = encode(cell.oid, fmt, cell.data(fmt), ["7", None])
    assert changed is not None
    assert texts(scalars(cell.oid, fmt, changed)) == ["7"]
    if fmt == TEXT_FORMAT:
        assert changed == b"{7,NULL,NULL}"


def test_a_null_in_a_binary_array_without_nulls_is_announced() -> None:
    cell = BY_SQL["array['4111','1111','1111','1111']"]
    changed = encode(cell.oid, BINARY_FORMAT, cell.data(BINARY_FORMAT), ["4111", None, None, "1111"])
    assert changed is not None
    assert struct.unpack_from("!ii", changed) == (1, 1)


def test_bounds_and_nesting_stay() -> None:
    cell = BY_SQL["'[-2:-1][1:2]={{1,2},{3,4}}'::int4[]"]
    assert encode(cell.oid, TEXT_FORMAT, cell.data(0), list("5678")) == b"[-2:-1][1:2]={{5,6},{7,8}}"


@pytest.mark.parametrize(
    ("oid", "data", "text"),
    [
        (INT4, b"\0\0\0\1", "2147483648"),
        (INT4, b"\0\0\0\1", "****"),
        (INT4, b"\0\0\0\1", "\u0661"),
        (NUMERIC, struct.pack("!HhHH", 0, 0, 0, 0), "4111********1111"),
        (NUMERIC, struct.pack("!HhHH", 0, 0, 0, 0), "1e999999"),
        (16, b"\1", "perhaps"),
        (TEXT, b"x", "a\0b"),
        (114, b"{}", "{"),
        (1082, b"\0\0\0\0", "yesterday"),
    ],
)
@pytest.mark.parametrize("fmt", BOTH)
def test_a_type_does_not_hold_every_text(oid: int, data: bytes, text: str, fmt: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        encode(oid, fmt, data if fmt else b"1", [text])
    assert whole(oid, fmt, text) is None


def test_the_number_of_texts_must_be_right() -> None:
    with pytest.raises(ValueError, match="one text"):
        encode(TEXT_ARRAY, TEXT_FORMAT, b"{a,b}", ["x"])


def test_integers_say_what_they_can_hold() -> None:
    assert [scalars(oid, TEXT_FORMAT, b"1")[0].capacity for oid in (21, 23, 20, TEXT)] == [2, 4, 8, 0]


def test_bytes_in_both_text_forms() -> None:
    for text in (rb"\x3431ff", rb"41\377"):
        assert scalars(17, TEXT_FORMAT, text) == (Scalar(Kind.BYTES, "3431ff"),)
    assert encode(17, TEXT_FORMAT, rb"41\377", ["00ff"]) == rb"\x00ff"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (BY_SQL["4111111111111111::numeric(20,2)"].data(1), Scalar(Kind.DECIMAL, f"{PAN}.00")),
        (PAN.encode(), Scalar(Kind.TEXT, PAN)),
        (b"\0\1\xff", Scalar(Kind.BYTES, "0001ff")),
    ],
)
def test_binary_values_that_nothing_is_said_about(data: bytes, expected: Scalar) -> None:
    assert scalars(0, BINARY_FORMAT, data) == (expected,)


# The integer's bytes are those of a text.
READABLE = "6212366859336837432"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (int(PAN).to_bytes(8), [Scalar(Kind.INTEGER, PAN, 8)]),
        (
            struct.pack("!d", int(PAN)),
            [Scalar(Kind.INTEGER, "4840584622390764430", 8), Scalar(Kind.FLOAT, "4.111111111111111e+15")],
        ),
        (struct.pack("!d", 12.5), [Scalar(Kind.INTEGER, "4623226492472524800", 8)]),
        (
            int(READABLE).to_bytes(8),
            [Scalar(Kind.TEXT, "V6\u00bey.i8"), Scalar(Kind.INTEGER, READABLE, 8)],
        ),
        (b"Williams", [Scalar(Kind.TEXT, "Williams")]),
    ],
)
def test_eight_bytes_that_nothing_is_said_about_are_all_that_they_may_be(data: bytes, expected: list[Scalar]) -> None:
    assert list(scalars(0, BINARY_FORMAT, data)) == expected


def test_eight_bytes_are_changed_as_one_of_what_they_may_be() -> None:
    data = int(READABLE).to_bytes(8)
    text, integer = (each.text for each in scalars(0, BINARY_FORMAT, data))
    assert encode(0, BINARY_FORMAT, data, [text, integer]) == data
    assert encode(0, BINARY_FORMAT, data, [text, "9000"]) == (9000).to_bytes(8)
    assert encode(0, BINARY_FORMAT, data, ["other", integer]) == b"other"
    assert encode(0, BINARY_FORMAT, data, ["", integer]) == b""
    for texts in (["other", "9000"], [None, integer]):
        with pytest.raises(ValueError, match="more than one"):
            encode(0, BINARY_FORMAT, data, texts)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("array[1,null,3]", "{1, 3}"),
        ("'\\x34313131'::bytea", r"\x34313131"),
        ("row(1,'a')", "(1, a)"),
        ("4111111111111111::int8", PAN),
    ],
)
def test_binary_cells_for_a_person(sql: str, expected: str) -> None:
    cell = BY_SQL[sql]
    assert to_text(cell.oid, cell.data(BINARY_FORMAT)) == expected


def test_a_malformed_cell_for_a_person_is_hexadecimal() -> None:
    assert to_text(INT8, b"\1\2") == r"\x0102"
