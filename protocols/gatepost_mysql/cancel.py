"""A second connection to the database, which kills what the first one runs, and not the first one itself.

Source: MySQL 9 manual, "KILL Statement".
"""

from __future__ import annotations

from collections.abc import Iterator

from gatepost.adapter import CLIENT, Action, Close, Environment, SendUpstream, Side, TlsInfo
from gatepost.errors import UpstreamFault
from gatepost.phases import CancelSession
from gatepost.values import (
    EndCode,
    Reason,
    Restriction,
    UpstreamCredentials,
)
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.dialogue import Dialogue
from gatepost_mysql.login import LoggedIn, Login, Wish


class CancelUpstream(CancelSession):
    """Logs in as the session did, and asks the database to kill what that one runs.

    Args:
        credentials: those of the session whose statement is cancelled.
        number: that session's, at the database.
    """

    def __init__(self, environment: Environment, credentials: UpstreamCredentials, number: int) -> None:
        self._environment = environment
        self._credentials = credentials
        self._number = number
        self._dialogue = Dialogue(environment.limits.startup_bytes, UpstreamFault, SendUpstream)
        self._login: Login | None = None
        self._has_asked = False

    def connected(self, credentials: UpstreamCredentials, restriction: Restriction) -> list[Action]:
        wish = Wish(capabilities=Capability(0))
        self._login = Login(self._environment, self._dialogue, wish, self._credentials, self._kill)
        return list(self._login.begin())

    def receive(self, side: Side, data: bytes) -> list[Action]:
        if side is CLIENT:
            return []
        self._dialogue.inbox.feed(data)
        if not self._has_asked:
            return list(self._login.receive()) if self._login else []
        if self._dialogue.hear() is None:
            return []
        # An ERR says that nothing runs there any more, which is as good.
        return [Close(Reason(code=EndCode.CANCEL_REQUEST))]

    def tls_started(self, side: Side, info: TlsInfo) -> list[Action]:
        return list(self._login.tls_started(info)) if self._login else []

    def _kill(self, login: LoggedIn) -> Iterator[Action]:
        self._has_asked = True
        self._dialogue.number = 0
        yield self._dialogue.say(f"\x03KILL QUERY {self._number}".encode())
