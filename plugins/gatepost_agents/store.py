"""Where agents are kept: one SQLite file that the workers and the command line share."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gatepost_agents.scram import Keys

FILE = "agents.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS agents (
  name TEXT PRIMARY KEY,
  roles TEXT NOT NULL,
  acting_for TEXT NOT NULL,
  salt BLOB NOT NULL,
  iterations INTEGER NOT NULL,
  stored_key BLOB NOT NULL,
  server_key BLOB NOT NULL,
  mysql_native BLOB NOT NULL DEFAULT x'',
  caching_sha2 BLOB NOT NULL DEFAULT x'',
  created REAL NOT NULL,
  expires REAL,
  revoked REAL,
  failures INTEGER NOT NULL DEFAULT 0,
  locked_until REAL
) STRICT
"""
_ADDED = ("mysql_native", "caching_sha2")  # columns that a file of version 0.1 has not
_BUSY_SECONDS = 5.0
_LOG_PAGES = 50  # few agents are kept, however many attempts are counted: a longer log would be most of the file


class State(StrEnum):
    """Whether an agent may log in, and if not, why."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    LOCKED = "locked"


class Agent(Struct, frozen=True, kw_only=True):
    """An agent as it is kept; times in Unix seconds."""

    name: str
    roles: tuple[str, ...]
    acting_for: str
    keys: Keys
    created: float
    expires: float | None = None
    revoked: float | None = None
    failures: int = 0
    locked_until: float | None = None

    def state(self, now: float) -> State:
        if self.revoked is not None:
            return State.REVOKED
        if self.expires is not None and self.expires <= now:
            return State.EXPIRED
        if self.locked_until is not None and self.locked_until > now:
            return State.LOCKED
        return State.ACTIVE


class Store:
    """The agents of one gate; one thread at a time may use a store.

    Every method is one short transaction, unless several are put in one by `transaction`.

    Args:
        path: the file, made with mode 0600 if it is not there.
        durable: changes outlast a power cut once made. Not needed for counting attempts.
    """

    def __init__(self, path: Path, *, durable: bool) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone_in(path.parent):
            if not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._db.execute(_SCHEMA)
            known = {row["name"] for row in self._db.execute("PRAGMA table_info(agents)")}
            for column in _ADDED:
                if column not in known:
                    self._db.execute(f"ALTER TABLE agents ADD COLUMN {column} BLOB NOT NULL DEFAULT x''")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done within is done together, or nothing of it if an exception leaves it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite itself rolls back on some errors, such as a full disk
                self._db.execute("ROLLBACK")
            raise

    def add(self, agent: Agent) -> bool:
        """Add a new agent; False if the name was ever used."""
        added = self._db.execute(
            "INSERT INTO agents"
            " (name, roles, acting_for, salt, iterations, stored_key, server_key, mysql_native, caching_sha2,"
            " created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                agent.name,
                json.dumps(agent.roles),
                agent.acting_for,
                *_key_values(agent.keys),
                agent.created,
                agent.expires,
            ),
        )
        return added.rowcount == 1

    def find(self, name: str) -> Agent | None:
        return self._find(name)

    def all(self) -> list[Agent]:
        """Every agent by name, revoked ones included."""
        return [_agent(row) for row in self._db.execute("SELECT * FROM agents ORDER BY name")]

    def rotate(self, name: str, keys: Keys) -> None:
        """Put other keys in the place of an agent's; the old password is void at once."""
        self._db.execute(
            "UPDATE agents SET salt = ?, iterations = ?, stored_key = ?, server_key = ?, mysql_native = ?,"
            " caching_sha2 = ?, failures = 0, locked_until = NULL WHERE name = ?",
            (*_key_values(keys), name),
        )

    def revoke(self, name: str, now: float) -> None:
        self._db.execute("UPDATE agents SET revoked = coalesce(revoked, ?) WHERE name = ?", (now, name))

    def revoked(self) -> frozenset[str]:
        """The names that are revoked."""
        return frozenset(row["name"] for row in self._db.execute("SELECT name FROM agents WHERE revoked IS NOT NULL"))

    def version(self) -> int:
        """Changes whenever another connection has changed the file."""
        version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return version

    def begin_attempt(self, name: str, now: float, limit: int, lockout: float) -> tuple[Agent | None, State | None]:
        """Count an attempt to log in as a failure, before anything is handed out by which it could succeed.

        Args:
            limit: as many attempts in a row lock the name.
            lockout: for as many seconds.

        Returns:
            The agent, None if the name is unknown, with keys that nothing proves unless it is active; and its state.
            Its salt is the same in every state: another one would tell that the name is somebody's.
        """
        with self.transaction():
            agent = self._find(name)
            if agent is None:
                return None, None
            state = agent.state(now)
            if state is not State.ACTIVE:
                return replace(agent, keys=agent.keys.in_vain()), state
            failures = 1 if agent.locked_until is not None else agent.failures + 1
            locked_until = now + lockout if failures >= limit else None
            self._db.execute(
                "UPDATE agents SET failures = ?, locked_until = ? WHERE name = ?", (failures, locked_until, name)
            )
            return agent, state

    def succeed(self, name: str, keys: Keys, now: float) -> bool:
        """End the attempts on a name whose keys were proven; False if they are void by now."""
        with self.transaction():
            agent = self._find(name)
            if agent is None or agent.keys != keys or agent.state(now) in (State.REVOKED, State.EXPIRED):
                return False
            self.end_attempts(name)
            return True

    def end_attempts(self, name: str) -> None:
        """The name was proven, or unlocked: what was counted against it is void."""
        self._db.execute("UPDATE agents SET failures = 0, locked_until = NULL WHERE name = ? AND failures > 0", (name,))

    def _find(self, name: str) -> Agent | None:
        row = self._db.execute("SELECT * FROM agents WHERE name = ?", (name,)).fetchone()
        return None if row is None else _agent(row)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from opening a store meanwhile: while one turns to WAL, SQLite fails the others at once."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _key_values(keys: Keys) -> tuple[bytes, int, bytes, bytes, bytes, bytes]:
    return keys.salt, keys.iterations, keys.stored_key, keys.server_key, keys.mysql_native, keys.caching_sha2


def _agent(row: Any) -> Agent:
    return Agent(
        name=row["name"],
        roles=tuple(json.loads(row["roles"])),
        acting_for=row["acting_for"],
        keys=Keys(
            salt=row["salt"],
            iterations=row["iterations"],
            stored_key=row["stored_key"],
            server_key=row["server_key"],
            mysql_native=row["mysql_native"],
            caching_sha2=row["caching_sha2"],
        ),
        created=row["created"],
        expires=row["expires"],
        revoked=row["revoked"],
        failures=row["failures"],
        locked_until=row["locked_until"],
    )
