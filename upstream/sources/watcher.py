# SPDX-License-Identifier: Apache-2.0
"""Waits until files may have changed: the kernel tells at once, and where it cannot, time tells.

It decides nothing: who waits looks at the files afterwards, whatever woke it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from mesh import log
from mesh.inotify import Inotify

TOLD_POLL = 1.0
"""How often to look where the kernel tells: some file systems never do."""

_log = log.get("file")


class Watcher:
    """Directories, below which something may change."""

    def __init__(self, directories: Sequence[str], *, poll: float) -> None:
        self._directories = tuple(directories)
        self._poll = poll
        self._changed = asyncio.Event()
        self._inotify: Inotify | None = None

    def open(self) -> None:
        """Start listening to the kernel, where it lets us."""
        try:
            self._inotify = Inotify()
        except OSError as error:
            _log.warning("no file notifications, files are polled", reason=error)
            return
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._on_events)
        self._follow()

    def close(self) -> None:
        """Stop listening. Twice is no error."""
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None

    async def wait(self, longest: float | None = None) -> None:
        """Return after a change, or when it is time to look anyway, or after ``longest`` seconds."""
        poll = self._poll if self._inotify is None else max(self._poll, TOLD_POLL)
        try:
            async with asyncio.timeout(poll if longest is None else min(poll, longest)):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()
        self._follow()

    def _on_events(self) -> None:
        if self._inotify is not None and self._inotify.read():
            self._changed.set()

    def _follow(self) -> None:
        """Watch every folder there is now; one that is watched already stays as it is."""
        if self._inotify is None:
            return
        for directory in self._directories:
            for root, folders, _ in os.walk(directory):
                folders[:] = [folder for folder in folders if not folder.startswith(".")]
                try:
                    self._inotify.add(root)
                except OSError:  # gone, or the kernel's limit: polling sees what is missed
                    continue
