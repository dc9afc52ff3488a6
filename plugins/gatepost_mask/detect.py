"""Card numbers and magnetic stripes in a text.

Digits of every script count. A *chunk* is digits without anything between them; a *run* is chunks with a few separators
between each two. In a run, a card number is a window whose prefix, length and (where its brand has one) check digit fit
the ranges, and that

- begins where a chunk begins, zeros before it aside, and ends where one ends or within two or more zeros at a chunk's
  end (`lpad`, `rpad`, a numeric's scale). Where anything but white space, dashes, dots and the like lies between its
  chunks it must be grouped as card numbers are printed, for else every list of numbers would hold some; or
- lies in the middle of a chunk longer than 16 digits, and belongs to a network that is met everywhere; or
- is one of several that together fill a chunk exactly (`string_agg(pan, '')`).

So is one whose digits are written as bytes of ASCII in hexadecimal (a bytea).

Words do not bound anything: `pan4111…x` is found. Windows may overlap; a digit is shown only if every window over it
would show it, so that no choice between them can be wrong. Recall comes first: of random numbers of 16 digits
one in fifteen is taken for a card number, of 20 digits one in eight.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from gatepost_mask.alphabet import HARD, QUOTES, gap, normal
from gatepost_mask.chunks import Many, inside, numbers_at
from gatepost_mask.display import MARK, REMOVED, Display
from gatepost_mask.ranges import LONGEST, SHORTEST, USUAL, Ranges, ranges
from gatepost_mask.stretches import classify_text, stretches

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where a number's digits are, or where many numbers are.
Found: TypeAlias = Sequence[int] | Many

_RUN: Final = re.compile(f"[0-9](?:{gap()}[0-9]){{11,}}")
_HEXADECIMAL: Final = re.compile(r"(?:3[0-9]){12,}")
# Every second character of such bytes.
_HEXADECIMAL_BYTES: Final = "3" * SHORTEST
_CHUNK: Final = re.compile(r"[0-9]+")
_HARD: Final = re.compile(f"[{re.escape(HARD + QUOTES)}]")
_PADDING: Final = 2
_PREFIX: Final = 6
# Of so many digits, or characters, all are looked at at once.
_MANY: Final = 128
_LONG: Final = 4096
# So many chunks, or places, are looked at together.
_BLOCK: Final = 1024

# What becomes of a character: nothing, a mark, all that is left of what is removed, or nothing that is left.
_KEEP, _HIDE, _REPLACE, _REMOVE = b"\0", b"\1", b"\2", b"\3"
_ALIKE: Final = re.compile(b"\0+|\1+|\2|\3+")

# How card numbers are printed, by the lengths of their groups.
_PRINTED: Final = frozenset(
    ((4, 4, 4, 4), (4, 4, 4, 4, 1), (4, 4, 4, 4, 2), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 3, 3, 3), (4, 4, 5))
)

# ISO/IEC 7813: format B of track 1, and track 2, each from its start sentinel to its end sentinel where they are there.
_TRACK: Final = re.compile(
    r"%?B[0-9]{12,19}\^[^^]{2,26}\^[0-9]{7}[^?\s\"']*\??|;?[0-9]{12,19}[=D][0-9]{7}[0-9=]*\??", re.ASCII
)
# One of these is right behind the digits of every stripe,
TRACK_MARKS: Final = "^=D"
# with digits on either side of it, and it is quicker to look for.
_MARK: Final = re.compile(r"[\^=D](?<=[0-9]{12}.)(?:(?<=\^)[^^]{2,26}\^|(?<!\^))[0-9]{7}")
# How far in front of it a stripe may begin.
_BEFORE_MARK: Final = len("%B") + LONGEST
# White space in a field of COPY's text format, and what no card number has in it.
_ESCAPE: Final = re.compile(r"\\[bfnrtv]")
_BREAK: Final = "x"
# Next to a card number, a verification code is told by its name, or by its place behind the expiry date.
_NAMED_CODE: Final = re.compile(
    r"[CcPpSs\u017f](?i:(?<![a-z].)(?:(?<=c)(?:vv2?|vc2?|av2?|sc|id)|(?<=p)in|(?<=s)ecurity.?code)(?![a-z])"
    r"[^0-9a-z]{0,6}([0-9]{3,6})(?![0-9]))"
)
_CODE_BEHIND: Final = re.compile(r"[\s|,;:/]+(?:0[1-9]|1[0-2])[/|\s-]?(?:20)?[0-9]{2}[\s|,;:/]+([0-9]{3,4})(?![0-9])")


def find(plain: str) -> Iterator[Sequence[int]]:
    """The card numbers in a text with ASCII digits (`normal`): where their digits are. They may overlap."""
    for found in _find(plain):
        if isinstance(found, Many):
            yield from found.numbers()
        else:
            yield found


def _find(plain: str) -> Iterator[Found]:
    table = ranges()
    for start, end in _runs(plain):
        digits = plain[start:end]
        if not digits.isdigit():
            yield from _in_run(plain, start, end, table)
            continue
        yield from in_chunk(digits, start)
        if len(digits) > USUAL:
            yield from _inside(digits, start, table)
            yield from _tiles(digits, start, table)
    if len(plain) < _LONG or any(_HEXADECIMAL_BYTES in plain[odd::2] for odd in (0, 1)):
        for run in _HEXADECIMAL.finditer(plain):
            # Of each byte of ASCII, the second half is the digit.
            for number in in_chunk(run[0][1::2]):
                yield [run.start() + 2 * place + 1 for place in number]


def _runs(plain: str) -> Iterator[tuple[int, int]]:
    """Where the runs begin and end."""
    if len(plain) < _LONG:
        yield from (run.span() for run in _RUN.finditer(plain))
        return
    data = plain.encode("ascii", "replace")
    for start, end in stretches(data, classify_text(data)):
        if data[start:end].isdigit():
            yield start, end
        else:
            yield from (run.span() for run in _RUN.finditer(plain, start, end))


def hide(text: str, display: Display) -> set[int]:
    """Which characters of a text must not be shown."""
    return {number[index] for number in find(normal(text)) for index in display.hidden(len(number))}


def mask(text: str, display: Display) -> str:
    """The text with card numbers masked, and with magnetic stripes and verification codes removed.

    The length stays, unless something was removed. The same object comes back if there was nothing to do. Stripes and
    codes are removed for every role (PCI DSS 3.3.1); `Display.CLEAR` shows card numbers only.
    """
    return mask_as(text, normal(text), display)


def mask_line(text: str, display: Display) -> str:
    """`mask`, for a line of COPY: a tab ends a field where there are no quotes (CSV); escapes stand for white space."""
    plain = _ESCAPE.sub("  ", normal(text))
    return mask_as(text, plain if '"' in plain else plain.replace("\t", _BREAK), display)


def mask_as(text: str, plain: str, display: Display) -> str:
    """`mask`, where the digits and separators of `text` are those of `plain`, character for character."""
    numbers = list(_find(plain))
    if not numbers and not _MARK.search(plain):
        return text
    # What becomes of each character.
    fates = bytearray(len(text))
    for number in numbers:
        if isinstance(number, Many):
            np.frombuffer(fates, dtype=np.uint8)[number.places(display.hidden(number.length))] = _HIDE[0]
            continue
        hidden = display.hidden(len(number))
        if isinstance(number, range):
            fates[number.start + hidden.start : number.start + hidden.stop] = _HIDE * len(hidden)
        else:
            for index in hidden:
                fates[number[index]] = _HIDE[0]
    for start, end in sensitive(plain, numbers):
        fates[start:end] = _REPLACE + _REMOVE * (end - start - 1)
    is_shortened = _REPLACE in fates
    if _HIDE not in fates and not is_shortened:
        return text
    if len(text) >= _LONG and not is_shortened and text.isascii():
        characters = np.frombuffer(text.encode(), dtype=np.uint8)
        masked = np.where(np.frombuffer(fates, dtype=bool), np.uint8(ord(MARK)), characters).tobytes().decode()
    else:
        masked = "".join(_in_place_of(text[slice(*part.span())], part[0][:1]) for part in _ALIKE.finditer(fates))
    return text if masked == text else masked


def _in_place_of(part: str, fate: bytes) -> str:
    """What a part of a text becomes."""
    if fate == _KEEP:
        return part
    if fate == _HIDE:
        return MARK * len(part)
    return REMOVED if fate == _REPLACE else ""


def sensitive(plain: str, numbers: Sequence[Found]) -> Iterator[tuple[int, int]]:
    """Where sensitive authentication data lies in a text with ASCII digits, whose card numbers these are."""
    yield from _stripes(plain)
    if not numbers or (not isinstance(numbers[0], Many) and len(numbers[0]) == len(plain)):
        return
    for match in _NAMED_CODE.finditer(plain):
        yield match.span(1)
    covered: bytearray | None = None
    for end in _ends_of(plain, numbers):
        code = _CODE_BEHIND.match(plain, end)
        if code is not None:
            covered = _covered(len(plain), numbers) if covered is None else covered
            if not covered[code.start(1)]:
                yield code.span(1)


def _ends_of(plain: str, numbers: Sequence[Found]) -> Iterator[int]:
    """Where the numbers end that no other digit follows."""
    data: NDArray[Any] | None = None
    for number in numbers:
        if isinstance(number, Many):
            if data is None:
                data = np.frombuffer(plain.encode("ascii", "replace") + b"x", dtype=np.uint8)
            ends = number.firsts + number.length
            yield from ends[data[ends] - ord("0") >= len("0123456789")].tolist()
        elif not plain[number[-1] + 1 : number[-1] + 2].isdigit():
            yield number[-1] + 1


def _covered(size: int, numbers: Sequence[Found]) -> bytearray:
    """Which characters of a text are digits of numbers."""
    covered = bytearray(size)
    for number in numbers:
        if isinstance(number, Many):
            np.frombuffer(covered, dtype=np.uint8)[number.places(range(number.length))] = True
        else:
            for place in number:
                covered[place] = True
    return covered


def _stripes(plain: str) -> Iterator[tuple[int, int]]:
    """Where `_TRACK` matches, one behind the other, found by their marks."""
    end = 0
    mark = _MARK.search(plain)
    while mark is not None:
        place = mark.start()
        next_place = place + 1
        for start in range(max(end, place - _BEFORE_MARK), place - SHORTEST + 1):
            stripe = _TRACK.match(plain, start)
            if stripe is not None:
                yield stripe.span()
                end = next_place = stripe.end()
                break
        mark = _MARK.search(plain, next_place)


def in_chunk(digits: str, offset: int = 0) -> Iterator[Sequence[int]]:
    """The windows that begin and end where the chunk does, padding aside."""
    table = ranges()
    bare = digits.lstrip("0")
    first = len(digits) - len(bare)
    if len(bare) < SHORTEST:
        return
    lengths = table.lengths(bare[:_PREFIX])
    ends = _ends(bare)
    for length in range(max(ends.start, SHORTEST), min(ends.stop, LONGEST + 1)):
        if lengths >> (length - SHORTEST) & 1 and table.holds(bare[:length]):
            yield range(offset + first, offset + first + length)


def _ends(digits: str) -> range:
    """Where a number that begins with the chunk may end."""
    end = len(digits)
    padding = end - len(digits.rstrip("0"))
    return range(end - padding if padding >= _PADDING else end, end + 1)


def _in_run(plain: str, start: int, end: int, table: Ranges) -> Iterator[Found]:
    chunks = []
    for chunk in _CHUNK.finditer(plain, start, end):
        chunks.append((chunk.start(), chunk[0]))
        if len(chunks) == _BLOCK + LONGEST:
            yield from _in_chunks(plain, chunks, _BLOCK, table)
            del chunks[:_BLOCK]
    yield from _in_chunks(plain, chunks, len(chunks), table)


def _in_chunks(plain: str, chunks: Sequence[tuple[int, str]], stop: int, table: Ranges) -> Iterator[Found]:
    """The numbers that begin in the first chunks of some, up to `stop`; none goes on behind the last one."""
    for offset, digits in chunks[:stop]:
        if len(digits) > USUAL:
            yield from _inside(digits, offset, table)
            yield from _tiles(digits, offset, table)
    joined = "".join(digits for _, digits in chunks)
    begins = [0, *accumulate(len(digits) for _, digits in chunks)]
    hard = [False] + [
        bool(_HARD.search(plain, left + len(digits), right)) for (left, digits), (right, _) in pairwise(chunks)
    ]
    firsts = {}
    for number, (_, digits) in enumerate(chunks[:stop]):
        first = begins[number] + len(digits) - len(digits.lstrip("0"))
        if first < begins[number + 1] and len(joined) - first >= SHORTEST:
            firsts[first] = number
    for first, length in _beginning_at(joined, list(firsts), table):
        number, end = firsts[first], first + length
        # The chunk that the last digit is in, and that behind it, which may be padding.
        inner = bisect_left(begins, end) - 1
        for last in range(inner, min(inner + 2, len(chunks))):
            if (
                end - begins[last] in _ends(chunks[last][1])
                and begins[last] - first < LONGEST
                and (
                    not any(hard[number + 1 : last + 1])
                    or _is_printed([len(some) for _, some in chunks[number : last + 1]])
                )
            ):
                yield [
                    offset + place
                    for at, (offset, some) in enumerate(chunks[number : last + 1], number)
                    for place in range(max(first - begins[at], 0), min(end - begins[at], len(some)))
                ]
                break


def _beginning_at(digits: str, firsts: Sequence[int], table: Ranges) -> Iterator[tuple[int, int]]:
    """The numbers that begin at these places, and their lengths."""
    if len(firsts) >= _MANY:
        yield from numbers_at(digits.encode(), firsts)
        return
    for first in firsts:
        lengths = table.lengths(digits[first : first + _PREFIX])
        for length in range(SHORTEST, min(LONGEST, len(digits) - first) + 1) if lengths else ():
            if lengths >> (length - SHORTEST) & 1 and table.holds(digits[first : first + length]):
                yield first, length


def _is_printed(groups: list[int]) -> bool:
    """Whether card numbers are printed in such groups, or a number with its thousands marked is."""
    return tuple(groups) in _PRINTED or (
        len(groups) > 3 and groups[0] <= 3 and set(groups[1:-1]) == {3} and groups[-1] <= 3
    )


def _inside(digits: str, offset: int, table: Ranges) -> Iterator[Found]:
    """The widely met numbers anywhere in a long chunk."""
    if len(digits) >= _MANY:
        yield from inside(digits.encode(), offset)
        return
    for first in range(len(digits) - _PREFIX):
        lengths = table.world_lengths(digits[first : first + _PREFIX])
        if not lengths:
            continue
        for length in range(SHORTEST, LONGEST + 1):
            if (
                lengths >> (length - SHORTEST) & 1
                and first + length <= len(digits)
                and table.holds(digits[first : first + length])
            ):
                yield range(offset + first, offset + first + length)


def _tiles(digits: str, offset: int, table: Ranges) -> Iterator[Sequence[int]]:
    """The numbers of every way in which several of them, end to end, are the whole chunk."""
    size = len(digits)
    if size < 2 * SHORTEST:
        return
    reached = bytearray(size + 1)
    numbers = []
    first = 0
    block = range(0)
    lengths: dict[int, list[int]] = {}
    while 0 <= first <= size - SHORTEST:
        if first not in block:
            block = range(first, min(first + (_BLOCK if size >= _MANY else 1), size - SHORTEST + 1))
            lengths = {}
            part = digits[block.start : block.stop + LONGEST - 1]
            for place, length in _beginning_at(part, range(len(block)), table):
                lengths.setdefault(block.start + place, []).append(length)
        for length in lengths.get(first, ()):
            numbers.append((first, first + length))
            reached[first + length] = True
        first = reached.find(True, first + 1, first + LONGEST + 1)
    if not reached[size]:
        return
    reaches_end = bytearray(size + 1)
    reaches_end[size] = True
    for first, end in reversed(numbers):
        if reaches_end[end]:
            reaches_end[first] = True
            yield range(offset + first, offset + end)
