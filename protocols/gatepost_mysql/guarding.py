"""A statement that shows rows of what it changes, under a limit: where one row is too many, it is undone.

A savepoint goes before it. Its answer tells whether there is a transaction to set it in; if there is none, the
statement gets one of its own. Neither the client's transaction nor its locks end by that.

Source: MariaDB Knowledge Base, "SAVEPOINT" and "SET autocommit"; MySQL internals manual, "OK_Packet".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gatepost.adapter import Action
from gatepost.errors import UpstreamFault
from gatepost.values import Effect, Statement
from gatepost_mysql import messages
from gatepost_mysql.frames import Reader

_RETURNING: Final = re.compile(r"\breturning\b", re.IGNORECASE)
_EOF_BYTES: Final = 5
# What a status tells of transactions.
_TRANSACTION: Final = messages.IN_TRANSACTION | messages.AUTOCOMMIT | messages.IN_READ_ONLY_TRANSACTION


class _Way(NamedTuple):
    """Texts that go before a statement, and those behind it, if what it changed stays, and if it does not."""

    before: tuple[bytes, ...]
    keep: tuple[bytes, ...]
    undo: tuple[bytes, ...]


_SAVEPOINT: Final = b"SAVEPOINT `gatepost limit`"
_AMID: Final = _Way((), (b"RELEASE SAVEPOINT `gatepost limit`",), (b"ROLLBACK TO SAVEPOINT `gatepost limit`",))
_AUTOCOMMIT: Final = b"SET autocommit = 1"
_ALONE: Final = _Way(
    (b"SET autocommit = 0",),
    (b"COMMIT AND NO CHAIN NO RELEASE", _AUTOCOMMIT),
    (b"ROLLBACK AND NO CHAIN NO RELEASE", _AUTOCOMMIT),
)

UNDONE: Final = ", and what the statement changed is undone"
SOME_REMAINS: Final = ", and what the statement changed is undone, but in tables without transactions"


def is_due(statement: Statement) -> bool:
    """Whether a statement can show more rows than it may when it has changed something already."""
    known = statement.facts
    return (
        statement.limit is not None and known.effect is Effect.WRITE and _RETURNING.search(statement.text) is not None
    )


class Guard:
    """What goes before and behind one statement.

    Args:
        start: begins the statement.

    Attributes:
        is_over: the statement is answered.
        has_undone: what it changed does not stay.
        number: of the client's next packet.
        answer: what ends its answer, held until it is certain.
        remains: some of what it changed cannot be undone.
    """

    def __init__(self, start: Callable[[], Action]) -> None:
        self.start = start
        self.is_over = self.has_undone = self.remains = False
        self.number = 1
        self.answer: Sequence[bytes] = ()
        self._way: _Way | None = None
        self._commands: list[bytes] = [_SAVEPOINT]

    @property
    def is_left(self) -> bool:
        """A command is to come yet."""
        return bool(self._commands)

    def next(self) -> bytes | None:
        """The next command's text; None where it is the statement's turn, or nothing is left."""
        return self._commands.pop(0) if self._commands else None

    def taken(self, message: bytes) -> int:
        """A command was answered by this OK. Returns the status."""
        reader = Reader(message[1:])
        reader.counted_number()
        reader.counted_number()
        status, warnings = reader.number(2), reader.number(2)
        if self._way is None:
            is_amid = status & messages.IN_TRANSACTION or not status & messages.AUTOCOMMIT
            self._way = _AMID if is_amid else _ALONE
            self._commands += self._way.before
        self.remains |= self.has_undone and warnings > 0
        return status

    def refused(self, *, has_failed: bool) -> bool:
        """A command was answered by an ERR; the statement may have failed itself.

        Returns whether the client is to be told of it in the answer's place. Raises UpstreamFault where the session
        cannot go on.
        """
        if not self.is_over:
            self._commands.clear()
            return True
        if self.has_undone:
            raise UpstreamFault("the database does not undo a statement that has more rows than it may show")
        if self._commands:
            return True  # the statement is not committed; its session goes on
        if self._way is _AMID and has_failed:
            return False  # what has failed took the transaction with it
        raise UpstreamFault("the database does not bring the session back to where it was")

    def over(self, number: int, *, is_too_long: bool) -> None:
        """The statement is answered."""
        assert self._way is not None
        self.is_over, self.has_undone, self.number = True, is_too_long, number
        self._commands += self._way.undo if is_too_long else self._way.keep

    def hold(self, answer: Sequence[bytes]) -> Sequence[bytes]:
        """What the client may be told now of these messages."""
        if not self.is_over or not answer:
            return answer
        self.answer = answer
        return ()


def with_status(message: bytes, status: int) -> bytes:
    """An OK or EOF that says of transactions what this status does; an ERR as it is."""
    if message[0] == messages.ERROR:
        return message
    if message[0] == messages.EOF and len(message) == _EOF_BYTES:
        at = 3
    else:
        reader = Reader(message[1:])
        reader.counted_number()
        reader.counted_number()
        at = len(message) - reader.left
    told = int.from_bytes(message[at : at + 2], "little") & ~_TRANSACTION | status & _TRANSACTION
    return message[:at] + told.to_bytes(2, "little") + message[at + 2 :]
