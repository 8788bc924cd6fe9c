# SPDX-License-Identifier: Apache-2.0
"""Obeys the lifecycle machine: holds its clock, its queue and the children. Effects only; the machine decides.

Events come from signals, pages and reapers; commands go to processes and the admin port, one at a time. There is one
Envoy in charge, whose end is the machine's business. During an upgrade there are others: one that gets ready to take
over (``enlist``, then ``promote``) and one that was in charge and ends by itself; their ends are only told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple, NoReturn, assert_never

import mesh.log
from agent.envoy.admin import DRAIN_TIMEOUT, EnvoyAdmin
from agent.envoy.binary import CannotRun
from agent.envoy.deaths import death_of, exit_phrase
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
    """One life. ``launch`` makes the process that is started first, and again where a restart is wanted."""

    def __init__(
        self,
        life: Lifecycle,
        launch: Callable[[], EnvoyProcess],
        admin: EnvoyAdmin,
        *,
        on_change: Callable[[], None] = lambda: None,
        before_drain: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.life = life
        self.envoy: EnvoyProcess | None = None
        """The one in charge; None before the first start."""
        self.starts = 0
        """Of those in charge, the first included."""
        self.cause = ""
        """Why the end began; empty before."""
        self.ending = asyncio.Event()
        """Set when the end has begun."""
        self._launch = launch
        self._admin = admin
        self._on_change = on_change
        """Another Envoy is in charge, or none."""
        self.before_drain = before_drain
        """Until nothing is half done; has a deadline of its own."""
        self._queue: asyncio.Queue[_Told] = asyncio.Queue()
        self._wake: float | None = None
        self._limit: float | None = None
        self._start = asyncio.Event()
        self._start.set()
        self._children: list[EnvoyProcess] = []
        """All that were started and are not reaped."""
        self._group: asyncio.TaskGroup | None = None

    # ---- asked from outside ----

    def stop(self, cause: str) -> None:
        """End in good order."""
        self._begin_end(cause)
        self._post(Stop(cause))

    def quit(self) -> None:
        """End without draining."""
        self._begin_end("quit asked for")
        self._post(Quit())

    def _begin_end(self, cause: str) -> None:
        self.cause = self.cause or cause
        self.ending.set()

    async def drain(self) -> None:
        """Drain now and live on; returns when it was asked for and answered."""
        await self._post(DrainAsked()).wait()  # no deadline: the admin client has one

    @property
    def pid(self) -> int:
        """Of the Envoy in charge; 0 where there is none."""
        return self.envoy.pid if self.envoy is not None and self.envoy.alive else 0

    @property
    def draining(self) -> bool:
        """Whether no new work is wanted any more."""
        return self.life.stopping

    def seat(self, pid: int | None) -> int:
        """Which of our Envoys a process is; a stranger sits where the one in charge does."""
        known = [child.pid for child in self._children]
        return pid if pid in known and pid is not None else self.pid

    # ---- children ----

    async def run_envoy(self) -> NoReturn:
        """Start a child whenever the machine wants one, and tell it of the end of the one in charge."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                await self._start.wait()  # no deadline: a restart may never be wanted
                self._start.clear()
                await self._put_in_charge(self._launch())
        raise EnvoyFailed("BUG: the children's group ended")

    async def _put_in_charge(self, process: EnvoyProcess) -> None:
        """A binary that cannot run is an end, too."""
        self.promote(process)
        try:
            await self.enlist(process)
        except EnvoyFailed as error:
            log.error("envoy exited with error", why=error.why, hint=error.hint)  # noqa: TRY400  one line
            hopeless = isinstance(error, CannotRun)
            self._post(EnvoyExited(_NO_SUCH_STATUS, at=_now(), hopeless=hopeless))
        else:
            self._post(EnvoyStarted())

    async def enlist(self, process: EnvoyProcess) -> None:
        """Start a child and reap it when it ends. Raises CannotRun."""
        if self._group is None:
            raise EnvoyFailed("nothing runs yet")
        kills = Cgroup().oom_kills()
        await process.start()
        self._children.append(process)
        log.info("envoy started", pid=process.pid, epoch=process.epoch)
        self._group.create_task(self._reap(process, kills), name=f"reaper of {process.pid}")

    def promote(self, process: EnvoyProcess) -> None:
        """From now on its end is the machine's business, and a former one's is not."""
        self.envoy = process
        self.starts += 1
        self._on_change()

    async def _reap(self, process: EnvoyProcess, kills: int) -> None:
        status = await process.wait()
        self._children.remove(process)
        if process is not self.envoy:
            log.info("envoy not in charge ended", pid=process.pid, why=exit_phrase(status))
            return
        self._report(process, status, oom_kills=Cgroup().oom_kills() - kills)
        for other in self._children:
            other.kill()  # what drains or was to follow is nothing alone
        self._on_change()
        self._post(EnvoyExited(status, at=_now()))

    def kill(self) -> None:
        """SIGKILL to every child."""
        for child in self._children:
            child.kill()

    async def close(self) -> None:
        """Leave no child behind, however the agent ends."""
        for child in list(self._children):
            await child.close()

    # ---- the machine ----

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
                self.kill()
            case Exit():
                raise EnvoyFailed("BUG: exit is not obeyed here")
            case _:
                assert_never(command)

    async def _drain(self, *, skip_exit: bool) -> None:
        if self.before_drain is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._left(DRAIN_TIMEOUT)):
                    await self.before_drain()
        log.info("draining envoy", cause=self.cause or "drain asked for")
        try:
            await self._admin.drain(skip_exit=skip_exit, timeout=self._left(DRAIN_TIMEOUT))
        except EnvoyFailed as error:
            log.warning("envoy was not told to drain", why=error.why)

    def _left(self, patience: float) -> float:
        """What hangs must not cost more than was granted."""
        return patience if self._limit is None else max(0.0, min(patience, self._limit - _now()))

    async def _connections(self) -> int | None:
        try:
            count = await self._admin.active_connections()
        except EnvoyFailed as error:
            log.error("open connections are not known", why=error.why)  # noqa: TRY400  one line
            return None
        log.info("waiting for open connections", connections=count)
        return count

    def _report(self, process: EnvoyProcess, status: int, *, oom_kills: int) -> None:
        death = death_of(
            status, was_ready=process.was_live, asked=self.life.stopping, oom_kills=oom_kills
        )
        facts = {"why": death.why, "hint": death.hint} if death.hint else {"why": death.why}
        (log.info if death.normal else log.error)(death.event, **facts)

    def metrics(self) -> str:
        """Prometheus text."""
        return (
            "# HELP pilothouse_envoy_starts_total Envoy processes that were put in charge.\n"
            "# TYPE pilothouse_envoy_starts_total counter\n"
            f"pilothouse_envoy_starts_total {self.starts}\n"
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
