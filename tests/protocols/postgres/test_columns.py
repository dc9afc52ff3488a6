"""RowDescriptions: what is read, what is written, what is refused."""

import struct

import pytest

from gatepost.errors import UpstreamFault
from gatepost.values import Kind
from gatepost_postgres.columns import describe


def field(name: bytes, oid: int, fmt: int = 0, table: int = 0, attribute: int = 0) -> bytes:
    return name + b"\0" + struct.pack("!IhIhih", table, attribute, oid, -1, -1, fmt)


def body(*fields: bytes) -> bytes:
    return struct.pack("!h", len(fields)) + b"".join(fields)


def test_columns_are_read() -> None:
    description = describe(
        body(field(b"id", 20, 1, 16400, 1), field(b"pan", 25, 1, 16400, 2), field(b"n", 1016), field(b"mood", 16999, 1))
    )
    columns = description.columns
    assert description.names == ("id", "pan", "n", "mood")
    assert [column.kind for column in columns] == [Kind.INTEGER, Kind.TEXT, Kind.ARRAY, Kind.OTHER]
    assert [column.is_text for column in columns] == [False, True, True, False]
    assert [column.type_name for column in columns] == ["int8", "text", "_int8", "16999"]
    assert [column.origin for column in columns] == [(16400, 1), (16400, 2), None, None]
    assert columns[2].element is Kind.INTEGER


def test_no_columns() -> None:
    assert describe(body()).columns == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\xff\xff",
        body(field(b"a", 25))[:-1],
        body(field(b"a", 25)) + b"\0",
        struct.pack("!h", 2) + field(b"a", 25),
        struct.pack("!h", 1) + b"a",
        body(field(b"\xff", 25)),
        body(field(b"a", 25, 2)),
    ],
)
def test_malformed_descriptions(data: bytes) -> None:
    with pytest.raises(UpstreamFault):
        describe(data)


def test_every_truncation_is_malformed() -> None:
    whole = body(field(b"id", 20, 1, 16400, 1), field(b"pan", 25))
    for at in range(len(whole)):
        with pytest.raises(UpstreamFault):
            describe(whole[:at])


def test_names_are_changed_and_nothing_else() -> None:
    description = describe(body(field(b"4111111111111111", 25, 0, 7, 3), field(b"b", 20, 1)))
    assert description.with_names(description.names) == description.body
    changed = description.with_names(["************1111", "c"])
    assert changed == body(field(b"************1111", 25, 0, 7, 3), field(b"c", 20, 1))
    assert describe(changed).names == ("************1111", "c")


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], ["a", "b\0"]])
def test_names_that_do_not_fit(names: list[str]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        describe(body(field(b"a", 25), field(b"b", 25))).with_names(names)


def test_the_repr_shows_no_name() -> None:
    assert "4111" not in repr(describe(body(field(b"4111111111111111", 25))))
