# SPDX-License-Identifier: Apache-2.0
"""Secrets that come from files: loading them, and noticing that they changed.

A pair is served only when it is one, so a half-written rotation is never seen. Notifications say when
to look; a slow poll looks anyway; what counts is the content. A file that vanished or broke keeps its
last content in Envoy. Source: spec/agent.md 7.4, 7.8.
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
    signature: tuple[object, ...]
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

    async def load(self, name: str, files: FileName) -> Secret:
        """The secret as the files have it, once they are right. Raises FileSecretFailed."""
        backoff = Backoff(initial=self._options.debounce, factor=2.0, jitter=0.1, cap=2.0)
        end = self._clock.monotonic() + self._options.file_deadline
        while True:
            try:
                secret = read(name, files)
            except (OSError, ValueError) as error:
                why = reason(error)
            else:
                self._watch(name, files, secret)
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

    def _watch(self, name: str, files: FileName, secret: Secret) -> None:
        known = self._watched.get(name)
        signature = _signature(files)
        if known and known.files == files:
            known.public, known.signature = _public(secret), signature
            self._follow(known)
            return
        self._watched[name] = _Watched(files, _public(secret), signature)
        self._follow(self._watched[name])
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
            signature = _signature(watched.files)
            if signature != watched.signature or watched.broken:
                watched.signature = signature
                self._judge(name, watched)

    def _judge(self, name: str, watched: _Watched) -> None:
        """Report ``name`` if its files hold something else, and something right."""
        self._follow(watched)
        try:
            public = _public(read(name, watched.files))
        except (OSError, ValueError) as error:
            if watched.broken != reason(error):
                watched.broken = reason(error)
                log.warning("changed secret file not usable yet", name=name, why=watched.broken)
            return
        watched.broken = ""
        if public != watched.public:
            watched.public = public
            log.info("secret file changed", name=name)
            self._on_update(name)


def read(name: str, files: FileName) -> Secret:
    """The secret as the files have it now. Raises OSError, and ValueError for content that is not right."""
    if files.is_root:
        roots, dropped = pem.valid_roots(_content(files.root))
        if dropped:
            log.warning(
                "invalid certificates in root file left out", path=files.root, count=dropped
            )
        return Secret(name, root=roots)
    pair = Secret(name, chain=_content(files.chain), key=_content(files.key))
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


def _public(secret: Secret) -> bytes:
    """What is compared: a key that changed alone is the same key in other words."""
    return secret.root or secret.chain


def _signature(files: FileName) -> tuple[object, ...]:
    """Changes whenever the content may have changed; costs one stat for each file."""
    return tuple(_stat(path) for path in files if path)


def _stat(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
