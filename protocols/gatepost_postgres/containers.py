"""Values that hold other values: arrays, records, ranges, in their binary and their text form.

Each reader takes a value apart into cells and a `join` that puts others into their place. A cell is in the same format
as the whole. Readers are strict and raise ValueError; every count is checked against the bytes that are there.

Source: PostgreSQL 18 documentation, 8.15.6, 8.16.6, 8.17.5 (input and output syntax); array_send, record_send,
range_send, multirange_send and hstore_send for the binary forms.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Final, NamedTuple

MAX_DIMENSIONS: Final = 6  # PostgreSQL's MAXDIM
MAX_CELLS: Final = 1 << 20

Cell = bytes | None


class Parts(NamedTuple):
    """A value taken apart.

    Attributes:
        cells: what it holds, in order; None for NULL.
        oids: the type of each cell; 0 where nothing says.
        join: makes the same value with other cells, one for each.
    """

    cells: list[Cell]
    oids: list[int]
    join: Callable[[Sequence[Cell]], bytes]


_int = struct.Struct("!i")
_pair = struct.Struct("!Ii")
_array_header = struct.Struct("!iiI")


def _framed(cell: Cell) -> bytes:
    return b"\xff\xff\xff\xff" if cell is None else _int.pack(len(cell)) + cell


def _take(data: bytes, at: int) -> tuple[Cell, int]:
    """The cell that a length stands before, and where it ends."""
    (length,) = _int.unpack_from(data, at)
    at += 4
    if length == -1:
        return None, at
    if length < 0 or at + length > len(data):
        raise ValueError("a length reaches beyond the value")
    return data[at : at + length], at + length


def _bounded(count: int, most: int) -> None:
    """`count` cells are possible where there is room for `most`."""
    if not 0 <= count <= min(most, MAX_CELLS):
        raise ValueError("a value says it holds more than it can, or than is read")


def _at_end(data: bytes, at: int) -> None:
    if at != len(data):
        raise ValueError("bytes follow the end of the value")


def binary_array(data: bytes) -> Parts:
    dimensions, flags, element = _array_header.unpack_from(data)
    at = _array_header.size + 8 * dimensions
    if not 0 <= dimensions <= MAX_DIMENSIONS or flags not in (0, 1) or at > len(data):
        raise ValueError("an array has an impossible header")
    sizes = struct.unpack_from("!" + "ii" * dimensions, data, _array_header.size)[0::2]
    count = prod(sizes) if sizes else 0
    if any(size < 0 for size in sizes):
        raise ValueError("an array has an impossible header")
    _bounded(count, (len(data) - at) // 4)
    bounds = data[_array_header.size : at]
    cells: list[Cell] = []
    for _ in range(count):
        cell, at = _take(data, at)
        cells.append(cell)
    _at_end(data, at)

    def join(cells: Sequence[Cell]) -> bytes:
        has_null = flags or None in cells
        return _array_header.pack(dimensions, has_null, element) + bounds + b"".join(map(_framed, cells))

    return Parts(cells, [element] * count, join)


def binary_record(data: bytes) -> Parts:
    (count,) = _int.unpack_from(data)
    _bounded(count, (len(data) - 4) // 8)
    at = 4
    cells: list[Cell] = []
    oids: list[int] = []
    for _ in range(count):
        oids.append(_pair.unpack_from(data, at)[0])
        cell, at = _take(data, at + 4)
        cells.append(cell)
    _at_end(data, at)

    def join(cells: Sequence[Cell]) -> bytes:
        return data[:4] + b"".join(oid.to_bytes(4) + _framed(cell) for oid, cell in zip(oids, cells, strict=True))

    return Parts(cells, oids, join)


_EMPTY: Final = 0x01
_LOWER_ABSENT: Final = 0x08 | 0x20 | _EMPTY
_UPPER_ABSENT: Final = 0x10 | 0x40 | _EMPTY


def binary_range(data: bytes, bound: int) -> Parts:
    if not data:
        raise ValueError("a range has no flags")
    flags = data[0]
    at = 1
    cells: list[Cell] = []
    for absent in (_LOWER_ABSENT, _UPPER_ABSENT):
        if not flags & absent:
            cell, at = _take(data, at)
            if cell is None:
                raise ValueError("a bound of a range is NULL")
            cells.append(cell)
    _at_end(data, at)

    def join(cells: Sequence[Cell]) -> bytes:
        return data[:1] + b"".join(map(_framed, _not_null(cells)))

    return Parts(cells, [bound] * len(cells), join)


def binary_multirange(data: bytes, inner: int) -> Parts:
    (count,) = _int.unpack_from(data)
    _bounded(count, (len(data) - 4) // 4)
    at = 4
    cells: list[Cell] = []
    for _ in range(count):
        cell, at = _take(data, at)
        cells.append(cell)
    _at_end(data, at)

    def join(cells: Sequence[Cell]) -> bytes:
        return data[:4] + b"".join(map(_framed, _not_null(cells)))

    return Parts(cells, [inner] * count, join)


_COPY_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
_copy_header = struct.Struct("!11sII")
_copy_count = struct.Struct("!h")
# As the server sends them.
COPY_HEADER: Final = _copy_header.pack(_COPY_SIGNATURE, 0, 0)
COPY_TRAILER: Final = _copy_count.pack(-1)


def copy_tuples(data: bytes) -> Parts:
    """What a CopyData of COPY in binary format holds: the header, tuples, the trailer, each of them or not.

    Source: PostgreSQL 18 documentation, COPY, "Binary Format".
    """
    at = 0
    if data.startswith(_COPY_SIGNATURE):
        _, _, extension = _copy_header.unpack_from(data)
        at = _copy_header.size + extension
    pieces: list[bytes] = []
    cells: list[Cell] = []
    piece_from = 0
    count = 0
    while at < len(data) and count >= 0:
        (count,) = _copy_count.unpack_from(data, at)
        at += _copy_count.size
        for _ in range(count):
            pieces.append(data[piece_from:at])
            cell, at = _take(data, at)
            cells.append(cell)
            piece_from = at
        _bounded(len(cells), MAX_CELLS)
    if count < -1:
        raise ValueError("a tuple of COPY has a negative number of fields")
    _at_end(data, at)
    pieces.append(data[piece_from:])

    def join(cells: Sequence[Cell]) -> bytes:
        return _interleave(pieces, map(_framed, cells))

    return Parts(cells, [0] * len(cells), join)


def binary_hstore(data: bytes, text: int) -> Parts:
    (count,) = _int.unpack_from(data)
    _bounded(count, (len(data) - 4) // 8)
    at = 4
    cells: list[Cell] = []
    for _ in range(2 * count):
        cell, at = _take(data, at)
        cells.append(cell)
    _at_end(data, at)
    if None in cells[0::2]:
        raise ValueError("a key of an hstore is NULL")

    def join(cells: Sequence[Cell]) -> bytes:
        _not_null(cells[0::2])
        return data[:4] + b"".join(map(_framed, cells))

    return Parts(cells, [text] * len(cells), join)


def _not_null(cells: Iterable[Cell]) -> list[bytes]:
    present = [cell for cell in cells if cell is not None]
    if len(present) != len(list(cells)):
        raise ValueError("this part of a value cannot be NULL")
    return present


def _interleave(pieces: Sequence[bytes], cells: Iterable[bytes]) -> bytes:
    return pieces[0] + b"".join(part for pair in zip(cells, pieces[1:], strict=True) for part in pair)


_BOUNDS: Final = re.compile(rb"(?:\[[-+]?[0-9]{1,10}(?::[-+]?[0-9]{1,10})?\]){1,6}=")
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)


def _array_token(delimiter: str) -> re.Pattern[bytes]:
    return re.compile(
        rf'\s*+(?:([{{}}{delimiter}])|"((?:[^"\\]|\\.)*+)"|((?:[^"{{}}\\{delimiter}]|\\.)++))\s*+'.encode(), re.DOTALL
    )


_ARRAY_TOKENS: Final = {b",": _array_token(","), b";": _array_token(";")}
_ARRAY_QUOTED: Final = re.compile(rb'["\\{}\s]|\Anull\Z|\A\Z', re.IGNORECASE)


def _array_cell(cell: Cell, delimiter: bytes) -> bytes:
    if cell is None:
        return b"NULL"
    if delimiter in cell or _ARRAY_QUOTED.search(cell):
        return b'"' + cell.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return cell


def text_array(data: bytes, element: int, delimiter: bytes = b",") -> Parts:
    """`{1,NULL,"a b"}`, nested, with or without bounds before it."""
    bounds = _BOUNDS.match(data)
    at = start = bounds.end() if bounds else 0
    pieces: list[bytes] = []
    cells: list[Cell] = []
    token = _ARRAY_TOKENS[delimiter].match
    depth = 0
    wants_value, may_close = True, False  # what may come next
    piece_from = 0
    while at < len(data):
        match = token(data, at)
        if match is None or (depth == 0 and at != start):
            raise ValueError("an array is not well formed")
        mark, quoted, plain = match.groups()
        if mark == b"{":
            if not wants_value or depth == MAX_DIMENSIONS:
                raise ValueError("an array is not well formed")
            depth += 1
            may_close = True
        elif mark == b"}":
            if not may_close:
                raise ValueError("an array is not well formed")
            depth -= 1
            wants_value, may_close = False, True
        elif mark is not None:
            if wants_value:
                raise ValueError("an array is not well formed")
            wants_value, may_close = True, False
        else:
            if not wants_value or depth == 0:
                raise ValueError("an array is not well formed")
            group = 2 if plain is None else 3
            cell = quoted if plain is None else plain.strip()
            pieces.append(data[piece_from : match.start(group) - (group == 2)])
            piece_from = match.end(group) + (group == 2)
            is_null = plain is not None and cell.upper() == b"NULL"
            cells.append(None if is_null else _ESCAPE.sub(rb"\1", cell))
            _bounded(len(cells), MAX_CELLS)
            wants_value, may_close = False, True
        at = match.end()
    if depth or at == start:
        raise ValueError("an array is not well formed")
    pieces.append(data[piece_from:])

    def join(cells: Sequence[Cell]) -> bytes:
        return _interleave(pieces, (_array_cell(cell, delimiter) for cell in cells))

    return Parts(cells, [element] * len(cells), join)


def text_vector(data: bytes, element: int) -> Parts:
    """The form of int2vector and oidvector: numbers with spaces between them."""
    _bounded(data.count(b" "), len(data))
    cells: list[Cell] = [*data.split()]

    def join(cells: Sequence[Cell]) -> bytes:
        return b" ".join(_not_null(cells))

    return Parts(cells, [element] * len(cells), join)


_RECORD_FIELD: Final = re.compile(rb'(?:"(?:[^"\\]|\\.|"")*+"|[^",()\\]|\\.)*+', re.DOTALL)
_QUOTED_PART: Final = re.compile(rb'"((?:[^"\\]|\\.|"")*+)"|\\(.)', re.DOTALL)
_QUOTED_CHARACTER: Final = re.compile(rb'\\(.)|""', re.DOTALL)
_FIELD_QUOTED: Final = re.compile(rb'["\\(),\s]|\A\Z')
_BOUND_QUOTED: Final = re.compile(rb'["\\(),\[\]\s]|\A\Z')


def _unquote(field: bytes) -> bytes:
    if b'"' not in field and b"\\" not in field:
        return field
    return _QUOTED_PART.sub(lambda part: part[2] or _QUOTED_CHARACTER.sub(_unescape, part[1]), field)


def _unescape(character: re.Match[bytes]) -> bytes:
    return character[1] or b'"'


def _quote(cell: bytes, special: re.Pattern[bytes]) -> bytes:
    if special.search(cell):
        return b'"' + cell.replace(b"\\", b"\\\\").replace(b'"', b'""') + b'"'
    return cell


def text_record(data: bytes) -> Parts:
    """`(1,,"a b")`: an empty field is NULL. The text does not say of which types its fields are."""
    if len(data) < 2 or data[:1] != b"(" or data[-1:] != b")":
        raise ValueError("a record is not well formed")
    cells: list[Cell] = []
    at = 1
    while True:
        match = _RECORD_FIELD.match(data, at)
        if match is None:
            raise ValueError("a record is not well formed")
        cells.append(_unquote(match[0]) if match[0] else None)
        _bounded(len(cells), MAX_CELLS)
        at = match.end()
        if data[at : at + 1] != b",":
            break
        at += 1
    _at_end(data, at + 1)

    def join(cells: Sequence[Cell]) -> bytes:
        return b"(" + b",".join(b"" if cell is None else _quote(cell, _FIELD_QUOTED) for cell in cells) + b")"

    return Parts(cells, [0] * len(cells), join)


_BOUND: Final = rb'((?:"(?:[^"\\]|\\.|"")*+"|[^",()\[\]\\]|\\.)*+)'
_RANGE: Final = re.compile(rb"[\[(]" + _BOUND + rb"," + _BOUND + rb"[\])]", re.DOTALL)


def text_range(data: bytes, bound: int) -> Parts:
    """`[1,10)`, `(,"a b"]`, `empty`: an empty bound is no value but infinity."""
    if data == b"empty":
        return Parts([], [], lambda _: data)
    match = _RANGE.fullmatch(data)
    if match is None:
        raise ValueError("a range is not well formed")
    spans = [match.span(group) for group in (1, 2) if match[group]]
    cells: list[Cell] = [_unquote(data[start:end]) for start, end in spans]
    edges = [0, *(edge for span in spans for edge in span), len(data)]
    pieces = [data[start:end] for start, end in zip(edges[0::2], edges[1::2], strict=True)]

    def join(cells: Sequence[Cell]) -> bytes:
        return _interleave(pieces, (_quote(cell, _BOUND_QUOTED) for cell in _not_null(cells)))

    return Parts(cells, [bound] * len(cells), join)


def text_multirange(data: bytes, inner: int) -> Parts:
    """`{[1,3),[5,7)}`."""
    if len(data) < 2 or data[:1] != b"{" or data[-1:] != b"}":
        raise ValueError("a multirange is not well formed")
    cells: list[Cell] = []
    at = 1
    while at < len(data) - 1:
        match = _RANGE.match(data, at)
        if match is None:
            raise ValueError("a multirange is not well formed")
        cells.append(match[0])
        _bounded(len(cells), MAX_CELLS)
        at = match.end()
        if at < len(data) - 1:
            if data[at : at + 1] != b",":
                raise ValueError("a multirange is not well formed")
            at += 1

    def join(cells: Sequence[Cell]) -> bytes:
        return b"{" + b",".join(_not_null(cells)) + b"}"

    return Parts(cells, [inner] * len(cells), join)
