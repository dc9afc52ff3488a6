"""RowDescription: a result's columns, and what their cells' bytes are.

Source: PostgreSQL 18 documentation, 54.7, RowDescription.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gatepost.errors import UpstreamFault
from gatepost.values import Column, Kind
from gatepost_postgres import messages
from gatepost_postgres.types import BINARY_FORMAT, COPY_TUPLES, TEXT_FORMAT, TEXT_OID, TYPES, UNKNOWN
from gatepost_sql import base
from gatepost_sql.catalogue import Catalogue

_count = struct.Struct("!h")
_field = struct.Struct("!IhIhih")

_SHORT: Final = frozenset((Kind.TIME, Kind.BOOLEAN))
_LONG_INTEGER: Final = 8
# The two bytes of a row's number of columns would be zeros in part.
_MANY: Final = 256


class Description(Struct, frozen=True, kw_only=True):
    """A result's columns, each with its type and the format that its cells travel in.

    Attributes:
        body: the RowDescription's body that said so, or b"".
        columns: what plugins see.
        oids: the type of each column.
        formats: 0 for text, 1 for binary, for each column.
        digits: the kinds of those columns in which a long number can stand; None if some cells are not characters.
    """

    body: bytes
    columns: tuple[Column, ...]
    oids: tuple[int, ...]
    formats: tuple[int, ...]
    digits: frozenset[Kind] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def with_names(self, names: Sequence[str]) -> bytes:
        """The body with other names. Raises ValueError if a name holds a NUL, or if there are more or fewer."""
        parts = [self.body[: _count.size]]
        at = _count.size
        for _, name in zip(self.columns, names, strict=True):
            at = self.body.index(b"\0", at) + 1 + _field.size
            parts += (messages.cstring(name), self.body[at - _field.size : at])
        return b"".join(parts)

    def only(self, names: Sequence[str]) -> Description | None:
        """Those columns alone, in this order and without a body; None if one of them is not there."""
        if not set(names) <= set(self.names):
            return None
        places = [self.names.index(name) for name in names]
        columns = tuple(self.columns[place] for place in places)
        return Description(
            body=b"",
            columns=columns,
            oids=tuple(self.oids[place] for place in places),
            formats=tuple(self.formats[place] for place in places),
            digits=_kinds_of_digits(columns),
        )

    def __repr__(self) -> str:
        return f"Description({len(self.columns)} columns)"


def _is_text(oid: int, fmt: int) -> bool:
    return fmt == TEXT_FORMAT or TYPES.get(oid, UNKNOWN).is_text


def describe(body: bytes, catalogue: Catalogue | None = None, *, is_copied: bool = False) -> Description:
    """The columns of a RowDescription's body, and of which tables they are if there is a catalogue.

    Args:
        is_copied: they are sent by a COPY in binary format, whatever the description says of that.

    Raises UpstreamFault where it is malformed.
    """
    columns: list[Column] = []
    oids: list[int] = []
    formats: list[int] = []
    try:
        (count,) = _count.unpack_from(body)
        at = _count.size
        for _ in range(count):
            end = body.index(b"\0", at)
            name = body[at:end].decode()
            table, attribute, oid, _, _, fmt = _field.unpack_from(body, end + 1)
            at = end + 1 + _field.size
            if fmt not in (TEXT_FORMAT, BINARY_FORMAT):
                raise UpstreamFault("the server described a column in a format that does not exist")
            type_ = TYPES.get(oid, UNKNOWN)
            if is_copied:
                fmt = BINARY_FORMAT
            columns.append(
                Column(
                    name=name,
                    kind=type_.kind,
                    is_text=_is_text(oid, fmt),
                    element=type_.element,
                    type_name=type_.name or str(oid),
                    capacity=type_.capacity,
                    origin=(table, attribute) if table and attribute else None,
                    base=base(catalogue, table, attribute) if catalogue is not None and table else None,
                )
            )
            oids.append(oid)
            formats.append(fmt)
    except (struct.error, ValueError):
        raise UpstreamFault("the server sent a malformed row description") from None
    if count < 0 or at != len(body):
        raise UpstreamFault("the server sent a malformed row description")
    return Description(
        body=body,
        columns=tuple(columns),
        oids=tuple(oids),
        formats=tuple(formats),
        digits=_kinds_of_digits(columns),
    )


def _kinds_of_digits(columns: Sequence[Column]) -> frozenset[Kind] | None:
    if len(columns) >= _MANY or not all(column.is_text for column in columns):
        return None
    return frozenset(
        column.kind for column in columns if column.kind not in _SHORT and not 0 < column.capacity < _LONG_INTEGER
    )


# A line of COPY, as a row of one text column.
COPY_LINE: Final = Description(
    body=b"",
    columns=(Column(name="line", kind=Kind.TEXT, is_text=True, type_name="copy"),),
    oids=(TEXT_OID,),
    formats=(TEXT_FORMAT,),
)

# A CopyData of COPY in binary format, as a row of one record, whose fields are taken for what they look like.
COPY_BINARY: Final = Description(
    body=b"",
    columns=(Column(name="tuple", kind=Kind.RECORD, is_text=False, type_name="copy"),),
    oids=(COPY_TUPLES,),
    formats=(BINARY_FORMAT,),
)
