"""Numbers: from their binary form to the text that the server would show, and back.

Source: PostgreSQL 18, src/backend/utils/adt/float.c, numeric.c and cash.c.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import numpy as np

from gatepost_postgres.codecs import Codec, codec, write_text

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,20}", re.ASCII)
_DECIMAL: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,6})?|NaN|[-+]?Infinity", re.ASCII)


def _integer(fmt: str) -> Codec:
    packer = struct.Struct(fmt)
    size = packer.size

    def read(data: bytes) -> str:
        return str(packer.unpack(data)[0])

    def write(text: str) -> bytes:
        if not _INTEGER.fullmatch(text):
            raise ValueError("an integer was expected")
        try:
            return packer.pack(int(text))
        except struct.error:
            raise ValueError(f"the number does not fit into {size} bytes") from None

    return codec(read, write)


def _float(fmt: str, shortest: Callable[[float], str]) -> Codec:
    packer = struct.Struct(fmt)

    def read(data: bytes) -> str:
        return _show_float(packer.unpack(data)[0], shortest, 15 if packer.size == 8 else 6)

    def write(text: str) -> bytes:
        if not _DECIMAL.fullmatch(text):
            raise ValueError("a number was expected")
        try:
            value = float(text)
            if math.isinf(value) and "Infinity" not in text:
                raise OverflowError
            return packer.pack(value)
        except OverflowError:
            raise ValueError("the number is too large for its type") from None

    return codec(read, write)


def _show_float(value: float, shortest: Callable[[float], str], point_limit: int) -> str:
    """As float8out does: the fewest digits that read back the same, an exponent below -4 and from `point_limit` on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    mantissa, _, exponent = shortest(value).partition("e")
    power = int(exponent)
    if power < -4 or power >= point_limit:
        return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02}"
    sign = "-" if mantissa.startswith("-") else ""
    digits = mantissa.lstrip("-").replace(".", "")
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    whole, fraction = digits[: power + 1].ljust(power + 1, "0"), digits[power + 1 :]
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def _shortest4(value: float) -> str:
    return np.format_float_scientific(np.float32(value), trim="-", exp_digits=1)


def _shortest8(value: float) -> str:
    return np.format_float_scientific(np.float64(value), trim="-", exp_digits=1)


_numeric_header: Final = struct.Struct("!HhHH")
_NUMERIC_SIGNS: Final = {0x0000: "", 0x4000: "-"}
_NUMERIC_SPECIALS: Final = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
# More zeros than this are shown as an exponent, so that a few bytes cannot become a text of 100 KB.
_NUMERIC_ZEROS: Final = 1024


def _read_numeric(data: bytes) -> str:
    count, weight, sign, scale = _numeric_header.unpack_from(data)
    if len(data) != _numeric_header.size + 2 * count:
        raise ValueError("a numeric has another length than it says")
    if sign in _NUMERIC_SPECIALS:
        return _NUMERIC_SPECIALS[sign]
    if sign not in _NUMERIC_SIGNS or scale > 0x3FFF:
        raise ValueError("a numeric has an unknown sign or scale")
    groups = struct.unpack_from(f"!{count}H", data, _numeric_header.size)
    if any(group > 9999 for group in groups):
        raise ValueError("a digit of a numeric is out of range")
    digits = "".join(f"{group:04}" for group in groups)
    point = 4 * (weight + 1)  # where the decimal point stands in `digits`
    if max(point - len(digits), -point, scale - max(len(digits) - point, 0)) > _NUMERIC_ZEROS:
        stripped = digits.strip("0")
        if not stripped:
            return "0"
        power = point - (len(digits) - len(digits.lstrip("0"))) - len(stripped)
        return f"{_NUMERIC_SIGNS[sign]}{stripped}e{power:+}"
    whole = digits[: max(point, 0)].ljust(max(point, 0), "0").lstrip("0") or "0"
    fraction = ("0" * max(-point, 0) + digits[max(point, 0) :])[:scale].ljust(scale, "0")
    return _NUMERIC_SIGNS[sign] + whole + ("." + fraction if scale else "")


def _write_numeric(text: str) -> bytes:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("a number was expected")
    for sign, name in _NUMERIC_SPECIALS.items():
        if text.lstrip("+") == name:
            return _numeric_header.pack(0, 0, sign, 0)
    negative, values, exponent = Decimal(text).as_tuple()
    if not isinstance(exponent, int) or len(values) + abs(exponent) > 131072 + 16383:
        raise ValueError("the number is too large for its type")
    scale = max(-exponent, 0)
    if scale > 0x3FFF:
        raise ValueError("the number has too many decimal places for its type")
    digits = "".join(map(str, values)) + "0" * max(exponent, 0)
    # The decimal point has to fall between two groups of four.
    digits += "0" * (-scale % 4)
    fraction_groups = -(-scale // 4)
    digits = digits.rjust(-(-len(digits) // 4) * 4, "0")
    groups = [int(digits[i : i + 4]) for i in range(0, len(digits), 4)]
    weight = len(groups) - fraction_groups - 1
    while groups and groups[-1] == 0:
        groups.pop()
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    if not groups:
        return _numeric_header.pack(0, 0, 0, scale)
    if weight > 0x7FFF:
        raise ValueError("the number is too large for its type")
    return _numeric_header.pack(len(groups), weight, 0x4000 if negative else 0, scale) + struct.pack(
        f"!{len(groups)}H", *groups
    )


_int8: Final = struct.Struct("!q")
_CENTS: Final = re.compile(r"(-?)([0-9]{1,17})\.([0-9]{2})", re.ASCII)


def _read_money(data: bytes) -> str:
    (cents,) = _int8.unpack(data)
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def _write_money(text: str) -> bytes:
    match = _CENTS.fullmatch(text)
    if match is None:
        raise ValueError("an amount with two decimal places was expected")
    return _int8.pack(int(match[1] + match[2] + match[3]))


INT2: Final = _integer("!h")
INT4: Final = _integer("!i")
INT8: Final = _integer("!q")
UINT4: Final = _integer("!I")
UINT8: Final = _integer("!Q")
FLOAT4: Final = _float("!f", _shortest4)
FLOAT8: Final = _float("!d", _shortest8)
NUMERIC: Final = codec(_read_numeric, _write_numeric)
MONEY: Final = codec(_read_money, _write_money)
# An object's name in text format, its identifier in binary format.
OBJECT: Final = Codec(UINT4.read, UINT4.write, write_text)
