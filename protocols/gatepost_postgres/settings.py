"""The session settings that gatepost insists on, and the statements that would change them.

Texts are judged as UTF-8 with standard strings, so the server must read them as such. A session that is restricted to
reading has read-only transactions alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gatepost.errors import FaultCode, UpstreamFault
from gatepost.values import Deny, Effect, Facts, Restriction

REQUIRED: Final[Mapping[str, str]] = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}
_READ_ONLY: Final = "default_transaction_read_only"

# Other ways to write those values.
_ON: Final = frozenset({"on", "true", "yes", "1"})
_READABLE: Final[Mapping[str, frozenset[str]]] = {
    "client_encoding": frozenset({"utf8", "unicode"}),
    "standard_conforming_strings": _ON,
}
_READING: Final[Mapping[str, frozenset[str]]] = {_READ_ONLY: _ON, "transaction_read_only": _ON}

# These set all settings to what they were after the login.
RESETS: Final = frozenset({"reset", "discard"})


class Demands:
    """What a session's settings must be.

    Attributes:
        required: settings that the login asks for, and that the server must report so if it reports them.
    """

    def __init__(self, restriction: Restriction) -> None:
        self._is_read_only = restriction.read_only
        self.required = {**REQUIRED, _READ_ONLY: "on"} if restriction.read_only else REQUIRED

    def check(self, name: str, value: str) -> None:
        """Take what the server reports. Raises UpstreamFault if what was judged is not what it does under that."""
        required = self.required.get(name, value)
        if value != required:
            raise UpstreamFault(
                f"the session's {name} was changed, and what follows could do something else than was judged",
                code=FaultCode.UNSUPPORTED,
                hint=f"leave {name} at {required}",
            )

    def refusal(self, facts: Facts) -> Deny | None:
        """The denial of a statement that would change what is demanded, or that could without its text's telling."""
        return refusal(facts) or (_refusal_to_write(facts) if self._is_read_only else None)


def refusal(facts: Facts) -> Deny | None:
    """The denial of a statement that would change how the bytes of later ones are read, or None."""
    for name, value in facts.settings:
        if _differs(_READABLE, name, value):
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


def _differs(demanded: Mapping[str, frozenset[str]], name: str, value: str | None) -> bool:
    allowed = demanded.get(name)
    return allowed is not None and (value is None or _plain(value) not in allowed)


def _plain(value: str) -> str:
    """A value as PostgreSQL compares names of encodings: letters and digits, in lower case."""
    return "".join(character for character in value.lower() if character.isalnum())


def _refusal_to_write(facts: Facts) -> Deny | None:
    """The denial of what would leave read-only transactions, or of what could: its text does not tell."""
    if any(_differs(_READING, name, value) for name, value in facts.settings):
        reason = "this session is read-only, and no transaction may write"
    elif any(name == "*" for name, _ in facts.settings) and not RESETS.issuperset(facts.verbs):
        reason = "this session is read-only, and which setting the statement changes cannot be told"
    elif facts.effect is Effect.UNKNOWN:
        reason = "this session is read-only, and what the statement does cannot be told"
    else:
        return None
    return Deny(reason=reason, rule="gatepost: read-only session", hint="read with SELECT, in plain transactions")
