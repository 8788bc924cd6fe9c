# SPDX-License-Identifier: Apache-2.0
"""Secrets that come from files: loading them, and noticing that they changed.

A pair is served only when it is one and nobody is writing it, so a half-written rotation is never
seen. Notifications say when to look; a slow poll looks anyway; what counts is the content, not what
the file system says of it. A file that vanished, broke or expired while the last content is good keeps
that in Envoy. Whoever asks for a name that is being loaded gets that load's outcome.
Source: spec/agent.md 7.4, 7.8.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import mesh.log
from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.errors import MeshError
from sdsserver.metrics import Metrics
from sdsserver.names import ROOT, SYSTEM_BUNDLES, SYSTEM_ROOT, WORKLOAD, FileName
from sdsserver.options import SecretOptions
from sdsserver.reading import Contents, contents, parse, present, reason, untimely
from sdsserver.rotation import RECHECK
from sdsserver.secret import Secret
from sdsserver.waiting import event_or_timeout
from sdsserver.x509 import Facts, facts

if TYPE_CHECKING:
    from sdsserver.notices import Notices  # brings ctypes: only where files are watched

log = mesh.log.get("sds")

OnUpdate = Callable[[str], None]

SOONEST = 0.02
"""Seconds until a file that was not right is read again, however small FILE_DEBOUNCE_DURATION is."""


class FileSecretFailed(MeshError):
    """A secret's files did not become readable and right within the deadline."""

    hint = (
        "check that the files exist, are readable by the proxy, and that key and certificate match"
    )

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


@dataclass(slots=True)
class _Watched:
    """One name that was served from files, and what it was served with."""

    files: FileName
    public: bytes
    """What is compared: a key that changed alone is the same key in other words."""
    fingerprint: int
    """Of the bytes that were read; nothing leads back from it to a key."""
    leaf: Facts | None
    """Of a pair."""
    broken: str = ""
    """Why what the files hold now is not served."""


@dataclass(slots=True)
class _Load:
    """A load under way; others who want the name wait for it."""

    done: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: Secret | FileSecretFailed | None = None
    """None: whoever did it went away in the middle."""


class FileSecrets:
    """Loads by name; ``run`` reports changes of what was loaded."""

    def __init__(
        self, options: SecretOptions, clock: Clock, metrics: Metrics, on_update: OnUpdate
    ) -> None:
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._on_update = on_update
        self._rng = Random()  # noqa: S311  spreads retries, guards nothing
        self._watched: dict[str, _Watched] = {}
        self._loads: dict[str, _Load] = {}
        self._backoffs: dict[str, Backoff] = {}
        """Of the names whose last load failed."""
        self._notices: Notices | None = None
        self._noticed = asyncio.Event()
        self._system_root = next((path for path in SYSTEM_BUNDLES if os.path.exists(path)), "")

    def source(self, name: str) -> FileName | None:
        """The files that ``name`` stands for; None when it must come from the CA."""
        if name == SYSTEM_ROOT:
            return FileName(root=self._system_root) if self._system_root else None
        if name in {WORKLOAD, ROOT}:
            return self._well_known(name)
        files = FileName.parse(name)
        return files if files and (files.is_root or files.is_pair) else None

    def watched(self) -> list[str]:
        """The files whose changes are told, by absolute path."""
        return sorted(os.path.abspath(path) for path in self._paths())

    def leaves(self) -> dict[str, Facts]:
        """The certificates that were served last, by name."""
        return {name: each.leaf for name, each in self._watched.items() if each.leaf}

    async def load(self, name: str, files: FileName) -> Secret:
        """The secret as the files have it, once they are right. Raises FileSecretFailed."""
        outcome = None
        while outcome is None:
            other = self._loads.get(name)
            if other is None:
                with self._loading(name) as load:
                    outcome = load.outcome = await self._load(name, files)
            else:
                await other.done.wait()  # no deadline: a load has one
                outcome = other.outcome
        if isinstance(outcome, FileSecretFailed):
            raise FileSecretFailed(outcome.name, outcome.why)
        return outcome

    async def run(self) -> None:
        """Look at the files whenever something moves near them, and now and then anyway."""
        await self._noticed.wait()  # no deadline: nothing is watched yet, so nothing is opened
        from sdsserver.notices import Notices

        self._notices = Notices(self._noticed.set, self._metrics)
        try:
            self._notices.follow(self._paths())
            while True:
                await event_or_timeout(self._noticed, self._rest(), self._clock)
                self._noticed.clear()
                await self._clock.sleep(self._options.debounce)
                self._look()
        finally:
            self._notices.close()
            self._notices = None

    def _rest(self) -> float | None:
        """Seconds until the next look that nothing calls for."""
        waiting = any(each.broken for each in self._watched.values())
        if waiting or (self._notices and self._notices.blind):
            return min(self._options.poll or RECHECK, RECHECK)
        return self._options.poll or None

    def _paths(self) -> set[str]:
        return {path for watched in self._watched.values() for path in watched.files if path}

    def _well_known(self, name: str) -> FileName | None:
        """The well-known files, unless they are our own output."""
        files = self._options.well_known
        output = self._options.output_dir
        if output and os.path.abspath(output) == os.path.abspath(os.path.dirname(files.chain)):
            return None
        if name == ROOT:
            return FileName(root=files.root) if present(files.root) else None
        found = present(files.chain) and present(files.key)
        return FileName(chain=files.chain, key=files.key) if found else None

    @contextmanager
    def _loading(self, name: str) -> Iterator[_Load]:
        load = self._loads[name] = _Load()
        try:
            yield load
        finally:
            del self._loads[name]
            load.done.set()

    async def _load(self, name: str, files: FileName) -> Secret | FileSecretFailed:
        """Try until it is right or the time is up; a name that failed before is tried more slowly."""
        first = max(self._options.debounce, SOONEST)
        fresh = Backoff(initial=first, factor=2.0, jitter=0.1, cap=2.0)
        backoff = self._backoffs.setdefault(name, fresh)
        end = self._clock.monotonic() + self._options.file_deadline
        while True:
            try:
                found = self._whole(files)
                secret = parse(name, files, found.raw)
            except (OSError, ValueError) as error:
                why = reason(error)
            else:
                del self._backoffs[name]
                self._watch(name, secret, _watched(files, found.raw, secret))
                return secret
            delay = backoff.delay(self._rng)
            if self._clock.monotonic() + delay > end:
                self._metrics.file_secret_failures += 1
                return FileSecretFailed(name, why)
            await self._clock.sleep(delay)

    def _whole(self, files: FileName) -> Contents:
        """What the files hold. Raises ValueError while they are being written, and OSError."""
        found = contents(files)
        self._check_done(files)
        found.check_whole(self._clock.now(), within=self._options.file_deadline)
        return found

    def _check_done(self, files: FileName) -> None:
        if self._notices is None:
            return
        for path in filter(None, files):
            if self._notices.being_written(path, within=self._options.file_deadline):
                raise ValueError(f"{path} is being written")

    def _watch(self, name: str, secret: Secret, watched: _Watched) -> None:
        known = name in self._watched
        self._watched[name] = watched
        self._count()
        if watched.leaf and (why := untimely(watched.leaf, self._clock.now())):
            log.warning("certificate file served all the same", name=secret.name, why=why)
        if self._notices:
            self._notices.follow(self._paths())
        if not known:
            self._noticed.set()  # it may have changed before it was watched

    def _look(self) -> None:
        if self._notices:  # first, so that a change after the reading is told
            self._notices.follow(self._paths())
        for name, watched in list(self._watched.items()):
            try:
                found = contents(watched.files)
                if hash(found.raw) == watched.fingerprint:
                    watched.broken = ""
                    continue
                self._check_done(watched.files)
                found.check_whole(self._clock.now(), within=self._options.file_deadline)
                judged = self._judged(name, watched, found.raw)
            except (OSError, ValueError) as error:
                self._broken(name, watched, reason(error))
                continue
            self._watched[name] = judged
            if judged.public != watched.public:
                log.info("secret file changed", name=name)
                self._on_update(name)
        self._count()

    def _judged(self, name: str, old: _Watched, raw: tuple[bytes, ...]) -> _Watched:
        """What the files hold now. Raises ValueError when that is worse than what was served last."""
        found = _watched(old.files, raw, parse(name, old.files, raw))
        now = self._clock.now()
        if found.leaf and found.public != old.public:
            why = untimely(found.leaf, now)
            if why and old.leaf and old.leaf.valid_at(now):
                raise ValueError(f"new {why}, the old one is still good")
        return found

    def _broken(self, name: str, watched: _Watched, why: str) -> None:
        """Said once for each fault; the seconds in it are none."""
        if not watched.broken:
            self._metrics.files_refused += 1
        if _kind(watched.broken) != _kind(why):
            log.warning("changed secret file not usable yet", name=name, why=why)
        watched.broken = why

    def _count(self) -> None:
        self._metrics.files_unusable = sum(bool(each.broken) for each in self._watched.values())
        self._metrics.file_expiry = {name: leaf.not_after for name, leaf in self.leaves().items()}


def _watched(files: FileName, raw: tuple[bytes, ...], secret: Secret) -> _Watched:
    leaf = facts(secret.chain) if secret.chain else None
    return _Watched(files, secret.root or secret.chain, hash(raw), leaf)


def _kind(why: str) -> str:
    return "".join(each for each in why if not each.isdigit())
