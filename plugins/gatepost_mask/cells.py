"""A cell's scalars, masked so that each keeps its type.

In a text a hidden digit becomes a mark. In a number it becomes a zero, or a nine where it leads: length and scale stay,
a driver reads a number, no brand's range has it, and it is the same in text and in binary format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence, Set
from typing import Final

from gatepost import Kind, Scalar
from gatepost_mask.alphabet import normal
from gatepost_mask.detect import find, hide, in_chunk, mask, sensitive
from gatepost_mask.display import MARK, REMOVED, Display
from gatepost_mask.ranges import LONGEST, SHORTEST, USUAL, ranges

NUMBERS: Final = frozenset((Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT))
_NEVER: Final = frozenset((Kind.TIME, Kind.BOOLEAN))
# A number with fewer digits before its point is a measure or an average, with decimals that often look like more.
_WHOLE_DIGITS: Final = 8
# From here on a float8 does not hold every integer, and the check digit may be lost.
_EXACT_FLOAT: Final = 1 << 53

_NUMBER: Final = re.compile(r"[-+]?([0-9]*)(?:\.[0-9]*)?(?:[eE].*)?")
_EXPONENT: Final = re.compile(r"([-+]?)([0-9])(?:\.([0-9]+))?e\+?([0-9]{1,2})", re.IGNORECASE)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_JSON_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*')


def mask_cell(scalars: Sequence[Scalar], display: Display) -> list[str | None] | None:
    """The texts to put in the place of a cell's scalars, or None if there is nothing to mask."""
    before = [scalar.text for scalar in scalars]
    after = [mask_scalar(scalar, display) for scalar in scalars]
    if len(after) > 1:
        after = _mask_joined(scalars, after, display)
    return None if after == before else list(after)


def mask_scalar(scalar: Scalar, display: Display) -> str:
    """One scalar's text, masked; the text itself if there is nothing to mask."""
    kind, text = scalar.kind, scalar.text
    if kind is Kind.TEXT:
        return mask(text, display)
    if kind in NUMBERS:
        return mask_number(text, display, kind is Kind.FLOAT)
    if kind is Kind.JSON:
        return mask_json(text, display)
    if kind is Kind.BYTES:
        return _mask_bytes(text, display)
    if kind in _NEVER or (_UUID.fullmatch(text) and not text.replace("-", "").isdigit()):
        return text
    return mask(text, display)


def mask_digits(digits: str, kind: Kind, display: Display) -> str | None:
    """`mask_scalar` for a TEXT or INTEGER of ASCII digits alone; None if there is nothing to mask."""
    hidden: Collection[int] = ()
    if len(digits) > USUAL:
        hidden = hide(digits, display)
    elif digits[0] == "0" or digits.endswith("00"):
        hidden = {number[index] for number in in_chunk(digits) for index in display.hidden(len(number))}
    elif ranges().holds(digits):
        hidden = display.hidden(len(digits))
    if not hidden:
        return None
    if kind is Kind.INTEGER:
        return _blank(digits, hidden)
    if isinstance(hidden, range):
        return digits[: hidden.start] + MARK * len(hidden) + digits[hidden.stop :]
    return "".join(MARK if place in hidden else digit for place, digit in enumerate(digits))


def hide_digits(scalar: Scalar, display: Display) -> str:
    """A scalar that is a card number, whatever its digits are, as the role sees it."""
    plain = normal(_without_exponent(scalar.text) if scalar.kind is Kind.FLOAT else scalar.text)
    places = [place for place, character in enumerate(plain) if character in "0123456789"]
    shown = len(places) >= SHORTEST
    hidden = {places[index] for index in display.hidden(len(places))} if shown else set(places)
    if scalar.kind in NUMBERS:
        return _blank(plain, hidden)
    return "".join(MARK if place in hidden else character for place, character in enumerate(scalar.text))


def mask_number(text: str, display: Display, is_float: bool = False) -> str:
    """A number in decimal digits, with an exponent where it `is_float`."""
    plain = _without_exponent(text)
    number = _NUMBER.fullmatch(plain)
    if number is not None and len(number[1]) < _WHOLE_DIGITS:
        return text
    hidden: Collection[int] = hide(plain, display)
    if is_float and not hidden:
        hidden = _hide_rounded(plain, display)
    return _blank(plain, hidden) if hidden else text


def mask_json(text: str, display: Display) -> str:
    """A JSON text, which stays one: marks in strings and keys, zeros in numbers."""
    text = _JSON_TOKEN.sub(lambda token: _mask_token(token[0], display), text)
    plain = normal(text)
    numbers = list(find(plain))
    hidden = {number[index] for number in numbers for index in display.hidden(len(number))}
    removed = [position for span in sensitive(plain, numbers) for position in range(*span)]
    if not hidden and not removed:
        return text
    return _JSON_TOKEN.sub(lambda token: _overwrite_token(token, hidden, frozenset(removed)), text)


def _mask_token(token: str, display: Display) -> str:
    """A JSON string with escapes in it, or a number, by itself."""
    if token[0] != '"':
        return mask_number(token, display, is_float=True)
    if "\\" not in token:
        return token
    try:
        text = json.loads(token, strict=False)
    except ValueError:
        return token
    masked = mask(text, display)
    return token if masked == text else json.dumps(masked, ensure_ascii=False)


def _overwrite_token(token: re.Match[str], hidden: Set[int], removed: Set[int]) -> str:
    start, end = token.span()
    text = token[0]
    here = [position - start for position in range(start, end) if position in hidden]
    gone = [position - start for position in range(start, end) if position in removed]
    if text[0] != '"':
        number = _NUMBER.fullmatch(text)
        if gone:
            return "null"
        is_measure = number is not None and len(number[1]) < _WHOLE_DIGITS and "." in text
        return text if is_measure else _blank(text, here)
    characters = list(text)
    for position in here:
        characters[position] = MARK
    for position in gone:
        if 0 < position < len(text) - 1:
            characters[position] = ""
    if gone:
        characters[0] += REMOVED
    return "".join(characters)


def _mask_bytes(text: str, display: Display) -> str:
    """Bytes in hexadecimal: as the text that they may be, and as packed decimal digits."""
    data = bytes.fromhex(text)
    try:
        decoded, encoding = data.decode(), "utf-8"
    except UnicodeDecodeError:
        decoded, encoding = data.decode("latin-1"), "latin-1"
    masked = mask(decoded, display)
    if masked != decoded:
        return masked.encode(encoding).hex()
    hidden = hide(text, display)
    return "".join("0" if position in hidden else digit for position, digit in enumerate(text)) if hidden else text


def _mask_joined(scalars: Sequence[Scalar], texts: list[str], display: Display) -> list[str]:
    """A card number whose groups, or whose digits, are the elements of an array."""
    between = "" if all(len(text) == 1 for text in texts) else ","
    hidden = hide(between.join(texts), display)
    if not hidden:
        return texts
    masked = []
    start = 0
    for scalar, text in zip(scalars, texts, strict=True):
        here = {position for position in range(len(text)) if start + position in hidden}
        if scalar.kind in NUMBERS:
            masked.append(_blank(text, here))
        else:
            masked.append("".join(MARK if at in here else character for at, character in enumerate(text)))
        start += len(text) + len(between)
    return masked


def _without_exponent(text: str) -> str:
    """4.11e+15 as 4110000000000000."""
    parts = _EXPONENT.fullmatch(text)
    if parts is None:
        return text
    sign, first, decimals, exponent = parts.groups()
    digits = first + (decimals or "")
    point = int(exponent) + 1
    whole, fraction = digits[:point].ljust(point, "0"), digits[point:]
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def _hide_rounded(plain: str, display: Display) -> Collection[int]:
    """What to hide of an integral float whose last digits are not those of the number that it was made of."""
    digits = plain.lstrip("-")
    length = len(digits)
    if not digits.isdigit() or not SHORTEST <= length <= LONGEST or int(digits) < _EXACT_FLOAT:
        return ()
    if not ranges().lengths(digits[:6]) >> (length - SHORTEST) & 1:
        return ()
    return {len(plain) - length + index for index in display.hidden(length)}


def _blank(text: str, hidden: Collection[int]) -> str:
    """The number with other digits at these positions."""
    digits = list(text)
    for position in hidden:
        digits[position] = "0"
    leading = next((at for at, digit in enumerate(text) if digit in "123456789"), -1)
    if leading in hidden:
        digits[leading] = "9"
    return "".join(digits)
