"""Card numbers for tests, of every brand and length, and where they may hide in a file."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import zstandard

from gatepost.demo.shop import card_number

# Prefixes and lengths by brand; kept apart from the product's own data file on purpose.
PREFIXES = {
    "Visa": (("4",), (13, 16, 18, 19)),
    "Mastercard": (("51", "55", "2221", "2720"), (16,)),
    "American Express": (("34", "37"), (15,)),
    "Diners Club": (("300", "305", "3095", "36", "38"), (14, 16, 19)),
    "Discover": (("6011", "644", "65"), (16, 19)),
    "JCB": (("3528", "3589"), (16, 19)),
    "UnionPay": (("62", "81"), (16, 17, 18, 19)),
    "Maestro": (("5018", "6304", "6759"), (12, 13, 16, 19)),
    "Mir": (("2200", "2204"), (16,)),
    "RuPay": (("508", "353", "82"), (16,)),
    "Elo": (("401178", "636297", "5067"), (16,)),
    "Troy": (("9792",), (16,)),
    "Verve": (("506100", "507900"), (16, 19)),
    "Dankort": (("5019", "4571"), (16,)),
    "InstaPayment": (("637", "639"), (16,)),
    "Humo": (("8600", "9860"), (16,)),
}
ZSTANDARD_FRAME = b"\x28\xb5\x2f\xfd"


def of_every_brand(seed: int | None = None) -> list[str]:
    """A fresh number of each prefix and length. `seed` makes them the same again."""
    source = random.Random(seed)
    return [
        card_number(prefix, length, source)
        for prefixes, lengths in PREFIXES.values()
        for prefix in prefixes
        for length in lengths
    ]


def traces(pan: str) -> list[bytes]:
    """How a number may lie in a file: as digits, UTF-16, an integer of eight bytes, in base 10,000, packed."""
    number = int(pan)
    groups = []
    while number:
        number, group = divmod(number, 10000)
        groups.insert(0, group)
    return [
        pan.encode(),
        " ".join(pan).encode(),
        pan.encode("utf-16-le"),
        struct.pack(">q", int(pan)) if int(pan) < 1 << 63 else pan.encode(),
        struct.pack("<q", int(pan)) if int(pan) < 1 << 63 else pan.encode(),
        struct.pack(f">{len(groups)}H", *groups),
        bytes.fromhex(pan.rjust(len(pan) + len(pan) % 2, "0")),
    ]


def found_in(folder: Path, pans: list[str]) -> list[tuple[str, str]]:
    """(file, number) of every number in a file below `folder`, compressed frames included."""
    needles = [(trace, pan) for pan in pans for trace in traces(pan)]
    found = []
    for file in folder.rglob("*"):
        if file.is_file():
            for data in _layers(file.read_bytes().rstrip(b"\0")):
                found += [(file.name, pan) for trace, pan in needles if trace in data]
    return found


def _layers(data: bytes) -> Iterator[bytes]:
    """A file's bytes, and what each compressed frame in it holds."""
    yield data
    place = data.find(ZSTANDARD_FRAME)
    while place >= 0:
        with contextlib.suppress(zstandard.ZstdError):
            yield zstandard.ZstdDecompressor().decompressobj().decompress(data[place:])
        place = data.find(ZSTANDARD_FRAME, place + 1)
