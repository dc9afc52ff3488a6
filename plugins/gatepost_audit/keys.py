"""The Ed25519 key that signs the journal's checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from gatepost import ConfigFault
from gatepost_audit.segment import segments

PRIVATE = "checkpoint.key"
PUBLIC = "checkpoint.pub"


def load_or_create(folder: Path, file: str) -> Ed25519PrivateKey:
    """The private key in `file`, or if that is "" one in `folder`. Its public half goes into `folder`, in hexadecimal.

    A key is made where there is no journal yet. Behind one that is there, another key would sign what it has not seen
    begin, and so it would in a copy of the record, which has no key.

    Raises ConfigFault where the file is no such key, OSError where it cannot be read or is missing.
    """
    path = Path(file) if file else folder / PRIVATE
    if not file and not path.exists() and not segments(folder):
        _create(path)
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except ValueError as error:
        raise ConfigFault("the file is no private key in PEM", file=str(path), key="plugins.audit.key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigFault("the key is no Ed25519 key", file=str(path), key="plugins.audit.key")
    public, known = folder / PUBLIC, key.public_key().public_bytes_raw().hex().encode() + b"\n"
    if not public.exists() or public.read_bytes() != known:
        _write(public, known)
    return key


def load_public(path: Path) -> bytes:
    """The raw public key. Raises ValueError where the file holds none, OSError where it cannot be read."""
    key = bytes.fromhex(path.read_text("ascii").strip())
    if len(key) != 32:
        raise ValueError("not a public key")
    return key


def _create(path: Path) -> None:
    """Make a key, unless another process has made one meanwhile."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    new = _written(path, key)
    try:
        path.hardlink_to(new)
    except FileExistsError:
        pass
    finally:
        new.unlink()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, for this user alone."""
    _written(path, data).rename(path)


def _written(path: Path, data: bytes) -> Path:
    """A file beside `path`, for this user alone."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(file)
    return new
