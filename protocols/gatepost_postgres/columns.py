"""RowDescription: a result's columns, and what their cells' bytes are.

Source: PostgreSQL 18 documentation, 54.7, RowDescription and Bind (result-column format codes).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gatepost.errors import ClientFault, UpstreamFault
from gatepost.values import Column, Kind
from gatepost_postgres import messages
from gatepost_postgres.types import BINARY_FORMAT, COPY_TUPLES, TEXT_FORMAT, TEXT_OID, TYPES, UNKNOWN

_count = struct.Struct("!h")
_field = struct.Struct("!IhIhih")


class Description(Struct, frozen=True, kw_only=True):
    """A result's columns, each with its type and the format that its cells travel in.

    Attributes:
        body: the RowDescription's body that said so, or b"".
        columns: what plugins see.
        oids: the type of each column.
        formats: 0 for text, 1 for binary, for each column.
    """

    body: bytes
    columns: tuple[Column, ...]
    oids: tuple[int, ...]
    formats: tuple[int, ...]

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

    def with_formats(self, codes: Sequence[int]) -> Description:
        """The same columns in the formats that a Bind asks for: no code means text, one holds for all columns.

        Raises ClientFault for a code that is neither 0 nor 1, or for another number of codes than columns.
        """
        formats = formats_of(codes, len(self.columns))
        if formats == self.formats:
            return self
        columns = tuple(
            replace(column, is_text=_is_text(oid, fmt))
            for column, oid, fmt in zip(self.columns, self.oids, formats, strict=True)
        )
        return replace(self, columns=columns, formats=formats)

    def __repr__(self) -> str:
        return f"Description({len(self.columns)} columns)"


def formats_of(codes: Sequence[int], count: int) -> tuple[int, ...]:
    """One format for each of `count` values, from the codes of a Bind. Raises ClientFault."""
    if any(code not in (TEXT_FORMAT, BINARY_FORMAT) for code in codes):
        raise ClientFault("a Bind asks for a format that does not exist")
    if len(codes) > 1 and len(codes) != count:
        raise ClientFault("a Bind has another number of format codes than of values")
    return tuple(codes) if len(codes) > 1 else (codes[0] if codes else TEXT_FORMAT,) * count


def _is_text(oid: int, fmt: int) -> bool:
    return fmt == TEXT_FORMAT or TYPES.get(oid, UNKNOWN).is_text


def describe(body: bytes) -> Description:
    """The columns of a RowDescription's body. Raises UpstreamFault where it is malformed."""
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
            columns.append(
                Column(
                    name=name,
                    kind=type_.kind,
                    is_text=_is_text(oid, fmt),
                    element=type_.element,
                    type_name=type_.name or str(oid),
                    origin=(table, attribute) if table and attribute else None,
                )
            )
            oids.append(oid)
            formats.append(fmt)
    except (struct.error, ValueError):
        raise UpstreamFault("the server sent a malformed row description") from None
    if count < 0 or at != len(body):
        raise UpstreamFault("the server sent a malformed row description")
    return Description(body=body, columns=tuple(columns), oids=tuple(oids), formats=tuple(formats))


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
