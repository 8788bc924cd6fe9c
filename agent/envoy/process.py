# SPDX-License-Identifier: Apache-2.0
"""The Envoy child: forked into a process group of its own, reaped by the one task that waits. Effects only.

The group matters: a terminal's Ctrl-C must reach the agent alone, which then decides how Envoy ends.
Should the agent itself be killed, Envoy stays until the kubelet ends the container, as with the peer.
Source: spec/agent.md 3.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import IO

import mesh.log
from agent import coredumps
from agent.envoy import logs
from agent.envoy.binary import cannot_run
from agent.envoy.options import ProcessOptions
from mesh.errors import EnvoyFailed

log = mesh.log.get("envoy")

_CHUNK = 64 * 1024
_LAST_WORDS = 1.0
"""Seconds for the rest of the log after the end: a grandchild may hold the pipe for ever."""


class EnvoyProcess:
    """One child. ``start``, then ``wait`` exactly once."""

    def __init__(self, options: ProcessOptions, command: Sequence[str], *, epoch: int = 0) -> None:
        self.command = tuple(command)
        self.epoch = epoch
        self.ended = asyncio.Event()
        """Set when it was reaped, or could not be started."""
        self.was_live = False
        """Set by who asks it."""
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int:
        """0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """Started, and not reaped."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Fork and exec. Raises CannotRun."""
        options = self._options
        # a pipe of our own: asyncio reaps a child only when its pipes are closed, and a grandchild may hold them
        ours, theirs = os.pipe() if options.one_log else (None, None)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                env=dict(options.environment),
                process_group=0,
                user=options.uid,
                group=options.uid,
                extra_groups=None if options.uid is None else (),
                stderr=theirs,
            )
        except OSError as error:
            if ours is not None:
                os.close(ours)
            self.ended.set()
            raise cannot_run(self.command[0], error) from None
        finally:
            if theirs is not None:
                os.close(theirs)
        if options.core_limits:
            coredumps.give_back(self.pid, options.core_limits)
        if ours is not None:
            self._log = os.fdopen(ours, "rb", buffering=0)

    async def wait(self) -> int:
        """The status once it has ended: the exit code, or minus the signal. This task is the reaper."""
        if self._process is None:
            raise EnvoyFailed("BUG: waited for before it was started")
        try:
            return await self._until_end(self._process)
        finally:
            self.ended.set()

    async def _until_end(self, process: asyncio.subprocess.Process) -> int:
        if self._log is None:
            return await process.wait()  # no deadline: Envoy lives as long as the pod
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(_rewrite(self._log), name="envoy's log")
            status = await process.wait()  # no deadline: as above
            await asyncio.wait([writing], timeout=_LAST_WORDS)
            writing.cancel()
        return status

    def kill(self) -> None:
        """SIGKILL to the whole group; nothing when it is gone."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Leave no child behind, however the agent ends."""
        if self._process is not None:
            self.kill()
            await self._process.wait()  # no deadline: what was killed ends
        if self._log is not None:
            self._log.close()


async def _rewrite(pipe: IO[bytes]) -> None:
    """Envoy's lines, as lines of ours, until it closes."""
    reader, lines = asyncio.StreamReader(), logs.Lines()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    try:
        while data := await reader.read(_CHUNK):  # no deadline: Envoy speaks when it has to
            for text in lines.feed(data):
                _write(text)
        for text in lines.end():
            _write(text)
    finally:
        transport.close()


def _write(text: str) -> None:
    line = logs.parse(text)
    facts = {"component": line.component, "caller": line.place}
    log.write(line.level, line.message, **{key: value for key, value in facts.items() if value})
