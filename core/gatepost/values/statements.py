"""What a client asks for, and what came of it."""

from __future__ import annotations

from msgspec import Struct

from gatepost.values.facts import Facts
from gatepost.values.scalars import Scalar
from gatepost.values.verdicts import Limit, Risk


class Statement(Struct, frozen=True, kw_only=True):
    """What a client asks for.

    Attributes:
        number: counts the statements of a session from 1.
        text: the SQL, exactly as it will run.
        parameters: bound values, None for NULL; each value is the scalars that it is made of.
        attributes: what the client says of it besides: names, one of which may come twice, and values like those of
            parameters. SQL may read them.
        is_preparation: it is only prepared; its execution is asked again, with parameters.
        facts: what the text means.
        original: the text before a plugin rewrote it, else None.
        risk: what a plugin before this one has found, else None.
        limit: the strictest that a plugin before this one has set, else None.
    """

    number: int
    text: str
    facts: Facts
    parameters: tuple[tuple[Scalar, ...] | None, ...] = ()
    attributes: tuple[tuple[str, tuple[Scalar, ...] | None], ...] = ()
    is_preparation: bool = False
    original: str | None = None
    risk: Risk | None = None
    limit: Limit | None = None

    def __repr__(self) -> str:
        return f"Statement(number={self.number}, effect={self.facts.effect.value!r}, {len(self.text)} characters)"


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a statement.

    Attributes:
        rows, bytes: how much of its answer left for the client; `bytes` counts rows alone.
        received: bytes of COPY data, or of a file, that the client sent for it.
        duration: seconds from the verdict to the end of the answer.
        tag: the server's own summary, such as "SELECT 20".
        error: the server's error code, or "" if it succeeded.
        message: the error's text, as the client saw it.
        masked: cells that a plugin changed.
        complete: the answer came to its end; False when the session ended first.
    """

    rows: int = 0
    bytes: int = 0
    received: int = 0
    duration: float = 0.0
    tag: str = ""
    error: str = ""
    message: str = ""
    masked: int = 0
    complete: bool = True
