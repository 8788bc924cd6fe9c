# SPDX-License-Identifier: Apache-2.0
"""The last configuration that Envoy acknowledged, written behind. Effects only: what is kept is ``kept``'s. DESIGN 4.3.

One worker thread writes after a quiet second, or at once when much waits that nothing has overtaken. Of ten pushes of
the same resources in a row only the last is written, and kept until then. A write is one transaction. Where no file can
be, the store lives in memory and says so once. A type that Envoy has not confirmed for long is not served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import mesh.log
from agent.xds.kept import Accepted, Shelf, changes, needed
from agent.xds.options import StoreOptions
from mesh.clock import Clock
from mesh.errors import MeshError

if TYPE_CHECKING:
    from agent.xds.database import Database

MAX_WAITING: Final = 16 * 1024 * 1024
"""Bytes that wait to be written; with more, what was overtaken is forgotten; if that does not do, they are written."""

LONGEST_WAIT: Final = 10.0
"""Seconds that an acknowledged response waits for a quiet time, at most."""

log = mesh.log.get("xdsstore")

Result = TypeVar("Result")


class Store:
    """Used from one task. ``run`` writes behind; ``accept`` only notes."""

    def __init__(self, options: StoreOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._waiting: list[Accepted] = []
        self.waiting_bytes = 0
        """Of responses that are not written yet."""
        self._noted = asyncio.Event()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="xds-store")
        self._database: Database | None = None
        self.in_memory = not options.directory
        self.written = 0
        """Resources written since the start."""
        self.withheld = 0
        """Resources kept out because they carry key material."""
        self.last_write: float | None = None
        """Wall clock of the latest acknowledgement that is written, by this process or one before."""

    def accept(self, accepted: Accepted) -> None:
        """Envoy acknowledged a response: it will be written."""
        if self._options.enabled:
            self._waiting.append(accepted)
            self.waiting_bytes += len(accepted.message)
            if self.waiting_bytes > MAX_WAITING:
                self._forget_overtaken()
            self._noted.set()

    def _forget_overtaken(self) -> None:
        """Pushes of the same resources in a row: only what the newest leave of the older ones is kept."""
        self._waiting = needed(self._waiting)
        self.waiting_bytes = sum(len(one.message) for one in self._waiting)

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
                await self._until_quiet()
                await self._flush()
        finally:
            self._finish()

    async def _until_quiet(self) -> None:
        """A mesh that never falls silent is written all the same."""
        begun = self._clock.monotonic()
        while self._noted.is_set() and self.waiting_bytes <= MAX_WAITING:
            self._noted.clear()
            if self._clock.monotonic() - begun >= LONGEST_WAIT:
                return
            await self._clock.sleep(self._options.quiet)
        self._noted.clear()

    def _finish(self) -> None:
        if self._waiting:
            self._worker.submit(self._write, self._waiting)
            self._waiting = []
        self._worker.submit(self._close)
        self._worker.shutdown(wait=True)

    async def _flush(self) -> None:
        waiting, self._waiting, self.waiting_bytes = self._waiting, [], 0
        if waiting:
            await self._in_worker(self._write, waiting)

    async def _in_worker(self, act: Callable[..., Result], *args: object) -> Result:
        loop = asyncio.get_running_loop()
        # shielded: a cancellation would take work back that has not begun, and what it was to write were lost
        return await asyncio.shield(loop.run_in_executor(self._worker, partial(act, *args)))

    def _open(self) -> None:
        from agent.xds.database import Database, StoreUnusable

        owner = (self._options.node_id, self._options.trust_domain)
        if not self.in_memory:
            try:
                self._database = Database.in_directory(self._options.directory, owner)
            except StoreUnusable as error:
                self.in_memory = True
                log.warning(
                    "xDS store is in memory only: configuration does not survive a restart",
                    directory=self._options.directory,
                    reason=str(error),
                    hint=error.hint,
                )
        if self._database is None:
            self._database = Database.in_memory(owner)
        self.last_write = self._database.newest()

    def _read(self) -> Shelf:
        if self._database is None:
            return {}
        try:
            return self._database.read(since=self._clock.now() - self._options.max_age)
        except MeshError as error:  # nothing to serve from is no reason to end
            log.warning("xDS store not read", reason=str(error), hint=error.hint)
            return {}

    def _write(self, waiting: list[Accepted]) -> None:
        if self._database is None:
            return
        now = self._clock.now()
        merged = changes(waiting)
        waiting.clear()  # what was overtaken gives its memory back now
        try:
            self._database.write(merged, now)
        except MeshError as error:  # a full disk must not stop the relay
            log.warning("xDS store not written", reason=str(error), hint=error.hint)
            return
        self.last_write = now
        self.written += sum(len(change.put) for change in merged.values())
        self.withheld += sum(change.withheld for change in merged.values())

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
