# SPDX-License-Identifier: Apache-2.0
"""The rows of the store in SQLite: one per type and name, bound to node id and trust domain. Effects only.

Used by one worker thread, for they wait. Another owner's rows are wiped; a file that is damaged is begun anew; it
is 0600 in our own 0700 directory. Imported when a store is opened, for SQLite costs a process 1.5 MiB.
Answers to DESIGN 4.3.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Self

import mesh.log
from agent.xds.kept import Change, Shelf, Stored
from mesh.errors import MeshError
from wire.types import TypeUrl

FILE_NAME: Final = "xds.db"
SCHEMA_VERSION: Final = 2

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS owner (node TEXT NOT NULL, trust_domain TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS resource (
    type TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (type, name));
CREATE TABLE IF NOT EXISTS kind (type TEXT PRIMARY KEY, acknowledged REAL NOT NULL);
"""

_DROP = "DROP TABLE IF EXISTS owner; DROP TABLE IF EXISTS resource; DROP TABLE IF EXISTS kind;"

log = mesh.log.get("xdsstore")

Owner = tuple[str, str]
"""Node id and trust domain."""


class StoreUnusable(MeshError):
    """The file cannot be opened, read or written."""

    hint = "check PILOT_STATE_DIR: its owner, its mode and the room on its disk"


class Database:
    """An open database. Each method may raise StoreUnusable."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def in_memory(cls, owner: Owner) -> Self:
        """One that ends with the process."""
        database = cls(sqlite3.connect(":memory:", check_same_thread=False))
        database._prepare(owner)
        return database

    @classmethod
    def in_directory(cls, directory: str, owner: Owner) -> Self:
        """The file of this directory, made where it is missing, begun anew where it is damaged."""
        try:
            return cls._in_directory(directory, owner)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnusable(str(error)) from None

    @classmethod
    def _in_directory(cls, directory: str, owner: Owner) -> Self:
        os.makedirs(directory, 0o700, exist_ok=True)
        os.chmod(directory, 0o700)  # fails where it is not ours
        path = os.path.join(directory, FILE_NAME)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            return cls._at(path, owner)
        except sqlite3.DatabaseError as error:
            log.warning("xDS store was damaged and is begun anew", path=path, reason=str(error))
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.unlink(path + suffix)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            return cls._at(path, owner)

    @classmethod
    def _at(cls, path: str, owner: Owner) -> Self:
        connection = sqlite3.connect(path, check_same_thread=False, timeout=5.0)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            database = cls(connection)
            database._prepare(owner)
        except sqlite3.Error:
            connection.close()
            raise
        return database

    def _prepare(self, owner: Owner) -> None:
        """Make the tables, and forget everything that belongs to somebody else."""
        connection = self._connection
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        with connection:
            if version != SCHEMA_VERSION:
                connection.executescript(_DROP)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.executescript(_SCHEMA)
            if connection.execute("SELECT node, trust_domain FROM owner").fetchall() != [owner]:
                connection.execute("DELETE FROM owner")
                connection.execute("DELETE FROM resource")
                connection.execute("INSERT INTO owner VALUES (?, ?)", owner)

    def read(self, *, since: float) -> Shelf:
        """What was acknowledged since then, wall-clock seconds."""
        shelf: dict[TypeUrl, dict[str, Stored]] = {}
        try:
            rows = self._connection.execute(
                "SELECT type, name, version, body FROM resource JOIN kind USING (type) WHERE acknowledged >= ?",
                (since,),
            )
            for type_url, name, version, body in rows:
                shelf.setdefault(TypeUrl(type_url), {})[name] = Stored(name, version, bytes(body))
        except sqlite3.Error as error:
            raise StoreUnusable(str(error)) from None
        return shelf

    def newest(self) -> float | None:
        """When the latest of what is here was acknowledged, wall-clock seconds; None: nothing is here."""
        try:
            (found,) = self._connection.execute(
                "SELECT max(acknowledged) FROM kind JOIN resource USING (type)"
            ).fetchone()
        except sqlite3.Error as error:
            raise StoreUnusable(str(error)) from None
        return None if found is None else float(found)

    def write(self, changes: Mapping[TypeUrl, Change], now: float) -> None:
        """All of it or, where this raises, none."""
        try:
            with self._connection:
                for kind, change in changes.items():
                    self._apply(kind, change)
                    # what Envoy still uses of this type was confirmed with it
                    self._connection.execute(
                        "INSERT OR REPLACE INTO kind VALUES (?, ?)", (kind, now)
                    )
        except sqlite3.Error as error:
            raise StoreUnusable(str(error)) from None

    def _apply(self, kind: TypeUrl, change: Change) -> None:
        if change.clear:
            self._connection.execute("DELETE FROM resource WHERE type = ?", (kind,))
        self._connection.executemany(
            "DELETE FROM resource WHERE type = ? AND name = ?",
            [(kind, name) for name in change.remove],
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?)",
            [(kind, one.name, one.version, one.any) for one in change.put.values()],
        )

    def close(self) -> None:
        self._connection.close()
