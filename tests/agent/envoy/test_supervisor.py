# SPDX-License-Identifier: Apache-2.0
"""The shell around the machine. A shell script stands in for Envoy, a fake for its admin port."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.envoy.admin import EnvoyAdmin
from agent.envoy.options import AdminOptions, ProcessOptions
from agent.envoy.process import EnvoyProcess
from agent.envoy.supervisor import Supervisor
from agent.lifecycle import Lifecycle, State
from agent.shutdown import LifecycleOptions
from mesh.errors import EnvoyFailed, ExitCode

WAIT = 30.0
FOREVER = "exec sleep 1000"


class FakeAdmin(EnvoyAdmin):
    """Remembers what it was asked; ``count`` is what it says of connections."""

    def __init__(self) -> None:
        super().__init__(AdminOptions(port=1))
        self.asked: list[str] = []
        self.counts: list[int | None] = []
        self.on_drain: Callable[[], object] = lambda: None
        self.hangs = False

    async def drain(self, *, skip_exit: bool = False, timeout: float = 60.0) -> None:
        self.asked.append("drain and stay" if skip_exit else "drain")
        if self.hangs:
            await asyncio.sleep(timeout)
            raise EnvoyFailed("no answer in time")
        self.on_drain()

    async def active_connections(self) -> int:
        self.asked.append("count")
        count = self.counts.pop(0)
        if count is None:
            raise EnvoyFailed("not answering")
        return count


class Rig:
    """A supervisor of scripts, one for each start."""

    def __init__(self, scripts: list[str], **options: Any) -> None:
        self.admin = FakeAdmin()
        self.launched: list[EnvoyProcess] = []
        self.changes = 0
        self._scripts = scripts
        self.life = Lifecycle(LifecycleOptions(**options))
        self.supervisor = Supervisor(self.life, self.launch, self.admin, on_change=self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def launch(self) -> EnvoyProcess:
        script = self._scripts[min(len(self.launched), len(self._scripts) - 1)]
        process = child(script)
        self.launched.append(process)
        return process

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT):
            while not condition():
                await asyncio.sleep(0.005)


def child(script: str = FOREVER) -> EnvoyProcess:
    return EnvoyProcess(ProcessOptions(environment={"PATH": os.defpath}), ["/bin/sh", "-c", script])


@asynccontextmanager
async def supervised(*scripts: str, **options: Any) -> AsyncIterator[Rig]:
    rig = Rig([*scripts] or [FOREVER], **options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.supervisor.run_envoy())
        try:
            yield rig
        finally:
            task.cancel()
            await rig.supervisor.close()


async def code_of(rig: Rig) -> ExitCode:
    return await asyncio.wait_for(rig.supervisor.run(), WAIT)


async def test_an_envoy_that_ends_ends_the_life(capfd: pytest.CaptureFixture[str]) -> None:
    async with supervised("exit 3") as rig:
        assert await code_of(rig) == ExitCode.OK
    assert "envoy exited with error\twhy=exit status 3" in capfd.readouterr().out
    assert rig.supervisor.pid == 0


async def test_stop_drains_and_kills(capfd: pytest.CaptureFixture[str]) -> None:
    async with supervised(termination_drain=0.2) as rig:
        rig.admin.on_drain = lambda: asked_while.append(rig.supervisor.pid)
        asked_while: list[int] = []
        await rig.until(lambda: rig.supervisor.pid)
        pid = rig.supervisor.pid
        rig.supervisor.stop("received signal: terminated")
        assert await code_of(rig) == ExitCode.OK
    assert rig.admin.asked == ["drain"]
    assert asked_while == [pid], "drained while it lived"
    out = capfd.readouterr().out
    order = ["draining envoy", "killing envoy", "envoy ended"]
    assert sorted(order, key=out.index) == order


async def test_quit_does_not_drain() -> None:
    async with supervised() as rig, asyncio.TaskGroup() as group:
        code = group.create_task(code_of(rig))
        await rig.until(lambda: rig.life.state is State.RUNNING)
        rig.supervisor.quit()
        assert await code == ExitCode.OK
    assert rig.admin.asked == []


async def test_drain_returns_when_it_was_asked_for() -> None:
    async with supervised() as rig, asyncio.TaskGroup() as group:
        code = group.create_task(code_of(rig))
        await rig.until(lambda: rig.life.state is State.RUNNING)
        await asyncio.wait_for(rig.supervisor.drain(), WAIT)
        assert rig.admin.asked == ["drain and stay"]
        assert rig.supervisor.pid
        rig.supervisor.stop("later")
        assert await code == ExitCode.OK
    assert rig.admin.asked == ["drain and stay"]


async def test_connections_are_counted_until_none_is_left() -> None:
    async with supervised(exit_on_zero_connections=True, minimum_drain=0.0) as rig:
        rig.admin.counts = [2, None, 0]
        await rig.until(lambda: rig.supervisor.pid)
        rig.supervisor.stop("signal")
        assert await code_of(rig) == ExitCode.OK
    assert rig.admin.asked == ["drain", "count", "count", "count"]


async def test_an_admin_port_that_hangs_does_not_cost_more_than_was_granted() -> None:
    async with supervised(deadline=1.0, termination_drain=0.5) as rig:
        rig.admin.hangs = True
        await rig.until(lambda: rig.supervisor.pid)
        begin = asyncio.get_running_loop().time()
        rig.supervisor.stop("signal")
        assert await code_of(rig) == ExitCode.OK
        took = asyncio.get_running_loop().time() - begin
    assert took < 30, "the admin client's own patience is a minute"


async def test_restarts_with_backoff_and_news_of_each(capfd: pytest.CaptureFixture[str]) -> None:
    async with supervised("exit 1", "exit 2", restarts=1, restart_backoff=0.05) as rig:
        assert await code_of(rig) == ExitCode.FAILED
    assert len(rig.launched) == rig.supervisor.starts == 2
    assert rig.changes == 4, "each start and each end"
    assert "starting envoy again" in capfd.readouterr().out
    assert "pilothouse_envoy_starts_total 2\n" in rig.supervisor.metrics()


async def test_a_binary_that_cannot_run_is_an_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rig = Rig([])
    missing = EnvoyProcess(ProcessOptions(), [str(tmp_path / "envoy")])
    rig.supervisor = Supervisor(rig.life, lambda: missing, rig.admin)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.supervisor.run_envoy())
        assert await code_of(rig) == ExitCode.OK
        task.cancel()
    assert "no such file" in capfd.readouterr().out


# ---- several at once ----


async def test_a_former_one_may_end_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    async with supervised() as rig, asyncio.TaskGroup() as group:
        code = group.create_task(code_of(rig))
        await rig.until(lambda: rig.life.state is State.RUNNING)
        former, successor = rig.launched[0], child()
        await rig.supervisor.enlist(successor)
        assert {rig.supervisor.seat(each.pid) for each in (former, successor)} == {
            former.pid,
            successor.pid,
        }
        assert rig.supervisor.seat(1) == rig.supervisor.seat(None) == former.pid
        rig.supervisor.promote(successor)
        os.kill(former.pid, signal.SIGTERM)
        await rig.until(lambda: not former.alive)
        assert rig.life.state is State.RUNNING
        successor.kill()
        assert await code == ExitCode.OK
    assert "envoy not in charge ended" in capfd.readouterr().out


async def test_a_successor_that_dies_changes_nothing() -> None:
    async with supervised() as rig, asyncio.TaskGroup() as group:
        code = group.create_task(code_of(rig))
        await rig.until(lambda: rig.life.state is State.RUNNING)
        successor = child("exit 1")
        await rig.supervisor.enlist(successor)
        await rig.until(lambda: not successor.alive)
        assert rig.supervisor.pid == rig.launched[0].pid
        rig.supervisor.quit()
        assert await code == ExitCode.OK


async def test_nobody_outlives_the_one_in_charge() -> None:
    async with supervised() as rig, asyncio.TaskGroup() as group:
        code = group.create_task(code_of(rig))
        await rig.until(lambda: rig.life.state is State.RUNNING)
        successor = child()
        await rig.supervisor.enlist(successor)
        rig.launched[0].kill()
        assert await code == ExitCode.OK
        await rig.until(lambda: not successor.alive)


async def test_nothing_can_follow_what_has_not_begun() -> None:
    rig = Rig([FOREVER])
    with pytest.raises(EnvoyFailed, match="nothing runs yet"):
        await rig.supervisor.enlist(child())
