"""The shop of the demo and the tests: customers, their cards with generated numbers, and orders."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import psycopg

SCHEMA: Final = """
CREATE TABLE customers (
    id int PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL
);
CREATE TABLE cards (
    id int PRIMARY KEY,
    customer int NOT NULL REFERENCES customers,
    brand text NOT NULL,
    pan text NOT NULL UNIQUE,
    expires text NOT NULL
);
CREATE TABLE orders (
    id int PRIMARY KEY,
    card int NOT NULL REFERENCES cards,
    amount numeric(10, 2) NOT NULL,
    placed_at timestamptz NOT NULL
);
"""

# A prefix and a length of each brand, enough to show; the mask plugin's data file has the whole list.
BRANDS: Final = (
    ("Visa", "4", 16),
    ("Mastercard", "53", 16),
    ("Mastercard", "2345", 16),
    ("American Express", "37", 15),
    ("Diners Club", "36", 14),
    ("Discover", "6011", 16),
    ("JCB", "3540", 16),
    ("UnionPay", "62", 19),
    ("Maestro", "5018", 16),
)

GIVEN: Final = ("Ada", "Bela", "Chidi", "Dora", "Emre", "Fatou", "Goran", "Hana", "Imre", "Jin")
FAMILY: Final = ("Kovac", "Lindt", "Mbeki", "Nagy", "Okafor", "Petrov", "Quist", "Rossi", "Sato", "Tran")


def card_number(prefix: str, length: int, source: random.Random) -> str:
    """A card number that was never issued: random digits and the check digit that fits (ISO/IEC 7812-1, annex B)."""
    digits = prefix + "".join(source.choices("0123456789", k=length - len(prefix) - 1))
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits)))
    return digits + str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def card_numbers(count: int, source: random.Random) -> list[tuple[str, str]]:
    """Different (brand, number) pairs, every brand in turn."""
    numbers: dict[str, str] = {}
    while len(numbers) < count:
        brand, prefix, length = BRANDS[len(numbers) % len(BRANDS)]
        numbers[card_number(prefix, length, source)] = brand
    return [(brand, number) for number, brand in numbers.items()]


def build(connection: psycopg.Connection, size: int = 100) -> Sequence[str]:
    """Create the tables with `size` customers, a card and two orders each. Returns the card numbers by card id."""
    source = random.SystemRandom()
    cards = card_numbers(size, source)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        with cursor.copy("COPY customers FROM STDIN") as copy:
            for number in range(1, size + 1):
                given, family = source.choice(GIVEN), source.choice(FAMILY)
                copy.write_row((number, f"{given} {family}", f"{given}.{family}.{number}@shop.example".lower()))
        with cursor.copy("COPY cards FROM STDIN") as copy:
            for number, (brand, pan) in enumerate(cards, 1):
                copy.write_row((number, number, brand, pan, f"{source.randint(1, 12):02}/{source.randint(28, 33)}"))
        with cursor.copy("COPY orders FROM STDIN") as copy:
            for number in range(1, 2 * size + 1):
                placed = f"2026-{source.randint(1, 12):02}-{source.randint(1, 28):02} 12:00:00+00"
                copy.write_row((number, (number + 1) // 2, f"{source.uniform(5, 500):.2f}", placed))
    return [pan for _, pan in cards]
