"""Column definitions: a result's columns, and what their cells' bytes are.

Source: MySQL internals manual, "Column Definition"; MariaDB Knowledge Base, "Result Set Packets".
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from gatepost.errors import FaultCode, UpstreamFault
from gatepost.values import Column, Effect, Facts, Kind, Origin
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
    names = tuple(reader.counted() for _ in range(6))
    fixed = reader.counted()
    if len(fixed) != _FIXED_BYTES:
        raise reader.malformed()
    reader.end()
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
    """The columns of a result of a statement with these facts."""
    outputs = facts.outputs if len(facts.outputs) == len(definitions) else ()
    is_plain = facts.depth == 1 and facts.effect is not Effect.UNKNOWN
    columns = []
    for position, definition in enumerate(definitions):
        is_true = is_plain or bool(outputs and outputs[position].is_direct)
        columns.append(_column(definition, catalogue, is_true=is_true, is_binary=is_binary))
    return Description(
        columns=tuple(columns),
        types=tuple(definition.type for definition in definitions),
        is_binary=is_binary,
    )


def _column(definition: Definition, catalogue: Catalogue | None, *, is_true: bool, is_binary: bool) -> Column:
    """A column. `is_true`: where it comes from is as the server says.

    Of the columns of a query within the query servers tell the inner table's name with the outer query's names.
    """
    _, schema, _, table, name, own_name = definition.names
    type_ = definition.type
    has_origin = bool(is_true and schema and table and own_name)
    return Column(
        name=name.decode("utf-8", "replace"),
        kind=type_.kind,
        is_text=type_.is_binary_text if is_binary else type_.is_text,
        type_name=type_.name,
        origin=(_number(schema, table), _number(own_name)) if has_origin else None,
        base=_base(catalogue, schema, table, own_name) if has_origin and catalogue is not None else None,
    )


def _base(catalogue: Catalogue, *names: bytes) -> Origin | None:
    try:
        database, table, name = (each.decode() for each in names)
    except UnicodeDecodeError:
        return None
    return column(catalogue, database, table, name)


def _number(*names: bytes) -> int:
    return int.from_bytes(blake2b(b"\0".join(names), digest_size=7).digest())
