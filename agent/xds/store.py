# SPDX-License-Identifier: Apache-2.0
"""The last configuration that Envoy acknowledged, in SQLite. Answers to DESIGN 4.3.

One row per type and name, bound to node id and trust domain: another node's rows are wiped, a type that
Envoy has not confirmed for long is not served. One worker thread writes after a quiet second, or at once when much
waits, and merges first, so that of ten pushes in a row only the last is written; a write is one transaction. The
file is 0600 in our own 0700 directory; where that cannot be, the store lives in memory and says so
once. Secrets never enter: neither by type nor inside another resource.

``Shelf`` is what a stream is served from: plain dicts, made from the rows.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from mmap import mmap
from typing import Final, NamedTuple, TypeVar

import mesh.log
from agent.xds.options import StoreOptions
from mesh.clock import Clock
from wire.scan import Entry, Variant, entries, envelope
from wire.types import FULL_STATE, TypeUrl

FILE_NAME: Final = "xds.db"
SCHEMA_VERSION: Final = 2
MAX_WAITING: Final = 16 * 1024 * 1024
"""Bytes that wait to be written; with more, writing begins at once."""
SENSITIVE: Final = (b"PRIVATE KEY-----", b"ISTIO_META_WASM_IMAGE_PULL_SECRET", b"pull_secret")
"""Marks of key material and passwords inside a resource: such a resource is not stored."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS owner (node TEXT NOT NULL, trust_domain TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS resource (
    type TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (type, name));
CREATE TABLE IF NOT EXISTS kind (type TEXT PRIMARY KEY, acknowledged REAL NOT NULL);
"""

_DROP = "DROP TABLE IF EXISTS owner; DROP TABLE IF EXISTS resource; DROP TABLE IF EXISTS kind;"

log = mesh.log.get("xdsstore")

Result = TypeVar("Result")


class Stored(NamedTuple):
    """One resource: its Any as bytes, the control plane's version of it."""

    name: str
    version: str
    any: bytes


Shelf = Mapping[TypeUrl, Mapping[str, Stored]]


class Accepted(NamedTuple):
    """A response that Envoy acknowledged."""

    type_url: TypeUrl
    variant: Variant
    message: bytes | bytearray | mmap


class Change:
    """What responses of one type do to its rows, the newest looked at first: what is overtaken costs a name."""

    __slots__ = ("clear", "put", "remove", "withheld")

    def __init__(self) -> None:
        self.put: dict[str, Entry] = {}
        """Views of the responses' bytes: nothing is copied on the way to the database."""
        self.remove: set[str] = set()
        self.clear = False
        """A response lists all that there is: nothing older counts."""
        self.withheld = 0
        """Resources that carry key material and stay out."""

    def add_older(self, accepted: Accepted) -> None:
        """Take in a response that Envoy acknowledged before those already here. Raises ``ValueError``."""
        if self.clear:
            return
        fresh = {
            entry.name: entry
            for entry in entries(accepted.message, accepted.variant)
            if entry.name not in self.put and entry.name not in self.remove
        }
        removed = set(envelope(accepted.message, accepted.variant).removed)
        self.remove |= removed - self.put.keys() - fresh.keys()
        for entry in fresh.values():
            self._take(entry)
        self.clear = accepted.variant is Variant.SOTW and accepted.type_url in FULL_STATE

    def _take(self, entry: Entry) -> None:
        body = bytes(entry.any)
        if any(mark in body for mark in SENSITIVE):
            self.withheld += 1
            self.remove.add(entry.name)
        else:
            self.put[entry.name] = entry


def changes(waiting: Sequence[Accepted]) -> dict[TypeUrl, Change]:
    """What acknowledged responses, oldest first, come to. What is no response is passed over. Pure."""
    merged: dict[TypeUrl, Change] = {}
    for accepted in reversed(waiting):
        with suppress(ValueError):  # Envoy took it, so only a bench or a test can get here
            merged.setdefault(accepted.type_url, Change()).add_older(accepted)
    return merged


class Store:
    """Used from one task. ``run`` writes behind; ``accept`` only notes."""

    def __init__(self, options: StoreOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._waiting: list[Accepted] = []
        self._waiting_size = 0
        self._noted = asyncio.Event()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="xds-store")
        self._database: sqlite3.Connection | None = None
        self.in_memory = not options.directory
        self.written = 0
        """Resources written since the start."""
        self.withheld = 0
        """Resources kept out because they carry key material."""
        self.last_write: float | None = None

    def accept(self, accepted: Accepted) -> None:
        """Envoy acknowledged a response: it will be written."""
        if self._options.enabled:
            self._waiting.append(accepted)
            self._waiting_size += len(accepted.message)
            self._noted.set()

    async def open(self) -> None:
        """Open or make the database. Never fails: what cannot be used is replaced by memory."""
        await self._in_worker(self._open)

    async def shelf(self) -> Shelf:
        """What may be served now, pending writes included."""
        if not self._options.enabled:
            return {}
        await self._flush()
        return await self._in_worker(self._read)

    async def run(self) -> None:
        """Write changes after a quiet time, until cancelled; then write what is left."""
        try:
            while True:
                await self._noted.wait()  # no deadline: until there is something to write
                self._noted.clear()
                if self._waiting_size <= MAX_WAITING:
                    await self._clock.sleep(self._options.quiet)
                if not self._noted.is_set() or self._waiting_size > MAX_WAITING:
                    await self._flush()
        finally:
            self._finish()

    def _finish(self) -> None:
        if self._waiting:
            self._worker.submit(self._write, self._waiting)
            self._waiting = []
        self._worker.submit(self._close)
        self._worker.shutdown(wait=True)

    async def _flush(self) -> None:
        waiting, self._waiting, self._waiting_size = self._waiting, [], 0
        if waiting:
            await self._in_worker(self._write, waiting)

    async def _in_worker(self, act: Callable[..., Result], *args: object) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, partial(act, *args))

    # ---- in the worker thread ----

    def _open(self) -> None:
        if not self.in_memory:
            try:
                self._database = self._open_file()
            except (OSError, sqlite3.Error) as exc:
                self.in_memory = True
                log.warning(
                    "xDS store is in memory only: configuration does not survive a restart",
                    directory=self._options.directory,
                    reason=str(exc),
                )
        if self._database is None:
            self._database = sqlite3.connect(":memory:", check_same_thread=False)
            self._prepare(self._database)

    def _open_file(self) -> sqlite3.Connection:
        directory = self._options.directory
        os.makedirs(directory, 0o700, exist_ok=True)
        os.chmod(directory, 0o700)  # fails where it is not ours
        path = os.path.join(directory, FILE_NAME)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            return self._open_database(path)
        except sqlite3.DatabaseError as exc:
            log.warning("xDS store was damaged and is begun anew", path=path, reason=str(exc))
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.unlink(path + suffix)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            return self._open_database(path)

    def _open_database(self, path: str) -> sqlite3.Connection:
        database = sqlite3.connect(path, check_same_thread=False, timeout=5.0)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            self._prepare(database)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Make the tables, and forget everything that belongs to somebody else."""
        (version,) = database.execute("PRAGMA user_version").fetchone()
        with database:
            if version != SCHEMA_VERSION:
                database.executescript(_DROP)
                database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            database.executescript(_SCHEMA)
            mine = (self._options.node_id, self._options.trust_domain)
            if database.execute("SELECT node, trust_domain FROM owner").fetchall() != [mine]:
                database.execute("DELETE FROM owner")
                database.execute("DELETE FROM resource")
                database.execute("INSERT INTO owner VALUES (?, ?)", mine)

    def _read(self) -> Shelf:
        if self._database is None:
            return {}
        oldest = self._clock.now() - self._options.max_age
        shelf: dict[TypeUrl, dict[str, Stored]] = {}
        rows = self._database.execute(
            "SELECT type, name, version, body FROM resource JOIN kind USING (type) WHERE acknowledged >= ?",
            (oldest,),
        )
        for type_url, name, version, body in rows:
            shelf.setdefault(TypeUrl(type_url), {})[name] = Stored(name, version, bytes(body))
        return shelf

    def _write(self, waiting: list[Accepted]) -> None:
        database = self._database
        if database is None:
            return
        now = self._clock.now()
        merged = changes(waiting)
        waiting.clear()  # what was overtaken gives its memory back now
        try:
            with database:
                for kind, change in merged.items():
                    self._apply(database, kind, change)
                    # what Envoy still uses of this type was confirmed with it
                    database.execute("INSERT OR REPLACE INTO kind VALUES (?, ?)", (kind, now))
            self.last_write = now
        except sqlite3.Error as exc:  # a full disk must not stop the relay
            log.warning("xDS store not written", reason=str(exc))

    def _apply(self, database: sqlite3.Connection, kind: TypeUrl, change: Change) -> None:
        if change.clear:
            database.execute("DELETE FROM resource WHERE type = ?", (kind,))
        database.executemany(
            "DELETE FROM resource WHERE type = ? AND name = ?",
            [(kind, name) for name in change.remove],
        )
        database.executemany(
            "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?)",
            [(kind, one.name, one.version, one.any) for one in change.put.values()],
        )
        self.written += len(change.put)
        self.withheld += change.withheld

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
