"""References to secrets: where a secret is kept, in the place of the secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from gatepost.errors import ConfigFault
from gatepost.values import Secret

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\0]+")
_SECRET_BYTES = 64 * 1024


class SecretReference(str):
    """Where a secret is kept: "env:NAME" or "file:PATH". A field type for configurations.

    There, a relative path is relative to the configuration file.
    """

    __slots__ = ()

    @property
    def file(self) -> str:
        """The path of the file that it names, "" if it names none."""
        scheme, _, place = self.partition(":")
        return place if scheme == "file" else ""

    @classmethod
    def from_toml(cls, value: object, folder: Path) -> SecretReference:
        if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
            raise ValueError('expected "env:NAME" or "file:PATH", never the secret itself')
        scheme, _, place = value.partition(":")
        return cls(f"file:{folder / place}" if scheme == "file" else value)


def read_secret(reference: str) -> Secret:
    """The secret that a reference names, as it is now. A file's trailing newline is not part of it.

    Raises:
        ConfigFault: the reference is none, or what it names is missing, empty or too large.
    """
    if not _REFERENCE.fullmatch(reference):
        raise ConfigFault('a secret is given as "env:NAME" or "file:PATH", never by its value')
    scheme, _, place = reference.partition(":")
    if scheme == "env":
        value = os.environ.get(place, "")
        if not value:
            raise ConfigFault(f"the environment variable {place} is not set", hint=f"Set {place} for gatepost.")
        return Secret(value)
    return Secret(_read_file(place))


def references(settings: object, *key: str) -> Iterator[tuple[tuple[str, ...], SecretReference]]:
    """The references in a decoded table of the configuration, and their keys below `key`."""
    if isinstance(settings, SecretReference):
        yield key, settings
    elif isinstance(settings, msgspec.Struct):
        for field in msgspec.structs.fields(settings):
            yield from references(getattr(settings, field.name), *key, field.encode_name)
    elif isinstance(settings, Mapping):
        for name, value in settings.items():
            yield from references(value, *key, str(name))
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from references(value, *key)


def _read_file(place: str) -> str:
    try:
        with open(place, "rb") as file:
            data = file.read(_SECRET_BYTES + 1)
    except OSError as error:
        raise ConfigFault(f"the secret's file {place} cannot be read: {error.strerror}") from None
    try:
        value = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ConfigFault(f"the secret's file {place} is not UTF-8 text") from None
    if not value or len(data) > _SECRET_BYTES:
        raise ConfigFault(f"the secret's file {place} is empty or larger than {_SECRET_BYTES} bytes")
    return value
