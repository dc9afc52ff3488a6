"""Character sets: gatepost reads texts as UTF-8, so both sides must write them so.

Source: information_schema.COLLATIONS of MySQL 9 and MariaDB 10.11.
"""

from __future__ import annotations

from typing import Final

BINARY: Final = 63
UTF8MB4: Final = 45

_UTF8MB3: Final = {33, 76, 83, *range(192, 216), 223}
_UTF8MB4: Final = {45, 46, *range(224, 248), *range(255, 324)}
_ASCII: Final = {11, 65}

# What a client may say that it speaks, by the number of a collation.
READABLE: Final = frozenset(_UTF8MB3 | _UTF8MB4 | _ASCII)

# MariaDB's collations by Unicode 4.0 to 14.0 of the same two sets.
_MARIADB: Final = (range(576, 640), range(1056, 1216), range(2048, 2560))

NAMES: Final = frozenset(("utf8", "utf8mb3", "utf8mb4", "ascii"))


def is_readable(collation: int) -> bool:
    """Texts that come in this collation are UTF-8."""
    return collation in READABLE or any(collation in numbers for numbers in _MARIADB)


def is_shared(collation: int) -> bool:
    """Every version of MySQL and MariaDB knows it."""
    return collation in READABLE and collation < 248
