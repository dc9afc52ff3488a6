"""Where the rows of a large chunk begin: the length of each message leads to the next one.

Source: PostgreSQL 18 documentation, 54.7, DataRow and CopyData.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from gatepost.batch import numbers
from gatepost_postgres import messages
from gatepost_postgres.frames import HEADER_BYTES, header

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where rows begin, ascending.
Starts: TypeAlias = "Sequence[int] | NDArray[Any]"

# From here on numpy pays.
LARGE: Final = 24 * 1024
# What is looked through at once: more takes fewer calls, and more memory.
_BLOCK: Final = 512 * 1024


def rows(data: bytes, begin: int, kind: int) -> tuple[NDArray[Any], int]:
    """The messages of a kind from `begin` on, one right behind the other, each of them whole.

    Returns:
        Where each message begins, counted from `begin` on, and where in `data` the last one ends.
    """
    pieces: list[NDArray[Any]] = []
    at, last = begin, len(data) - HEADER_BYTES
    while last - at >= LARGE:
        starts, size = _many(data, at, kind)
        pieces.append(starts + (at - begin))
        at += size
        if size < LARGE:
            break
    few = []
    while at <= last:
        next_kind, length = header(data, at)
        stop = at + 1 + length
        if next_kind != kind or length < 4 or stop > len(data):
            break
        few.append(at - begin)
        at = stop
    if few:
        pieces.append(np.array(few, dtype=np.int64))
    return (pieces[0] if len(pieces) == 1 else np.concatenate(pieces or [np.empty(0, np.int64)])), at


def _many(data: bytes, begin: int, kind: int) -> tuple[NDArray[Any], int]:
    """Some of them: a kind and a zero are guessed to begin a message, and the guesses proven all at once.

    Returns:
        Where each begins, and where the last one ends, both counted from `begin` on; ahead of the first wrong guess.
    """
    bytes_ = np.frombuffer(data, dtype=np.uint8, offset=begin)
    block = bytes_[:_BLOCK]
    is_head = block[:-1] == kind
    # A one is greater than what is behind it if that is zero.
    np.greater(is_head.view(np.uint8), block[1:], out=is_head)
    heads = np.flatnonzero(is_head)
    if kind == messages.DATA_ROW and len(heads):
        # A cell's end and the next one's length may look like a head, but seldom like one with as many columns.
        columns = numbers(bytes_, ">u2", heads + HEADER_BYTES)
        heads = heads[columns == columns[0]]
    lengths = numbers(bytes_, ">u4", heads + 1)
    ends = heads + 1 + lengths
    is_row = lengths >= 4
    is_row &= ends <= len(bytes_)
    is_row[1:] &= heads[1:] == ends[:-1]
    is_row[:1] &= heads[:1] == 0
    count = len(heads) if is_row.all() else int(is_row.argmin())
    return heads[:count], int(ends[count - 1]) if count else 0
