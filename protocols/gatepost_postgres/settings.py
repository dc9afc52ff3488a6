"""The session settings that decide how a statement's bytes are read, and who may change them.

gatepost judges texts as UTF-8 with standard strings, so the server must read them as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gatepost.errors import FaultCode, UpstreamFault
from gatepost.values import Deny, Effect, Facts

REQUIRED: Final[Mapping[str, str]] = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}

# Other ways to write those values.
_READABLE: Final[Mapping[str, frozenset[str]]] = {
    "client_encoding": frozenset({"utf8", "unicode"}),
    "standard_conforming_strings": frozenset({"on", "true", "yes", "1"}),
}


def check(name: str, value: str) -> None:
    """Take what the server reports. Raises UpstreamFault if what was judged could be read otherwise under it."""
    required = REQUIRED.get(name, value)
    if value != required:
        raise UpstreamFault(
            f"the session's {name} was changed, and what follows could mean something else than was judged",
            code=FaultCode.UNSUPPORTED,
            hint=f"leave {name} at {required}",
        )


def refusal(facts: Facts) -> Deny | None:
    """The denial of a statement that would change how the bytes of later ones are read, or None."""
    for name, value in facts.settings:
        allowed = _READABLE.get(name)
        if allowed is not None and (value is None or _plain(value) not in allowed):
            return Deny(
                reason=f"{name} may not be changed: what follows could mean something else than was judged",
                rule="gatepost: session state",
                hint=f"leave {name} as it is",
            )
    return None


def may_change(facts: Facts) -> bool:
    """A statement may change settings in a way that its text does not tell."""
    return facts.effect is Effect.UNKNOWN or any(name == "*" or value is None for name, value in facts.settings)


def is_read_alike(text: str) -> bool:
    """A text means the same under all settings: every client encoding agrees on ASCII, and all strings without "\\"."""
    return text.isascii() and "\\" not in text


def _plain(value: str) -> str:
    """A value as PostgreSQL compares names of encodings: letters and digits, in lower case."""
    return "".join(character for character in value.lower() if character.isalnum())
