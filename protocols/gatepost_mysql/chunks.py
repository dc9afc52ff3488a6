"""Where the rows of a chunk begin: the length of each packet leads to the next one.

Source: MySQL internals manual, "MySQL Packets" and "Text Resultset".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from gatepost_mysql import messages
from gatepost_mysql.frames import HEADER_BYTES, LONGEST, header

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where rows begin, ascending.
Starts: TypeAlias = "Sequence[int] | NDArray[Any]"

_EOF: Final = messages.EOF
# From here on numpy pays.
_LARGE: Final = 24 * 1024
# A length below this has two zeros behind its first byte.
_SHORT: Final = 256
_ZEROS: Final = b"\0\0"
_NONE: Final = np.empty(0, dtype=np.int64)
# Of the packets of a chunk.
_NUMBERS: Final = np.tile(np.arange(256, dtype=np.uint8), 257)


def rows(data: bytes, begin: int, number: int) -> tuple[Starts, int]:
    """The rows that are like most: each whole, and in one packet, which is the next one. Ends ahead of anything else.

    Args:
        begin: where the first packet begins.
        number: its sequence number; the higher bits do not count.

    Returns:
        Where each row begins, counted from `begin` on, and where in `data` the last one ends.
    """
    end = len(data)
    many, at = _many(data, begin, number) if end - begin >= _LARGE else (_NONE, begin)
    starts: list[int] = []
    number += len(many)
    last = end - HEADER_BYTES
    while at < last:
        # With another number than the next it is no length.
        length = header(data, at)[0] - ((number & 0xFF) << 24)
        first = at + HEADER_BYTES
        stop = first + length
        if not 0 < length < LONGEST or stop > end or data[first] >= _EOF:
            break
        starts.append(at - begin)
        at = stop
        number += 1
    if not len(many):
        return starts, at
    return np.concatenate((many, starts)) if starts else many, at


def _many(data: bytes, begin: int, number: int) -> tuple[NDArray[Any], int]:
    """The same for short rows: two zeros in a row are guessed to be in a header, and the guesses proven all at once.

    Ends ahead of the first one that is wrong.
    """
    length = header(data, begin)[0] & LONGEST
    first = begin + HEADER_BYTES
    if not 0 < length < _SHORT or data.find(_ZEROS, first, first + length) >= 0:
        return _NONE, begin
    bytes_ = np.frombuffer(data, dtype=np.uint8, offset=begin)
    is_zero = bytes_ == 0
    # A header and the first byte behind it must be there.
    heads = np.flatnonzero(is_zero[1:-3] & is_zero[2:-2])[: len(_NUMBERS) - _SHORT]
    # Where the number is zero, too, there are two pairs of zeros.
    is_row = np.ones(len(heads), dtype=bool)
    np.not_equal(heads[1:], heads[:-1] + 1, out=is_row[1:])
    heads = heads[is_row]
    ends = heads + bytes_[heads] + HEADER_BYTES
    is_row = bytes_[heads + HEADER_BYTES - 1] == _NUMBERS[number & 0xFF :][: len(heads)]
    is_row &= bytes_[heads + HEADER_BYTES] < _EOF
    is_row &= ends <= len(bytes_)
    is_row[1:] &= heads[1:] == ends[:-1]
    is_row[:1] &= heads[:1] == 0
    count = len(heads) if is_row.all() else int(is_row.argmin())
    return heads[:count], begin + int(ends[count - 1]) if count else begin
