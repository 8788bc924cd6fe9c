# SPDX-License-Identifier: Apache-2.0
"""Obeys the lifecycle machine: holds its clock, its queue and the child. Effects only; every decision is the machine's.

Events come from signals, pages and the reaper; commands go to the process and the admin port, one at a time.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, assert_never

import mesh.log
from agent.envoy.admin import EnvoyAdmin
from agent.envoy.process import EnvoyProcess, exit_phrase
from agent.lifecycle import (
    Command,
    Count,
    Counted,
    Drain,
    DrainAsked,
    EnvoyExited,
    EnvoyStarted,
    Event,
    Exit,
    Kill,
    Lifecycle,
    Quit,
    Stop,
    Wake,
    Woke,
)
from mesh.errors import EnvoyFailed, ExitCode

log = mesh.log.get()

_NO_SUCH_STATUS = 127
"""What a shell says of a program that it cannot run."""


class _Told(NamedTuple):
    event: Event
    done: asyncio.Event


class Supervisor:
    """One life of one Envoy."""

    def __init__(self, life: Lifecycle, process: EnvoyProcess, admin: EnvoyAdmin) -> None:
        self.life = life
        self.process = process
        self._admin = admin
        self._queue: asyncio.Queue[_Told] = asyncio.Queue()
        self._wake: float | None = None
        self.cause = ""
        """Why the end began; empty before."""

    def stop(self, cause: str) -> None:
        """End in good order."""
        self.cause = self.cause or cause
        self._post(Stop(cause))

    def quit(self) -> None:
        """End without draining."""
        self.cause = self.cause or "quit asked for"
        self._post(Quit())

    async def drain(self) -> None:
        """Drain now and live on; returns when it was asked for and answered."""
        await self._post(DrainAsked()).wait()  # no deadline: the admin client has one

    async def run_envoy(self, command: list[str]) -> None:
        """Start the child and wait for its end. Returns then; a binary that cannot run is an end, too."""
        try:
            await self.process.start(command)
        except EnvoyFailed as error:
            log.error("envoy exited with error", why=error.why, hint=error.hint)  # noqa: TRY400  one line
            self._post(EnvoyExited(_NO_SUCH_STATUS))
            return
        log.info("envoy started", pid=self.process.pid)
        self._post(EnvoyStarted())
        status = await self.process.wait()
        _report(status, killed_by_us=self.life.stopping)
        self._post(EnvoyExited(status))

    async def run(self) -> ExitCode:
        """Take events until the machine says that it is over."""
        while True:
            told = await self._next()
            for command in self.life.on(told.event):
                if isinstance(command, Exit):
                    return command.code
                await self._obey(command)
            told.done.set()

    def _post(self, event: Event) -> asyncio.Event:
        done = asyncio.Event()
        self._queue.put_nowait(_Told(event, done))
        return done

    async def _next(self) -> _Told:
        try:
            async with asyncio.timeout_at(self._wake):
                return await self._queue.get()
        except TimeoutError:
            self._wake = None
            return _Told(Woke(), asyncio.Event())

    async def _obey(self, command: Command) -> None:
        match command:
            case Drain():
                await self._drain(skip_exit=command.skip_exit)
            case Wake():
                self._wake = asyncio.get_running_loop().time() + command.after
            case Count():
                self._post(Counted(await self._connections()))
            case Kill():
                log.info("killing envoy")
                self.process.kill()
            case Exit():
                raise EnvoyFailed("BUG: exit is not obeyed here")
            case _:
                assert_never(command)

    async def _drain(self, *, skip_exit: bool) -> None:
        log.info("draining envoy", cause=self.cause or "drain asked for")
        try:
            await self._admin.drain(skip_exit=skip_exit)
        except EnvoyFailed as error:
            log.warning("envoy was not told to drain", why=error.why)

    async def _connections(self) -> int | None:
        try:
            count = await self._admin.active_connections()
        except EnvoyFailed as error:
            log.error("open connections are not known", why=error.why)  # noqa: TRY400  one line
            return None
        log.info("waiting for open connections", connections=count)
        return count


def _report(status: int, *, killed_by_us: bool) -> None:
    phrase = exit_phrase(status)
    if status == 0:
        log.info("envoy exited normally")
    elif killed_by_us:
        log.info("envoy ended", why=phrase)
    elif phrase == "signal: killed":
        log.error("envoy exited with error", why=phrase, hint="out of memory? see the kernel's log")
    else:
        log.error("envoy exited with error", why=phrase)
