"""The answer to a preparation, message by message.

Source: MySQL internals manual, "COM_STMT_PREPARE Response".
"""

from __future__ import annotations

from typing import Final, Self

from msgspec import Struct

from gatepost.errors import UpstreamFault
from gatepost.values import Statement
from gatepost_mysql import messages
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.frames import Reader
from gatepost_mysql.results import Plans
from gatepost_mysql.runs import Prepared
from gatepost_mysql.texts import eof_status

_HEAD_BYTES: Final = 12


class Head(Struct, frozen=True):
    """What the server says first of a statement that it has prepared: its number, and how many of each follow."""

    number: int
    columns: int
    parameters: int

    @classmethod
    def read(cls, message: bytes) -> Self:
        """Raises UpstreamFault where it is malformed."""
        if len(message) < _HEAD_BYTES or message[0] != messages.OK:
            raise UpstreamFault("the server broke the protocol in its answer to a preparation")
        reader = Reader(message[1:])
        return cls(reader.number(4), reader.number(2), reader.number(2))


class Preparation:
    """What has come of a preparation.

    Args:
        statement: what is prepared.
        search_path: where its names are looked up.
        plans: what makes definitions fit for the client.

    Attributes:
        number: the server's, once the first message has come.
        prepared: what has that number.
    """

    def __init__(
        self, statement: Statement, search_path: tuple[str, ...] | None, capabilities: Capability, plans: Plans
    ) -> None:
        self._statement = statement
        self._search_path = search_path
        self._plans = plans
        self._has_eof = not capabilities & Capability.DEPRECATE_EOF
        self._keeps = bool(capabilities & Capability.CACHE_METADATA)
        # Definitions that are due: of parameters, then of columns.
        self._parameters = self._columns = 0
        self._is_eof_due = False
        self._definitions: list[bytes] = []
        self.number = 0
        self.prepared: Prepared | None = None

    @property
    def is_over(self) -> bool:
        return self.prepared is not None and not (self._parameters or self._columns or self._is_eof_due)

    def take(self, message: bytes) -> bytes:
        """One more message, as the client may see it. Raises UpstreamFault."""
        if self.prepared is None:
            self.prepared = self._head(message)
        elif self._is_eof_due:
            eof_status(message)
            self._is_eof_due = False
        elif self._parameters:
            self._parameters -= 1
            self._is_eof_due = self._has_eof and not self._parameters
            return self._plans.definition(message)
        else:
            self._columns -= 1
            self._is_eof_due = self._has_eof and not self._columns
            if self._keeps:
                self._definitions.append(message)
                if not self._columns:
                    self.prepared.describe(self._definitions)
            return self._plans.definition(message)
        return message

    def _head(self, message: bytes) -> Prepared:
        head = Head.read(message)
        self.number, self._columns, self._parameters = head.number, head.columns, head.parameters
        statement = self._statement
        return Prepared(
            statement.text, statement.facts, statement.original, self._parameters, search_path=self._search_path
        )
