"""The partial decoding of a record is that of the record."""

from __future__ import annotations

from typing import get_type_hints

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import FieldInfo, fields

from gatepost_audit import records
from gatepost_audit.records import Asked, AskedOutline, FactsRecord

ASKED = Asked(
    *(1, "session", 2, 3, "SELECT $1", "SELECT 1", (("a", "b"), None), True, "rewrite", "plugin", "rule", "reason"),
    *(
        "read",
        FactsRecord(("select",), (), (), "print", ""),
        50,
        ("it is late",),
        (("name", ("value",)), ("none", None)),
    ),
)


def encoded_default(field: FieldInfo) -> bytes | None:
    return None if field.required else records.encode(field.default)


def test_an_outline_has_the_fields_of_the_record() -> None:
    whole, outline = fields(Asked), fields(AskedOutline)
    assert [field.name for field in outline] == [field.name for field in whole]
    assert list(map(encoded_default, outline)) == list(map(encoded_default, whole))
    hints, known = get_type_hints(AskedOutline), get_type_hints(Asked)
    assert {name: hint for name, hint in hints.items() if hint is not Raw}.items() <= known.items()
    assert AskedOutline.__struct_config__.tag == Asked.__struct_config__.tag


def test_an_outline_says_what_the_record_says() -> None:
    outline = records.outline(records.encode(ASKED))
    assert isinstance(outline, AskedOutline)
    for field in fields(Asked):
        value = getattr(outline, field.name)
        found = msgspec.msgpack.decode(value, type=field.type) if isinstance(value, Raw) else value
        assert found == getattr(ASKED, field.name), field.name


def test_an_outline_of_an_older_record_has_the_same_defaults() -> None:
    array = msgspec.msgpack.decode(records.encode(ASKED))
    oldest = records.encode(array[: 1 + sum(field.required for field in fields(Asked))])
    record, outline = records.decode(oldest), records.outline(oldest)
    assert isinstance(record, Struct)
    assert records.encode(outline) == records.encode(record)
