# SPDX-License-Identifier: Apache-2.0
"""Obeys the lifecycle machine: holds its clock, its queue and the child. Effects only; every decision is the machine's.

Events come from signals, pages and the reaper; commands go to the process and the admin port, one at a time.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, NoReturn, assert_never

import mesh.log
from agent.envoy.admin import EnvoyAdmin
from agent.envoy.binary import CannotRun
from agent.envoy.deaths import death_of
from agent.envoy.process import EnvoyProcess
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
    Expired,
    Kill,
    Lifecycle,
    Limit,
    Quit,
    Start,
    Stop,
    Wake,
    Woke,
)
from mesh.cgroup import Cgroup
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
        self._limit: float | None = None
        self._start = asyncio.Event()
        self._start.set()
        self.cause = ""
        """Why the end began; empty before."""
        self.was_live = False
        """Whether the present Envoy has been live; set by who asks it."""

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

    async def run_envoy(self, command: list[str]) -> NoReturn:
        """Start the child whenever the machine wants one, and tell it of each end."""
        while True:
            await self._start.wait()  # no deadline: a restart may never be wanted
            self._start.clear()
            self._post(await self._one_life(command))

    async def _one_life(self, command: list[str]) -> EnvoyExited:
        """From fork to reaper. A binary that cannot run is an end, too."""
        self.was_live = False
        kills = Cgroup().oom_kills()
        try:
            await self.process.start(command)
        except EnvoyFailed as error:
            log.error("envoy exited with error", why=error.why, hint=error.hint)  # noqa: TRY400  one line
            return EnvoyExited(_NO_SUCH_STATUS, at=_now(), hopeless=isinstance(error, CannotRun))
        log.info("envoy started", pid=self.process.pid)
        self._post(EnvoyStarted())
        status = await self.process.wait()
        self._report(status, oom_kills=Cgroup().oom_kills() - kills)
        return EnvoyExited(status, at=_now())

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
        due = [each for each in (self._wake, self._limit) if each is not None]
        try:
            async with asyncio.timeout_at(min(due, default=None)):
                return await self._queue.get()
        except TimeoutError:
            return _Told(self._passed(), asyncio.Event())

    def _passed(self) -> Event:
        """Which of the two alarms rang; both at once: the end of everything."""
        if self._limit is not None and self._limit <= _now():
            self._limit = None
            return Expired()
        self._wake = None
        return Woke()

    async def _obey(self, command: Command) -> None:
        match command:
            case Drain():
                await self._drain(skip_exit=command.skip_exit)
            case Wake():
                self._wake = _now() + command.after
            case Limit():
                self._limit = _now() + command.after
            case Start():
                log.info("starting envoy again")
                self._start.set()
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

    def _report(self, status: int, *, oom_kills: int) -> None:
        death = death_of(
            status, was_ready=self.was_live, asked=self.life.stopping, oom_kills=oom_kills
        )
        facts = {"why": death.why, "hint": death.hint} if death.hint else {"why": death.why}
        (log.info if death.normal else log.error)(death.event, **facts)


def _now() -> float:
    return asyncio.get_running_loop().time()
