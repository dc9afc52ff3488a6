"""Which statements an identity has run before: their fingerprints, in one SQLite file that the workers share."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

FILE: Final = "policy/seen.sqlite"
KEPT: Final = 10_000
"""Fingerprints of one identity; the oldest are forgotten."""
_BUSY_SECONDS: Final = 1.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS seen (
  number INTEGER PRIMARY KEY,
  identity TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  UNIQUE (identity, fingerprint)
) STRICT
"""


class Seen:
    """What was run before, by identity.

    What is lost with the machine is at worst told to be new again, so nothing waits for the disk.

    Args:
        path: the file, made with mode 0600 if it is not there.

    Raises OSError or sqlite3.Error, as all methods do, where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def has(self, identity: str, fingerprint: str) -> bool:
        found = self._db.execute(
            "SELECT 1 FROM seen WHERE identity = ? AND fingerprint = ?", (identity, fingerprint)
        ).fetchone()
        return found is not None

    def add(self, identity: str, fingerprint: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO seen (identity, fingerprint) VALUES (?, ?)", (identity, fingerprint))
        self._db.execute(
            "DELETE FROM seen WHERE identity = ?1 AND number <="
            " (SELECT number FROM seen WHERE identity = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            (identity, KEPT),
        )
