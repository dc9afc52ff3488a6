"""Files that are for one user: the state folder, and secrets."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from gatepost.config import Config
from gatepost.errors import ConfigFault
from gatepost.toml import fault_at

_OTHERS = stat.S_IRWXO


def folder(config: Config) -> Path:
    """The state folder; made, for this user alone, if it is not there.

    Raises:
        ConfigFault: it cannot be made, or this user may not use it.
    """
    if (fault := unusable(config)) is not None:
        raise fault
    try:
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder {config.state} cannot be made: {error.strerror}"
        raise fault_at(message, ("state",), config.file) from None
    return config.state


def unusable(config: Config) -> ConfigFault | None:
    """Why this user cannot use the state folder, or make it if it is not there; None if that is possible."""
    place = config.state
    while not os.path.exists(place):
        place = place.parent
    user, owner = os.geteuid(), place.stat().st_uid
    if not place.is_dir():
        return fault_at(f"{place} is no folder", ("state",), config.file)
    if os.access(place, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return None
    message = f"user {_name(user)} may not read and write the folder {place}, which is user {_name(owner)}'s"
    if place != config.state:
        hint = f"Make {config.state} for user {_name(user)}, or name another folder."
    else:
        hint = "gatepost and its commands run as the user whom the state folder belongs to." if user != owner else ""
    return fault_at(message, ("state",), config.file, hint=hint)


def is_open(path: Path, rights: int = _OTHERS) -> bool:
    """Whether all users of the system reach `path` and have one of `rights` there; False if it cannot be told.

    Args:
        rights: bits of `stat.S_IRWXO`.
    """
    try:
        path = path.resolve(strict=True)
        return bool(path.stat().st_mode & rights) and all(
            parent.stat().st_mode & stat.S_IXOTH for parent in path.parents
        )
    except (OSError, RuntimeError):  # a loop of links
        return False


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
