"""The configuration: one TOML file, decoded strictly into frozen structs.

What is wrong is said with the file, the line, the dotted key and what was expected; never with the value.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from gatepost.errors import ConfigFault
from gatepost.settings import Endpoint, FilePath, ListenAddress, Seconds, address

__all__ = [
    "Config",
    "LimitsConfig",
    "ListenTls",
    "TargetConfig",
    "UpstreamTls",
    "address",
    "fault_at",
    "load",
    "section",
]

T = TypeVar("T")
Count = Annotated[int, Meta(ge=1)]
Key = tuple[str | int, ...]

_TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class ListenTls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS towards clients.

    Attributes:
        mode: "required" refuses clients without TLS; "optional" lets them choose.
        certificate, key: PEM files of gatepost's own.
        client_ca: PEM file of the authorities whose client certificates are accepted, or "".
    """

    mode: Literal["off", "optional", "required"] = "off"
    certificate: FilePath = FilePath()
    key: FilePath = FilePath()
    client_ca: FilePath = FilePath()


class UpstreamTls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS towards the database.

    Attributes:
        mode: as libpq's sslmode.
        ca: PEM file of the authorities to trust; "" means the system's.
        certificate, key: PEM files to identify gatepost by, or "".
        direct: begin with TLS instead of asking for it first.
    """

    mode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    ca: FilePath = FilePath()
    certificate: FilePath = FilePath()
    key: FilePath = FilePath()
    direct: bool = False


class TargetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A database behind the gate, and where clients find it.

    Attributes:
        protocol: the name of an installed protocol, such as "postgres".
        listen: "host:port"; port 0 lets the system choose one.
        upstream: "host:port"; without a port, the protocol's own.
        database: the database to use whatever the client asks for, or "".
    """

    protocol: str
    listen: ListenAddress
    upstream: Endpoint
    database: str = ""
    tls: ListenTls = ListenTls()
    upstream_tls: UpstreamTls = UpstreamTls()


class LimitsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds, for each worker.

    Attributes:
        connections: clients at once.
        unauthenticated: clients at once that are not proven yet.
        handshake: seconds from a client's connecting to its being proven.
        idle: seconds without a byte from the client after which its session ends (PCI DSS 8.2.8: at most 900).
        drain: seconds that sessions get to end after SIGTERM.
        connect: seconds to open a connection to the database.
        startup_bytes: one message of a client that is not yet proven.
        message_bytes: one message of a proven client.
        held_bytes: what a client may send ahead while its statement is held.
    """

    connections: Count = 2000
    unauthenticated: Count = 200
    handshake: Seconds = Seconds(10)
    idle: Seconds = Seconds(900)
    drain: Seconds = Seconds(30)
    connect: Seconds = Seconds(10)
    startup_bytes: Count = 16 * 1024
    message_bytes: Count = 64 * 1024 * 1024
    held_bytes: Count = 64 * 1024


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file may say.

    Attributes:
        state: the folder for files that must last.
        workers: processes that serve clients.
        log: the form of the log on stderr.
        plugins: by name, in the order of their hooks; each plugin decodes its own with `section`.
    """

    state: Path = Path(".gatepost")
    workers: Count = 1
    log: Literal["text", "json"] = "text"
    limits: LimitsConfig = LimitsConfig()
    targets: dict[str, TargetConfig]
    plugins: dict[str, dict[str, Any]] = {}


class Config(Settings, frozen=True, kw_only=True):
    """A configuration, and the file that it came from. Paths in it are absolute."""

    file: Path | None = None

    def __repr__(self) -> str:
        return f"Config(file={str(self.file or '')!r})"


def load(file: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigFault: it cannot be read, is not TOML, or does not say what a configuration says.
    """
    file = file.absolute()
    text = _read(file)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = _toml_error(str(error), text)
        raise ConfigFault(f"not valid TOML: {message}", file=str(file), line=line) from None
    settings = _decode(data, Settings, (), file)
    _check_targets(settings.targets, file)
    fields = {name: getattr(settings, name) for name in Settings.__struct_fields__}
    return Config(**fields | {"state": file.parent / settings.state, "file": file})


def section(config: Config, name: str, type: type[T]) -> T:  # noqa: A002 - the name that callers read
    """A plugin's own table, [plugins.NAME], decoded into its struct; unknown keys are refused.

    Raises:
        ConfigFault: the table does not fit the struct.
    """
    return _decode(config.plugins.get(name, {}), type, ("plugins", name), config.file)


def fault_at(message: str, key: Key, file: Path | None, hint: str = "") -> ConfigFault:
    """A fault at a key; its line is that of the innermost table around the key that the file has."""
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
    lines = text.splitlines(keepends=True)
    complete = 0
    for end in range(1, len(lines) + 1):
        try:
            data: Any = tomllib.loads("".join(lines[:end]))
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


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except OSError as error:
        hint = "Write one with `gatepost init`." if isinstance(error, FileNotFoundError) else ""
        raise ConfigFault(f"cannot be read: {error.strerror}", file=str(file), hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigFault("not UTF-8 text", file=str(file)) from None


def _toml_error(message: str, text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", message, re.DOTALL)
    if match:
        return match[1], int(match[2])
    return message.removesuffix(" (at end of document)"), len(text.splitlines())


def _check_targets(targets: dict[str, TargetConfig], file: Path) -> None:
    """What concerns more than one key."""
    if not targets:
        raise fault_at("expected at least one [targets.NAME] table", ("targets",), file)
    listeners: dict[tuple[str, int], str] = {}
    for name, target in targets.items():
        key = ("targets", name)
        if not _TARGET_NAME.fullmatch(name):
            raise fault_at("expected a target's name to be letters, digits, - and _, at most 63", key, file)
        if target.tls.mode != "off" and not (target.tls.certificate and target.tls.key):
            raise fault_at(f'mode "{target.tls.mode}" needs `certificate` and `key`', (*key, "tls"), file)
        if bool(target.upstream_tls.certificate) != bool(target.upstream_tls.key):
            raise fault_at("`certificate` and `key` go together", (*key, "upstream_tls"), file)
        listener = address(target.listen, 0)
        if listener[1] and listener in listeners:
            raise fault_at(f"target {listeners[listener]} listens there already", (*key, "listen"), file)
        listeners[listener] = name


def _decode(data: Any, type_: type[T], key: Key, file: Path | None) -> T:
    """Convert strictly, whether or not the structs forbid unknown fields themselves."""
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
