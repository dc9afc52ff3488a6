"""The quick look: may there be a card number in these bytes, or in this text?

"No" is a promise, "maybe" costs a closer look. Every fourth byte says no of most data: in a card number, three of those
in a row are digits or separators. Else one pass maps digits to "0" and drops what may stand between them; then a run of
twelve, or digits in the groups that cards are printed in, is searched. Bytes that are not ASCII count as digits; if
they may have made the difference, the characters are looked at.
"""

from __future__ import annotations

import re
from typing import Final

from gatepost_mask.alphabet import HARD, QUOTES, SOFT, suspicious
from gatepost_mask.ranges import SHORTEST

_RUN: Final = b"0" * SHORTEST
# A list's separators are mapped to commas. Every grouping that cards are printed in has this in it.
_GROUPS: Final = b"000,000"
# Its half that ends with a rare byte: it is searched much quicker.
_GROUP: Final = b"000,"
_ESCAPES: Final = (b"\\b", b"\\f", b"\\n", b"\\r", b"\\t", b"\\v")
_MANY_BYTES: Final = 16384
_DROPPED: Final = (SOFT + QUOTES).encode()
_DROPPED_OR_HIGH: Final = _DROPPED + bytes(range(0x80, 0x100))

# 0xFF occurs in no UTF-8; in framing it is the length of a NULL.
_MAPPED: Final = bytes(
    ord("0") if 48 <= byte < 58 or 0x80 <= byte < 0xFF else ord(",") if chr(byte) in HARD else byte
    for byte in range(256)
)


# Of any `SHORTEST` bytes in a row, so many are every fourth one.
_STEP: Final = 4
_FEW: Final = b"\1" * (SHORTEST // _STEP)
_INSIDE: Final = bytes(
    48 <= byte < 58 or 0x80 <= byte < 0xFF or chr(byte) in SOFT + QUOTES + HARD for byte in range(256)
)
_DIGITS: Final = re.compile(b"[0-9]{%d}" % SHORTEST)


def maybe(data: bytes) -> bool:
    """False only if no card number can be in these bytes: UTF-8 texts, with any framing between them."""
    first = _STEP * _glance(data)
    if first < 0:
        return False
    if _DIGITS.search(data, first - _STEP + 1 if first else 0, first + SHORTEST):
        return True
    if not _has_digits(data.translate(_MAPPED, _DROPPED)):
        return False
    # Framing is rarely ASCII, and characters take long to look at: first, whether ASCII's digits alone would do.
    if data.isascii() or _has_digits(data.translate(_MAPPED, _DROPPED_OR_HIGH)):
        return True
    return suspicious().search(data.decode("utf-8", "replace")) is not None


def maybe_lines(data: bytes) -> bool:
    """The same of lines of COPY: see `gatepost_mask.detect.mask_line`."""
    if b"\\" in data:
        for escape in _ESCAPES:
            data = data.replace(escape, b" ")
    return maybe(data if b'"' in data else data.replace(b"\t", b"x"))


def maybe_rows(data: bytes) -> bool:
    """The same of rows. Of many, the closer look is quicker at saying no."""
    return len(data) >= _MANY_BYTES or maybe(data)


def look(data: bytes | bytearray) -> tuple[bool, bool]:
    """Whether there may be a card number, bytes that are not ASCII taken for digits; and whether digits are there in
    groups such as cards are printed in, with a list's separator between them."""
    if _glance(data) < 0:
        return False, False
    plain = data.translate(_MAPPED, _DROPPED)
    is_grouped = _is_grouped(plain)
    return is_grouped or _RUN in plain, is_grouped


def _glance(data: bytes | bytearray) -> int:
    """Among every fourth byte, where the first ones are that a card number could have; -1 if there are none."""
    return data[::_STEP].translate(_INSIDE).find(_FEW)


def _has_digits(plain: bytes | bytearray) -> bool:
    return plain.find(_RUN) >= 0 or _is_grouped(plain)


def _is_grouped(plain: bytes | bytearray) -> bool:
    return b"," in plain and _GROUP in plain and _GROUPS in plain


def maybe_text(text: str) -> bool:
    """The same of a text."""
    return maybe(text.encode("utf-8", "replace"))
