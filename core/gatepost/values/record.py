"""What goes on record beside statements, and what the record tells."""

from __future__ import annotations

from msgspec import Struct

from gatepost.values.sessions import Session
from gatepost.values.statements import Statement


class PastStatement(Struct, frozen=True, kw_only=True):
    """A statement from the record: who asked for it, when (Unix seconds), and what became of it.

    Attributes:
        session: as it is recorded; claims and limits of the identity are not.
        statement: its text as it rests, so a literal may be masked; its facts are those that were judged.
        verdict: "allow", "deny" or "rewrite".
        rule: the rule that decided, or "".
    """

    at: float
    session: Session
    statement: Statement
    verdict: str
    rule: str = ""


class Change(Struct, frozen=True, kw_only=True):
    """What a person changes of the gate itself by a command: an agent's credentials, say. No secret is in it.

    Attributes:
        action: the command, such as "agents add".
        name: what is changed, such as the agent's name.
        detail: to what, in words for a person.
        is_done: False for one that was announced and has failed then.
    """

    action: str
    name: str
    detail: str = ""
    is_done: bool = True


class Shown(Struct, frozen=True, kw_only=True):
    """One thing that a client was shown, decoded from a recording for a person to read.

    Attributes:
        kind: "columns", "row", "error", "notice", "notification", "tag", "copy" or "state".
        cells: the texts, None for NULL.
    """

    kind: str
    cells: tuple[str | None, ...] = ()
