# SPDX-License-Identifier: Apache-2.0
"""Secrets that come from files: loading them, and noticing that they changed.

A pair is served only when it is one, so a half-written rotation is never seen. Notifications say when
to look; a slow poll looks anyway; what counts is the content, not what the file system says of it. A
file that vanished, broke or expired while the last content is good keeps that in Envoy.
Source: spec/agent.md 7.4, 7.8.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import mesh.log
from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.errors import MeshError
from sdsserver import chain, pem
from sdsserver.metrics import Metrics
from sdsserver.names import ROOT, SYSTEM_BUNDLES, SYSTEM_ROOT, WORKLOAD, FileName
from sdsserver.options import SecretOptions
from sdsserver.secret import Secret
from sdsserver.waiting import event_or_timeout
from sdsserver.x509 import Facts, facts

if TYPE_CHECKING:
    from mesh.inotify import Inotify  # brings ctypes: only where files are watched

log = mesh.log.get("sds")

OnUpdate = Callable[[str], None]


class FileSecretFailed(MeshError):
    """A secret's files did not become readable and right within the deadline."""

    hint = (
        "check that the files exist, are readable by the proxy, and that key and certificate match"
    )

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")


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
    """The last fault that was logged, so that it is logged once."""
    directories: list[str] = field(default_factory=list)


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
        self._inotify: Inotify | None = None
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
        paths = {path for watched in self._watched.values() for path in watched.files if path}
        return sorted(os.path.abspath(path) for path in paths)

    def leaves(self) -> dict[str, Facts]:
        """The certificates that were served last, by name."""
        return {name: each.leaf for name, each in self._watched.items() if each.leaf}

    async def load(self, name: str, files: FileName) -> Secret:
        """The secret as the files have it, once they are right. Raises FileSecretFailed."""
        backoff = Backoff(initial=self._options.debounce, factor=2.0, jitter=0.1, cap=2.0)
        end = self._clock.monotonic() + self._options.file_deadline
        while True:
            try:
                raw = contents(files)
                secret = parse(name, files, raw)
            except (OSError, ValueError) as error:
                why = reason(error)
            else:
                self._watch(name, secret, _watched(files, raw, secret))
                return secret
            delay = backoff.delay(self._rng)
            if self._clock.monotonic() + delay > end:
                self._metrics.file_secret_failures += 1
                raise FileSecretFailed(name, why)
            await self._clock.sleep(delay)

    async def run(self) -> None:
        """Look at the files whenever something moves near them, and now and then anyway."""
        await self._noticed.wait()  # no deadline: nothing is watched yet, so nothing is opened
        loop = asyncio.get_running_loop()
        self._inotify = self._open_inotify()
        try:
            if self._inotify:
                loop.add_reader(self._inotify.fileno(), self._notice, self._inotify)
            for watched in self._watched.values():
                self._follow(watched)
            while True:
                poll = self._options.poll if self._watched and self._options.poll else None
                await event_or_timeout(self._noticed, poll, self._clock)
                self._noticed.clear()
                await self._clock.sleep(self._options.debounce)
                self._look()
        finally:
            if self._inotify:
                loop.remove_reader(self._inotify.fileno())
                self._inotify.close()
                self._inotify = None

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

    def _watch(self, name: str, secret: Secret, watched: _Watched) -> None:
        known = name in self._watched
        self._watched[name] = watched
        self._follow(watched)
        if watched.leaf and (why := _validity(watched.leaf, self._clock.now())):
            log.warning("certificate file served all the same", name=secret.name, why=why)
        if not known:
            self._noticed.set()  # the loop may be waiting without a poll

    def _follow(self, watched: _Watched) -> None:
        """Watch the directories that lead to the files now; links may lead elsewhere than before."""
        if self._inotify is None:
            return
        watched.directories = sorted(
            {where for path in watched.files if path for where in chain.directories(path)}
        )
        for directory in watched.directories:
            try:
                self._inotify.add(directory)
            except OSError as error:
                self._metrics.file_watcher_failures += 1
                log.debug("directory not watched, polling", path=directory, why=error.strerror)

    def _open_inotify(self) -> Inotify | None:
        from mesh.inotify import Inotify

        try:
            return Inotify()
        except OSError as error:
            self._metrics.file_watcher_failures += 1
            log.warning("no file notifications, polling", why=error.strerror)
            return None

    def _notice(self, inotify: Inotify) -> None:
        if inotify.read():
            self._noticed.set()

    def _look(self) -> None:
        for name, watched in list(self._watched.items()):
            try:
                raw = contents(watched.files)
                if hash(raw) == watched.fingerprint and not watched.broken:
                    continue
                self._follow(watched)
                found = self._judged(name, watched, raw)
            except (OSError, ValueError) as error:
                self._broken(name, watched, reason(error))
                continue
            self._watched[name] = found
            if found.public != watched.public:
                log.info("secret file changed", name=name)
                self._on_update(name)

    def _judged(self, name: str, old: _Watched, raw: tuple[bytes, ...]) -> _Watched:
        """What the files hold now. Raises ValueError when that is worse than what was served last."""
        found = _watched(old.files, raw, parse(name, old.files, raw))
        found.directories = old.directories
        now = self._clock.now()
        if found.leaf and found.public != old.public:
            why = _validity(found.leaf, now)
            if why and old.leaf and old.leaf.valid_at(now):
                raise ValueError(f"new {why}, the old one is still good")
        return found

    def _broken(self, name: str, watched: _Watched, why: str) -> None:
        if watched.broken != why:
            watched.broken = why
            self._follow(watched)
            log.warning("changed secret file not usable yet", name=name, why=why)


def read(name: str, files: FileName) -> Secret:
    """The secret as the files have it now. Raises OSError, and ValueError for content that is not right."""
    return parse(name, files, contents(files))


def contents(files: FileName) -> tuple[bytes, ...]:
    """The bytes of each file. Raises OSError."""
    return tuple(_content(path) for path in files if path)


def parse(name: str, files: FileName, raw: tuple[bytes, ...]) -> Secret:
    """The secret that ``raw``, read of ``files``, makes. Raises ValueError for content that is not right."""
    if files.is_root:
        roots, dropped = pem.valid_roots(raw[0])
        if dropped:
            log.warning(
                "invalid certificates in root file left out", path=files.root, count=dropped
            )
        return Secret(name, root=roots)
    pair = Secret(name, chain=raw[0], key=raw[1])
    pem.check_pair(pair.chain, pair.key)
    return pair


def present(path: str) -> bool:
    """Whether the file is readable and not empty."""
    try:
        return os.stat(path).st_size > 0 and os.access(path, os.R_OK)
    except OSError:
        return False


def reason(error: Exception) -> str:
    """What to tell of a fault: never the content, only what is wrong with it."""
    if isinstance(error, OSError):
        return f"{error.filename}: {(error.strerror or 'unreadable').lower()}"
    return str(error)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _watched(files: FileName, raw: tuple[bytes, ...], secret: Secret) -> _Watched:
    leaf = facts(secret.chain) if secret.chain else None
    return _Watched(files, secret.root or secret.chain, hash(raw), leaf)


def _validity(leaf: Facts, now: float) -> str:
    """What is wrong with the certificate's time; empty when nothing is."""
    if now >= leaf.not_after:
        return f"certificate expired {now - leaf.not_after:.0f} s ago"
    if now < leaf.not_before:
        return f"certificate is not valid for another {leaf.not_before - now:.0f} s"
    return ""
