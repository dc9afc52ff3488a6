"""Where the record is."""

from __future__ import annotations

from pathlib import Path

from gatepost import Gateway


def make_folder(gateway: Gateway) -> Path:
    """The record's folder; made, for this user alone, if it is not there."""
    folder = gateway.state / "audit"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
