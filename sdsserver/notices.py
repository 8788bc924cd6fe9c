# SPDX-License-Identifier: Apache-2.0
"""What the kernel tells of secret files: changes near them, mounts over them, and writers that are not done.

Watched are each directory that a path leads through, the file itself (a bind-mounted file has no
directory that tells of it), and the mount table (a mount over a directory changes nothing in it). A
file that was modified and not closed yet is being written. None of this is relied upon: it says when
to look. Source: spec/agent.md 7.8, inotify(7), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable, Iterable

import mesh.log
from mesh.inotify import Event, Inotify, Mask
from sdsserver import chain
from sdsserver.metrics import Metrics

MOUNTS = "/proc/self/mountinfo"
STEPS = 5
"""How often links may move while they are followed; then the next look goes on."""

log = mesh.log.get("sds")


class Notices:
    """``on_notice`` is called when it is time to look. Made where a loop runs; ``close`` when done."""

    def __init__(self, on_notice: Callable[[], None], metrics: Metrics) -> None:
        self._on_notice = on_notice
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._inotify = self._open()
        self._mounts = self._follow_mounts()
        self._numbers: dict[str, int] = {}
        """Watch by path."""
        self._writing: dict[tuple[int, str], float] = {}
        """When a file that is still open for writing was last written to, by watch and name."""
        self.blind = self._inotify is None
        """Something cannot be watched: only looking tells."""

    def follow(self, paths: Iterable[str]) -> None:
        """Watch what leads to ``paths`` now, and nothing else; links may lead elsewhere than before."""
        if self._inotify is None:
            return
        paths, old = set(paths), set(self._numbers.values())
        places = _places(paths)
        for _ in range(STEPS):
            self._numbers = self._added(self._inotify, places)
            if places == (places := _places(paths)):  # nothing moved before it was watched
                break
        kept = set(self._numbers.values())
        for number in old - kept:
            self._inotify.remove(number)
        self._writing = {key: at for key, at in self._writing.items() if key[0] in kept}

    def being_written(self, path: str, *, within: float) -> bool:
        """Whether somebody wrote to the file in the last ``within`` seconds and has it open still."""
        self._drain()
        real = os.path.realpath(path)
        directory, name = os.path.split(real)
        places = ((directory, name), (real, ""))
        keys = [(self._numbers[where], what) for where, what in places if where in self._numbers]
        since = self._loop.time() - within
        return any(self._writing.get(key, since) > since for key in keys)

    def close(self) -> None:
        """Give the descriptors back."""
        if self._inotify:
            self._loop.remove_reader(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None
        if self._mounts:
            table, poll = self._mounts
            self._loop.remove_reader(poll.fileno())
            poll.close()
            os.close(table)
            self._mounts = None

    def _open(self) -> Inotify | None:
        try:
            made = Inotify()
        except OSError as error:
            self._metrics.file_watcher_failures += 1
            log.warning("no file notifications, polling", why=error.strerror)
            return None
        self._loop.add_reader(made.fileno(), self._noticed)
        return made

    def _follow_mounts(self) -> tuple[int, select.epoll] | None:
        """The mount table and who waits for it: always readable, a change is said by EPOLLPRI."""
        try:
            table = os.open(MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        poll = select.epoll()
        poll.register(table, select.EPOLLPRI)
        self._loop.add_reader(poll.fileno(), self._mounted)
        return table, poll

    def _added(self, inotify: Inotify, places: Iterable[str]) -> dict[str, int]:
        found, self.blind = {}, False
        for place in places:
            try:
                found[place] = inotify.add(place)
            except FileNotFoundError:  # replaced a moment ago: its directory tells
                continue
            except OSError as error:
                self.blind = True
                self._metrics.file_watcher_failures += 1
                log.debug("not watched, polling", path=place, why=error.strerror)
        return found

    def _noticed(self) -> None:
        if self._drain():
            self._on_notice()

    def _mounted(self) -> None:
        if self._mounts:
            self._mounts[1].poll(0)
        self._on_notice()

    def _drain(self) -> bool:
        """Whether there was anything; who writes is noted."""
        found = False
        while events := self._inotify.read() if self._inotify else []:
            found = True
            for event in events:
                self._note(event)
        return found

    def _note(self, event: Event) -> None:
        key = (event.watch, event.name)
        if event.mask & Mask.MODIFY:
            self._writing[key] = self._loop.time()
        elif event.mask & _DONE:
            self._writing.pop(key, None)


_DONE = Mask.CLOSE_WRITE | Mask.MOVED_FROM | Mask.MOVED_TO | Mask.DELETE | Mask.IGNORED
"""After these the name's content is whole, another's, or gone."""


def _places(paths: Iterable[str]) -> set[str]:
    """The directories that lead to ``paths``, and the files."""
    found = {where for path in paths for where in chain.directories(path)}
    return found | {real for path in paths if os.path.isfile(real := os.path.realpath(path))}
