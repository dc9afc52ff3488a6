"""A policy's files, from a folder or from a bundle as `opa build` writes it.

Data is what OPA makes of it: `data.json` in the folder `shop/roles` is `data.shop.roles`.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
from msgspec import Struct

MOST_BYTES = 16 << 20
MOST_FILES = 1000
_DATA = "data.json"
_NOT_READ = ("data.yaml", "data.yml", "policy.wasm", "plan.json")


class Sources(Struct, frozen=True):
    """A policy: its modules' texts by path, and its data."""

    modules: dict[str, str]
    data: dict[str, Any]


class BadPolicy(Exception):
    """A policy cannot be used; the text says why, for whoever wrote it."""


def read(place: Path) -> Sources:
    """Read a policy.

    Raises:
        BadPolicy: it cannot be read, or holds what is not read here.
    """
    modules: dict[str, str] = {}
    data: dict[str, Any] = {}
    size = 0
    try:
        for number, (path, content) in enumerate(_files(place), 1):
            size += len(content)
            if size > MOST_BYTES or number > MOST_FILES:
                raise BadPolicy(f"it is larger than {MOST_BYTES} bytes or {MOST_FILES} files")
            if path.name in _NOT_READ:
                raise BadPolicy(f"{path} is not read here; a policy is *.rego and data.json")
            if path.name == _DATA:
                _merge(data, path, content)
            elif path.suffix == ".rego" and not path.name.endswith("_test.rego"):
                modules[str(path)] = content.decode()
    except UnicodeDecodeError:
        raise BadPolicy(f"{path} is not UTF-8 text") from None
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is neither a folder nor a bundle in .tar.gz"
        raise BadPolicy(f"it cannot be read: {reason}") from None
    if not modules:
        raise BadPolicy("it has no *.rego")
    return Sources(modules, data)


def _files(place: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Each of its own files' path within the policy, and its content, up to one byte more than may be read in all."""
    if place.is_dir():
        for file in sorted(place.rglob("*")):
            if _matters(file.name) and file.is_file():
                with file.open("rb") as stream:
                    yield PurePosixPath(file.relative_to(place)), stream.read(MOST_BYTES + 1)
        return
    with tarfile.open(place, "r:gz") as archive:
        for member in archive:
            path = PurePosixPath(member.name.lstrip("/"))
            content = archive.extractfile(member) if _matters(path.name) and member.isfile() else None
            if content is not None:
                yield path, content.read(MOST_BYTES + 1)


def _matters(name: str) -> bool:
    return name.endswith(".rego") or name == _DATA or name in _NOT_READ


def _merge(data: dict[str, Any], path: PurePosixPath, content: bytes) -> None:
    """Put the data of a file where its folder says."""
    try:
        found = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise BadPolicy(f"{path} is not a JSON object") from None
    for part in path.parent.parts:
        data = data.setdefault(part, {})
    if data.keys() & found.keys():
        raise BadPolicy(f"{path} says again what another data.json says")
    data.update(found)
