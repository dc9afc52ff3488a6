"""Column definitions: a result's columns, and what their cells' bytes are.

Source: MySQL internals manual, "Column Definition" and "COM_FIELD_LIST"; MariaDB Knowledge Base, "Result Set Packets".
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
_NOT_KNOWN: Final = Facts(effect=Effect.UNKNOWN)


class Definition(Struct, frozen=True, kw_only=True):
    """A column definition.

    Attributes:
        names: catalog, schema, table, the table's own name, the column's name, the column's own name.
        fixed: the rest.
    """

    names: tuple[bytes, ...]
    fixed: bytes
    collation: int
    type: Type

    def with_names(self, names: Sequence[bytes]) -> bytes:
        """The definition with other names."""
        return b"".join(map(counted, names)) + counted(self.fixed)


class Description(Struct, frozen=True, kw_only=True):
    """A result's columns, and how its cells travel."""

    columns: tuple[Column, ...]
    types: tuple[Type, ...]
    is_binary: bool

    def __repr__(self) -> str:
        return f"Description({len(self.columns)} columns)"


def define(message: bytes) -> Definition:
    """Read a column definition. Raises UpstreamFault where it is malformed, or its texts cannot be read."""
    reader = Reader(message)
    definition = _definition(reader)
    reader.end()
    return definition


def define_field(message: bytes) -> tuple[Definition, bytes | None]:
    """Read a column definition that tells the column's default value, None for NULL or none. Raises UpstreamFault."""
    reader = Reader(message)
    field = _definition(reader), reader.nullable()
    reader.end()
    return field


def _definition(reader: Reader) -> Definition:
    names = tuple(reader.counted() for _ in range(6))
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
    return Definition(names=names, fixed=fixed, collation=collation, type=type_)


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
    )


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
        type_name=type_.name,
        origin=(_number(place.relation), _number(place.column)) if place is not None else None,
        base=base,
    )


def _number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=7).digest())
