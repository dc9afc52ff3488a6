"""What a client is shown in answer: columns, rows, and texts that are neither."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from msgspec import Struct

from gatepost.values.facts import Origin
from gatepost.values.scalars import Kind, Scalar
from gatepost.values.statements import Statement

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Column(Struct, frozen=True, kw_only=True):
    """A result's column.

    Attributes:
        name: as the client will see it.
        kind: what its values are; of an ARRAY's elements, `element`.
        is_text: its values travel as characters (a number in decimal digits is text; a binary bigint is not).
        type_name: the protocol's own name of the type, for the record.
        capacity: the range that an INTEGER's type can hold, as a number of bytes, else 0.
        origin: an opaque identity of the base column it comes from directly, equal for equal
            columns of one target, or None.
        base: the same by name, where the catalogue tells.
    """

    name: str
    kind: Kind
    is_text: bool
    element: Kind | None = None
    type_name: str = ""
    capacity: int = 0
    origin: tuple[int, int] | None = None
    base: Origin | None = None


class Result(Struct, frozen=True, kw_only=True):
    """A result's columns, before its rows.

    Attributes:
        is_copy: a row is a line of COPY, with one text column; or, in binary format, a tuple in one column, where its
            own columns are not known. A COPY of known columns in binary format is a result like others.
    """

    statement: Statement
    columns: tuple[Column, ...]
    is_copy: bool = False


class Interest(Struct, frozen=True, kw_only=True):
    """Which rows a plugin wants to see. Rows that no plugin wants leave as the bytes that came.

    Attributes:
        maybe: asked with the bytes of one or more whole rows, values and framing together; false only where
            none of them can matter. `re.compile(rb"…").search` is one. None: every row.
        columns: positions of columns that must be looked at whatever the bytes are (a tagged
            column, a binary number).

    A row is wanted if `maybe` says so, or if a cell in one of `columns` is not NULL. A faster
    `maybe` may answer for a whole chunk: true costs time, false is a promise.
    """

    NOTHING: ClassVar[Interest]
    EVERYTHING: ClassVar[Interest]

    maybe: Callable[[bytes], object] | None = None
    columns: frozenset[int] = frozenset()


def _nowhere(data: bytes) -> bool:
    return False


Interest.NOTHING = Interest(maybe=_nowhere)
Interest.EVERYTHING = Interest()


class Row(Protocol):
    """One row on its way out. A cell is decoded when it is asked for."""

    @property
    def columns(self) -> Sequence[Column]: ...

    def __len__(self) -> int: ...

    def raw(self, column: int) -> bytes | None:
        """The cell as it travels, None for NULL."""

    def scalars(self, column: int) -> tuple[Scalar, ...]:
        """The values that the cell is made of: itself, or the elements of an array or a record; () for NULL.

        JSON is one scalar of kind JSON. Raises UpstreamFault where the bytes are not of the column's type.
        """

    def replace(self, column: int, texts: Sequence[str | None]) -> None:
        """Put these texts in the place of the cell's scalars, one each, None for NULL.

        The cell keeps its type. Raises ValueError where the type cannot hold a text.
        """

    def redact(self, column: int, text: str) -> None:
        """Replace the whole cell, a NULL too, by `text` where its type can hold it, else by NULL."""

    def drop(self) -> None:
        """Let the row not leave."""


class RowBatch(Protocol):
    """All rows of a chunk in one buffer, for plugins that must be fast on every row.

    `offsets` and `lengths` are computed for all rows at once when a column is first asked for.
    """

    @property
    def columns(self) -> Sequence[Column]: ...

    @property
    def buffer(self) -> bytes:
        """The rows, framing included."""

    def __len__(self) -> int:
        """How many rows."""

    def offsets(self, column: int) -> NDArray[Any]:
        """Where each row's cell begins in `buffer`, int64."""

    def lengths(self, column: int) -> NDArray[Any]:
        """How long each row's cell is, in bytes, int64; -1 for NULL."""

    def patch(self, positions: NDArray[Any], values: NDArray[Any] | int, cells: int) -> None:
        """Overwrite single bytes of cells: same length, same framing. `cells` is how many cells that changes."""

    def locate(self, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int, int, int, int]]:
        """The cells that ascending, disjoint parts of `buffer`, each from its start to its end, have bytes of.

        Each comes as its row, its column, where in `buffer` it begins and ends, and where what it shares with the part
        does; one that several parts touch comes once for each. For a few places in a few rows this is quicker than
        `offsets`. Raises UpstreamFault where a row is not what its framing says.
        """

    def places(self, lengths: range) -> Iterable[tuple[Kind, int, Sequence[int]]]:
        """Where in `buffer` cells of such lengths begin, in columns of text and of integers that travel as text.

        They come by kind and length, and ascend. A glance finds them: there may be more, and where there are fewer
        ASCII digits than the length says, there may be no cell.
        """

    def rewrite(self, buffer: bytes, cells: int) -> None:
        """Put these bytes in the place of `buffer`: same length, same framing. `cells` is how many cells differ."""

    def overwrite(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        """Overwrite bytes from offsets in `buffer` on, each piece within one cell: same length, same framing."""

    def row(self, index: int) -> Row:
        """One row, to decode or to change at length."""

    def drop(self, index: int) -> None:
        """Let the row not leave."""

    def settle(self) -> None:
        """Let `buffer`, `offsets` and `lengths` show rows that were changed at length. For gatepost, between plugins:
        positions and rows from before are void."""


class NoticeKind(StrEnum):
    ERROR = "error"
    NOTICE = "notice"
    NOTIFICATION = "notification"
    PARAMETER = "parameter"
    TAG = "tag"
    COLUMN = "column"


class Notice:
    """A text from the server that is no row. `fields` may be changed in place.

    Attributes:
        kind: what it is.
        fields: its texts by name: "message", "detail", "hint", "where", "schema", "table", "column", "constraint",
            "query", … of an ERROR or NOTICE; "channel" and "payload"; "name" and "value"; "tag"; a COLUMN's "name" or
            "default".
        code: the server's error code, or "".
        is_about_text: it is an error in the statement's own text, and what it quotes is from there.
    """

    __slots__ = ("code", "fields", "is_about_text", "kind")

    def __init__(
        self, kind: NoticeKind, fields: dict[str, str], code: str = "", *, is_about_text: bool = False
    ) -> None:
        self.kind = kind
        self.fields = fields
        self.code = code
        self.is_about_text = is_about_text
