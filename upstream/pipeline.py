# SPDX-License-Identifier: Apache-2.0
"""From files to pushes: look, parse, settle, publish one snapshot, wake every stream. Source: spec/upstream.md 3.

The only writer of the current snapshot. What is wrong with a file is said here; what was right stays in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from mesh import durations, log
from mesh.clock import Clock
from upstream.change import Change, change
from upstream.config import Fault, parse_documents
from upstream.connections import Connections
from upstream.debounce import Debounce, Settled
from upstream.metrics import Metric, Metrics
from upstream.options import Profile, PushOptions, SourceOptions
from upstream.queue import PushRequest, Reason, request
from upstream.snapshot import Snapshot, Versions
from upstream.sources.files import Directory, Look
from upstream.sources.mesh import MeshFile, MeshLook
from upstream.sources.watcher import Watcher
from upstream.world import World

UNSETTLED_AGAIN = 0.05
"""When to look again while a file is being written, in seconds."""

_log = log.get("ads")
_files = log.get("file")


class Pipeline:
    """Owns the sources, the world that is coming and the snapshot that is served."""

    def __init__(
        self,
        sources: SourceOptions,
        push: PushOptions,
        connections: Connections,
        metrics: Metrics,
        clock: Clock,
        *,
        profile: Profile,
    ) -> None:
        self._directory = Directory(sources.config_dir, parse_documents)
        self._mesh = MeshFile(sources.mesh_config)
        self._connections = connections
        self._metrics = metrics
        self._clock = clock
        self._debounce = Debounce(after=push.debounce_after, longest=push.debounce_max)
        self._versions = Versions()
        self._world = World(istio_filters=profile is Profile.ISTIO)
        self._published: Snapshot | None = None
        self._last_push = 0.0
        self._watcher = Watcher([sources.config_dir], poll=sources.poll)

    def current(self) -> Snapshot | None:
        """What is served; None before the first look."""
        return self._published

    @property
    def world(self) -> World:
        """The newest, pushed or not."""
        return self._world

    def faults(self) -> list[Fault]:
        """What is wrong with the files now."""
        return self._directory.faults()

    async def load(self) -> None:
        """The first look; afterwards there is a snapshot, however bad the files are."""
        await self._look()
        self._publish(self._clock.now())

    async def run(self) -> None:
        """Look and push for as long as the process lives."""
        self._watcher.open()
        try:
            again: float | None = 0.0
            while True:
                await self._watcher.wait(self._longest(again))
                again = UNSETTLED_AGAIN if await self._look() else None
                settled = self._debounce.take(now=self._clock.monotonic())
                if settled is not None:
                    self._push(settled)
        finally:
            self._watcher.close()

    def push_all(self, reason: Reason) -> None:
        """Generate everything for everyone again, as an operator asked."""
        self._debounce.add(
            request(None, reason, now=self._clock.monotonic(), forced=True),
            now=self._clock.monotonic(),
        )

    def _longest(self, again: float | None) -> float | None:
        due = self._debounce.due()
        waits = [again] if again is not None else []
        if due is not None:
            waits.append(max(0.0, due - self._clock.monotonic()))
        return min(waits, default=None)

    async def _look(self) -> bool:
        """Take up what changed on disk. Whether a file is still being written."""
        mesh, files = await asyncio.to_thread(self._look_blocking)
        self._report(mesh.faults, ())
        self._report(files.faults, files.healed)
        before = self._world
        if mesh.config is not None:
            self._world = self._world.with_mesh(mesh.config)
            self._note(None, Reason.GLOBAL)
        if files.changed:
            self._world = self._with_files()
            found = change(before, self._world)
            if found.keys:
                self._note(found, Reason.CONFIG)
        return files.unsettled

    def _look_blocking(self) -> tuple[MeshLook, Look]:
        return self._mesh.look(), self._directory.look()

    def _with_files(self) -> World:
        objects = self._directory.objects()
        gone = dict.fromkeys(self._world.sources.keys() - objects.keys(), ())
        return self._world.apply({**gone, **objects})

    def _note(self, found: Change | None, reason: Reason) -> None:
        now = self._clock.monotonic()
        self._metrics.add(Metric.INBOUND_UPDATES, type="config")
        if self._published is None:
            return
        wish = request(found.keys if found else None, reason, now=now, forced=found is None)
        if found is not None:
            wish = replace(wish, addresses=found.addresses)
        self._debounce.add(wish, now=now)

    def _report(self, faults: Sequence[Fault], healed: Sequence[str]) -> None:
        for fault in faults:
            if fault.fatal:
                _files.error("configuration refused, the last good version stays", fault=fault)
            else:
                _files.warning("configuration is questionable", fault=fault)
        for name in healed:
            _files.info("configuration is good again", file=name)

    def _push(self, settled: Settled) -> None:
        wish = settled.request
        now = self._clock.monotonic()
        since = now - self._last_push
        self._publish(self._clock.now())
        snapshot = self._published
        if snapshot is None:
            raise AssertionError("BUG: nothing was published")
        version = snapshot.version
        _log.info(
            f"Push debounce stable[{version.rpartition('/')[2]}] {settled.events} {_for(wish)}: "
            f"{durations.render(round(settled.quiet, 6))} since last change, "
            f"{durations.render(round(since, 6))} since last push, "
            f"forced={str(wish.forced).lower()}"
        )
        for reason, count in wish.reasons.items():
            self._metrics.add(Metric.PUSH_TRIGGERS, count, type=reason)
        self._announce(snapshot)
        self._connections.push(wish)

    def _publish(self, now: float) -> None:
        self._published = Snapshot(version=self._versions.next(now), world=self._world)
        self._last_push = self._clock.monotonic()

    def _announce(self, snapshot: Snapshot) -> None:
        services = sum(1 for key in snapshot.world.by_key() if key.kind == "ServiceEntry")
        _log.info(
            f"XDS: Pushing Services:{services} ConnectedEndpoints:{len(self._connections)} "
            f"Version:{snapshot.version}"
        )


def _for(wish: PushRequest) -> str:
    return f"for config {wish.why}" if wish.changed else f"for reason {wish.why}"
