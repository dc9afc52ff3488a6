"""An execution that plugins have other words for: the new text is prepared beside what the client has prepared.

It is executed with the client's values and closed at once, under a number that the client never sees.

Source: MySQL internals manual, "COM_STMT_PREPARE Response", "COM_STMT_EXECUTE" and "COM_STMT_SEND_LONG_DATA".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatepost.errors import ClientFault
from gatepost.values import Deny
from gatepost_mysql import messages
from gatepost_mysql.frames import Reader
from gatepost_mysql.preparation import Head

_FLAGS: Final = 5
_CURSORS: Final = 0x07
_VALUES: Final = 10

OTHER_PARAMETERS: Final = Deny(
    reason="a plugin has other words for this statement, which take other parameters than those that were prepared",
    rule="gatepost: prepared statements",
    hint="Send the statement as a text, with its values in it.",
)
OTHER_COLUMNS: Final = Deny(
    reason="a plugin has other words for this statement, which have other columns than those that were prepared",
    rule="gatepost: prepared statements",
    hint="Send the statement as a text, with its values in it.",
)


class Beside:
    """A preparation of gatepost's own, and what to execute then.

    Args:
        execution: the client's COM_STMT_EXECUTE.
        types: of its parameters, as `gatepost_mysql.parameters` gives them.
        long_data: the messages that came ahead of it.
        is_named: as that of `with_types`.

    Attributes:
        definitions: of its columns.
    """

    def __init__(
        self, execution: bytes, types: tuple[int, ...], long_data: Sequence[bytes], *, is_named: bool = False
    ) -> None:
        self.execution = execution
        self._types = types
        self._is_named = is_named
        self._long_data = tuple(long_data)
        self._prepared: Head | None = None
        self._left = 0
        self.definitions: tuple[bytes, ...] = ()

    def take(self, message: bytes, *, has_eof: bool) -> bool:
        """One more message of the server's answer, which is no error; true with the last. Raises UpstreamFault."""
        if self._prepared is None:
            self._prepared = Head.read(message)
            self._left = sum(count + has_eof for count in (self._prepared.parameters, self._prepared.columns) if count)
        else:
            self._left -= 1
            # Columns come last, and behind them an EOF.
            if has_eof <= self._left < self._prepared.columns + has_eof:
                self.definitions += (message,)
        return not self._left

    @property
    def fits(self) -> bool:
        """What is prepared takes as many parameters as there are values."""
        assert self._prepared is not None
        return self._prepared.parameters == len(self._types)

    def commands(self) -> tuple[bytes, ...]:
        """What runs it, the execution last. No cursor is opened, for it would outlive the statement."""
        execution = without_cursor(with_types(self.execution, self._types, is_named=self._is_named))
        return tuple(map(self._numbered, (*self._long_data, execution)))

    def close(self) -> bytes:
        """The command that ends it. It is not answered, so it need not wait for the answer to the execution."""
        return self._numbered(bytes((messages.STMT_CLOSE, 0, 0, 0, 0)))

    def _numbered(self, message: bytes) -> bytes:
        assert self._prepared is not None
        return message[:1] + self._prepared.number.to_bytes(4, "little") + message[_FLAGS:]


def without_cursor(execution: bytes) -> bytes:
    """A COM_STMT_EXECUTE whose rows are sent at once, as a server may do whatever it is asked for."""
    return execution[:_FLAGS] + bytes((execution[_FLAGS] & ~_CURSORS,)) + execution[_FLAGS + 1 :]


def with_types(execution: bytes, types: tuple[int, ...], *, is_named: bool) -> bytes:
    """A COM_STMT_EXECUTE that tells the types of its parameters, whether or not it did.

    Args:
        is_named: it says how many values it has, and names them.
    """
    if not types or tells_types(execution, types, is_named=is_named):
        return execution
    at = _flag_at(execution, types, is_named=is_named)
    no_name = b"\0" if is_named else b""
    told = b"".join(type_.to_bytes(2, "little") + no_name for type_ in types)
    return execution[:at] + b"\1" + told + execution[at + 1 :]


def tells_types(execution: bytes, types: tuple[int, ...], *, is_named: bool) -> bool:
    """A COM_STMT_EXECUTE of parameters of these types says so itself."""
    return bool(types) and execution[_flag_at(execution, types, is_named=is_named)] == 1


def _flag_at(execution: bytes, types: tuple[int, ...], *, is_named: bool) -> int:
    """Where it says whether types follow, behind a bit for each value."""
    at, count = _VALUES, len(types)
    if is_named:
        reader = Reader(execution[at:], ClientFault)
        count = reader.counted_number()
        at = len(execution) - reader.left
    return at + (count + 7) // 8
