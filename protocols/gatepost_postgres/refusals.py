"""What the session itself refuses, whatever plugins say of it."""

from __future__ import annotations

from typing import Final

from gatepost.values import Deny, DenyCode

_STATE: Final = "gatepost: session state"
_LIMITS: Final = "gatepost: session limits"

NO_TEXT: Final = Deny(reason="the statement is not valid UTF-8", hint="send it in UTF-8", code=DenyCode.SYNTAX)
FUNCTION_CALL: Final = Deny(reason="function calls by message are not supported", hint="call the function in a SELECT")
UNSETTLED: Final = Deny(
    reason="a statement before this one may have changed how it is read",
    rule=_STATE,
    hint="send a Sync first, or prepare the statement earlier",
)
REDEFINED: Final = Deny(
    reason="what the statement's names stand for may have changed while it waited",
    rule="gatepost: catalogue",
    hint="send it again",
)
# What is fetched is not what was asked about: its columns, its limit and its place on record are another statement's.
BOUND: Final = Deny(
    reason="rows of what a Bind message has made are not fetched by name in SQL",
    rule=_STATE,
    hint="run it by an Execute message, or DECLARE a cursor",
)
RESERVED: Final = Deny(reason="this name is reserved", rule=_LIMITS, hint="give the prepared statement another name")
TOO_MANY_STATEMENTS: Final = Deny(
    reason="too many prepared statements", rule=_LIMITS, hint="close those that are not needed"
)
TOO_MANY_PORTALS: Final = Deny(reason="too many portals", rule=_LIMITS, hint="close those that are not needed")
