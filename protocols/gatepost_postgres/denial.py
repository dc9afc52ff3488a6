"""Denials that are ordinary errors: the server is made to fail in the denied message's place.

What is sent instead is a Parse that cannot succeed. The server then does all that an error entails
(it aborts the transaction, it skips to the next Sync, its answers stay in order) and its
ErrorResponse is replaced by one that says what was denied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gatepost.values import Deny, DenyCode
from gatepost_postgres import messages

INSUFFICIENT_PRIVILEGE: Final = "42501"
FEATURE_NOT_SUPPORTED: Final = "0A000"

SQLSTATES: Final[Mapping[DenyCode, str]] = {
    DenyCode.DENIED: INSUFFICIENT_PRIVILEGE,
    DenyCode.CANCELLED: "57014",
    # Of the codes for an unavailable service, the one that connection pools do not take for a dead connection.
    DenyCode.UNAVAILABLE: "58030",
    DenyCode.SYNTAX: "42601",
}

SYNC: Final = messages.message(messages.SYNC, b"")
COPY_FAIL: Final = messages.message(messages.COPY_FAIL, messages.cstring("refused by gatepost"))
FLUSH: Final = messages.message(messages.FLUSH, b"")

PRIVATE_NAME: Final = b"gatepost"
"""The prepared statement of gatepost's own, for the unnamed one is lost even when its Parse fails. Clients get none."""
FAILING_PARSE: Final = messages.message(
    messages.PARSE, PRIVATE_NAME + b"\0" + messages.cstring("denied by gatepost") + b"\0\0"
)


def refusal(deny: Deny, code: str = "") -> bytes:
    """The ErrorResponse that says so, with `code` or the SQLSTATE of the denial's own code."""
    source = f"{deny.plugin}: {deny.rule}" if deny.plugin and deny.rule else deny.plugin or deny.rule
    return messages.error(
        code or SQLSTATES[deny.code],
        _text(deny.reason),
        detail=_text(f"rule {source}") if source else "",
        hint=_text(deny.hint),
    )


def _text(text: str) -> str:
    return text.replace("\0", "")
