"""TOML, decoded strictly: what is wrong is said with the file, the line, the dotted key and what was expected.

No message quotes a value, which may be a secret in the wrong place.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from gatepost.errors import ConfigFault

T = TypeVar("T")
Key: TypeAlias = tuple[str | int, ...]


def read(file: Path) -> dict[str, Any]:
    """A TOML file's tables. Raises: ConfigFault."""
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        hint = "Write one with `gatepost init`." if isinstance(error, FileNotFoundError) else ""
        raise ConfigFault(f"cannot be read: {error.strerror}", file=str(file), hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigFault("not UTF-8 text", file=str(file)) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = _toml_error(str(error), text)
        raise ConfigFault(f"not valid TOML: {message}", file=str(file), line=line) from None


def decode(data: Any, type_: type[T], key: Key, file: Path | None) -> T:
    """The value of a key of a file as a type: strictly, whether or not its structs forbid unknown fields.

    Raises:
        ConfigFault: at the innermost key that is unknown or does not fit.
    """
    folder = file.parent if file else Path()

    def custom(kind: type, value: object) -> object:
        if kind is Path:
            if not isinstance(value, str) or not value:
                raise ValueError("expected a path")
            return folder / value
        return kind.from_toml(value, folder)  # type: ignore[attr-defined]

    def blame(data: Any, type_: Any, key: Key) -> ConfigFault | None:
        """The innermost key that is unknown or does not convert, in the order of the file."""
        children = dict(_children(data, type_))
        if is_struct := _is_struct(type_) and isinstance(data, dict):
            for name in data:
                if name not in children:
                    return fault_at(_unknown(str(name), list(_fields(type_))), (*key, name), file)
        for name, (child, child_type) in children.items():
            if fault := blame(child, child_type, (*key, name)):
                return fault
        try:
            msgspec.convert(data, type_, dec_hook=custom)
        except msgspec.ValidationError as error:
            missing = [name for name, field in _fields(type_).items() if field.required] if is_struct else []
            absent = [name for name in missing if name not in data]
            expected = f"expected a key `{absent[0]}`" if absent else _expected(type_, str(error))
            return fault_at(expected, key, file)
        return None

    if fault := blame(data, type_, key):
        raise fault
    return msgspec.convert(data, type_, dec_hook=custom)


def fault_at(message: str, key: Key, file: Path | None, hint: str = "") -> ConfigFault:
    """A fault at a key: on its line, or that of the innermost table around it that the file has."""
    try:
        text = file.read_bytes().decode() if file else ""
    except (OSError, UnicodeDecodeError):
        text = ""
    line = next((line for end in range(len(key), 0, -1) if (line := line_of(text, key[:end]))), None)
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")
    return ConfigFault(message, file=str(file or ""), line=line, key=dotted, hint=hint)


def line_of(text: str, key: Key) -> int | None:
    """The line, from 1, on which the statement begins that brings a key into a TOML text.

    A whole statement at a time is what makes a longer beginning of the text valid TOML again.
    """
    lines = text.split("\n")
    complete = 0
    for end in range(1, len(lines) + 1):
        try:
            data: Any = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        if _holds(data, key):
            return complete + 1
        complete = end
    return None


def _holds(data: Any, key: Key) -> bool:
    try:
        for part in key:
            data = data[part]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _toml_error(message: str, text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", message, re.DOTALL)
    if match:
        return match[1], int(match[2])
    return message.removesuffix(" (at end of document)"), text.count("\n", 0, -1) + 1


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Struct)


def _fields(type_: Any) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(type_)}


def _children(data: Any, type_: Any) -> Iterator[tuple[str | int, tuple[Any, Any]]]:
    """Each key or index below `data` that a type is known for, with its value and that type."""
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Annotated:
        yield from _children(data, arguments[0])
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from _children(data, argument)
    elif isinstance(data, dict) and _is_struct(type_):
        for name, field in _fields(type_).items():
            if name in data:
                yield name, (data[name], field.type)
    elif isinstance(data, dict) and origin is dict:
        for name, value in data.items():
            yield name, (value, arguments[1])
    elif isinstance(data, list) and (origin in (list, set, frozenset) or arguments[-1:] == (...,)):
        for index, value in enumerate(data):
            yield index, (value, arguments[0])


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return "unknown key" + (f", did you mean `{close[0]}`?" if close else f"; expected one of {', '.join(known)}")


def _expected(type_: Any, message: str) -> str:
    """What was expected, from a validation error; where msgspec would quote the value, from the type."""
    if message.startswith("Invalid"):
        choices = ", ".join(f'"{choice}"' for choice in _choices(type_))
        return f"expected one of {choices}" if choices else "this value is not allowed here"
    reason = message.partition(" - at `")[0]
    words = {"`object`": "a table", "`array`": "an array", "`str`": "a text", "`int`": "a whole number"}
    for word, plain in words.items():
        reason = reason.replace(word, plain)
    return reason[:1].lower() + reason[1:]


def _choices(type_: Any) -> list[str]:
    """The values that a type, or a part of it, is limited to."""
    if get_origin(type_) is Literal:
        return [str(value) for value in get_args(type_)]
    if isinstance(type_, type) and issubclass(type_, Enum):
        return [str(member.value) for member in type_]
    return [choice for part in get_args(type_) for choice in _choices(part)]
