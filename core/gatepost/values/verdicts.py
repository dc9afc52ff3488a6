"""What a plugin answers when it is asked about a statement or a login."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct


class Allow(Struct, frozen=True):
    """The statement may run. There is one: `ALLOW`."""


ALLOW = Allow()


class DenyCode(StrEnum):
    """Why a statement does not run, in words that each protocol maps to its own error codes."""

    DENIED = "denied"
    CANCELLED = "cancelled"
    UNAVAILABLE = "unavailable"
    SYNTAX = "syntax"


class Deny(Struct, frozen=True, kw_only=True):
    """The statement, or the login, is refused; the texts are for a language model to act on.

    Attributes:
        reason: what was refused, one sentence. It quotes no value.
        rule: the rule that decided, as its owner would look it up.
        hint: what to do instead.
        plugin: who refused; filled in by gatepost.
    """

    reason: str
    rule: str = ""
    hint: str = ""
    code: DenyCode = DenyCode.DENIED
    plugin: str = ""


class Rewrite(Struct, frozen=True, kw_only=True):
    """Run this text instead, if all plugins let it. Parameters stay as they are."""

    text: str
    reason: str = ""
    plugin: str = ""

    def __repr__(self) -> str:
        return f"Rewrite(plugin={self.plugin!r}, {len(self.text)} characters)"


Verdict: TypeAlias = Allow | Deny | Rewrite


class Risk(Struct, frozen=True, kw_only=True):
    """How much harm a statement could do, from 0 to 100, and why: one short phrase each, which quote no value."""

    score: int
    reasons: tuple[str, ...] = ()


class Limit(Struct, frozen=True, kw_only=True):
    """How many rows a statement may show.

    The row that is too many, and all behind it, stay back; the statement then ends in an ordinary error that says
    so. A transaction block that it is in is left aborted where the database knows that; elsewhere what the statement
    changed is undone by itself, or the error says that it is not. Rows of COPY count too, header and trailer among
    them; those of a cursor count for all its FETCHes together.

    Attributes:
        rows: at most so many.
        rule: the rule that sets the limit, as its owner would look it up.
        hint: what to do instead.
        plugin: who set it; filled in by gatepost.
    """

    rows: int
    rule: str = ""
    hint: str = ""
    plugin: str = ""
