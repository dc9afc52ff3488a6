"""Column definitions: a result's columns, and what their cells' bytes are.

Source: MySQL internals manual, "Column Definition" and "COM_FIELD_LIST"; MariaDB Knowledge Base, "Result Set Packets"
and "Extended Metadata".
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from gatepost.errors import FaultCode, UpstreamFault
from gatepost.values import Column, Effect, Facts, Kind, Origin, Output
from gatepost_mysql import charsets, types
from gatepost_mysql.frames import Reader, counted
from gatepost_mysql.types import Type
from gatepost_sql import column
from gatepost_sql.catalogue import Catalogue

_FIXED_BYTES: Final = 12
# Integers of so many bytes have ten digits at most.
_SMALL: Final = 4
# What MariaDB says of a type besides.
_TYPE: Final = 0
_FORMAT: Final = 1
_NOT_KNOWN: Final = Facts(effect=Effect.UNKNOWN)


class Definition(Struct, frozen=True, kw_only=True):
    """A column definition.

    Attributes:
        names: catalog, schema, table, the table's own name, the column's name, the column's own name.
        extension: what MariaDB says of the type besides; None where that was not agreed on.
        fixed: the rest.
        type_name: MariaDB's name of the type, or of the format that texts have; MySQL's where it tells none.
    """

    names: tuple[bytes, ...]
    extension: bytes | None = None
    fixed: bytes
    collation: int
    type: Type
    type_name: str

    def with_names(self, names: Sequence[bytes]) -> bytes:
        """The definition with other names."""
        rest = (self.fixed,) if self.extension is None else (self.extension, self.fixed)
        return b"".join(map(counted, (*names, *rest)))


class Description(Struct, frozen=True, kw_only=True):
    """A result's columns, and how its cells travel.

    Attributes:
        digits: of each column, its kind where its cells may be numbers as long as a card's, written in digits.
    """

    columns: tuple[Column, ...]
    types: tuple[Type, ...]
    is_binary: bool
    digits: tuple[Kind | None, ...]

    def __repr__(self) -> str:
        return f"Description({len(self.columns)} columns)"


def define(message: bytes, *, is_extended: bool = False) -> Definition:
    """Read a column definition. Raises UpstreamFault where it is malformed, or its texts cannot be read.

    Args:
        is_extended: EXTENDED_METADATA was agreed on.
    """
    reader = Reader(message)
    definition = _definition(reader, is_extended=is_extended)
    reader.end()
    return definition


def define_field(message: bytes, *, is_extended: bool = False) -> tuple[Definition, bytes | None]:
    """The same with the column's default value behind it, None for NULL or none. Raises UpstreamFault."""
    reader = Reader(message)
    field = _definition(reader, is_extended=is_extended), reader.nullable()
    reader.end()
    return field


def _definition(reader: Reader, *, is_extended: bool) -> Definition:
    names = tuple(reader.counted() for _ in range(6))
    extension = reader.counted() if is_extended else None
    fixed = reader.counted()
    if len(fixed) != _FIXED_BYTES:
        raise reader.malformed()
    collation = int.from_bytes(fixed[:2], "little")
    type_ = types.of(fixed[6], int.from_bytes(fixed[7:9], "little"), collation)
    if type_ is None:
        raise UpstreamFault("the server described a column of a type that gatepost does not know")
    if type_.kind is Kind.TEXT and not charsets.is_readable(collation) and collation != charsets.BINARY:
        raise UpstreamFault(
            "the server sends texts that are not UTF-8",
            code=FaultCode.UNSUPPORTED,
            hint="Leave character_set_results at utf8mb4.",
        )
    return Definition(
        names=names,
        extension=extension,
        fixed=fixed,
        collation=collation,
        type=type_,
        type_name=_extended_name(extension or b"") or type_.name,
    )


def _extended_name(extension: bytes) -> str:
    reader = Reader(extension)
    told: dict[int, bytes] = {}
    while reader.left:
        kind = reader.number(1)
        if kind in told or kind not in (_TYPE, _FORMAT):
            raise UpstreamFault("the server says something of a column's type that gatepost does not know")
        told[kind] = reader.counted()
    return (told.get(_TYPE) or told.get(_FORMAT, b"")).decode("ascii", "replace")


def describe(
    definitions: Sequence[Definition],
    facts: Facts = _NOT_KNOWN,
    catalogue: Catalogue | None = None,
    *,
    is_binary: bool,
) -> Description:
    """The columns of a result of a statement with these facts.

    Where they come from, the facts prove, or the server says of a statement without queries in it: of the columns of
    those it tells the inner table with the outer query's names.
    """
    outputs = facts.outputs if len(facts.outputs) == len(definitions) else ()
    is_plain = facts.depth == 1 and facts.effect is not Effect.UNKNOWN
    columns = []
    for position, definition in enumerate(definitions):
        base = _proven(outputs[position]) if outputs else None
        place = _place(definition) if is_plain or (outputs and outputs[position].is_direct) else None
        if base is None and place is not None and catalogue is not None:
            database, _, table = place.relation.partition(".")
            base = column(catalogue, database, table, place.column)
        elif base is not None:
            place = base
        columns.append(_column(definition, place, base, is_binary=is_binary))
    return Description(
        columns=tuple(columns),
        types=tuple(definition.type for definition in definitions),
        is_binary=is_binary,
        digits=tuple(column.kind if _may_be_digits(column) else None for column in columns),
    )


def _may_be_digits(column: Column) -> bool:
    return column.kind is Kind.TEXT or (column.kind is Kind.INTEGER and column.is_text and column.capacity > _SMALL)


def _proven(output: Output) -> Origin | None:
    """The column that an output is, where the catalogue tells."""
    if not output.is_direct or not output.origins:
        return None
    return output.origins[0] if "." in output.origins[0].relation else None


def _place(definition: Definition) -> Origin | None:
    """The table and the column that a definition names; None if there is no such one, or a name is not readable."""
    _, schema, _, table, _, own_name = definition.names
    if not (schema and table and own_name) or b"." in schema + table:
        return None
    try:
        return Origin(f"{schema.decode()}.{table.decode()}", own_name.decode())
    except UnicodeDecodeError:
        return None


def _column(definition: Definition, place: Origin | None, base: Origin | None, *, is_binary: bool) -> Column:
    type_ = definition.type
    return Column(
        name=definition.names[4].decode("utf-8", "replace"),
        kind=type_.kind,
        is_text=type_.is_binary_text if is_binary else type_.is_text,
        type_name=definition.type_name,
        capacity=type_.capacity,
        origin=(_number(place.relation), _number(place.column)) if place is not None else None,
        base=base,
    )


def _number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=7).digest())
