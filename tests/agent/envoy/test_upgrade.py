# SPDX-License-Identifier: Apache-2.0
"""What an upgrade refuses before it begins. With a real Envoy and traffic: ``test_zero_loss``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.envoy.admin import EnvoyAdmin
from agent.envoy.binary import CannotRun
from agent.envoy.command import EnvoyArguments
from agent.envoy.gate import Gatekeeper
from agent.envoy.launcher import Launcher
from agent.envoy.options import AdminOptions, HotRestartOptions, ProcessOptions
from agent.envoy.process import EnvoyProcess
from agent.envoy.supervisor import Supervisor
from agent.envoy.upgrade import NotUpgraded, Upgrader, hot_restart_version
from agent.lifecycle import Lifecycle
from agent.shutdown import LifecycleOptions
from mesh.errors import EnvoyFailed

WAIT = 30.0


def program(path: Path, lines: str) -> str:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


async def test_a_version_is_one_word(tmp_path: Path) -> None:
    assert await hot_restart_version(program(tmp_path / "a", "echo 11.104 >&2")) == "11.104"
    for lines in ("exit 0", "echo 11.104; exit 3", "echo usage: none of your business"):
        with pytest.raises(NotUpgraded, match="does not say"):
            await hot_restart_version(program(tmp_path / "b", lines))
    with pytest.raises(CannotRun, match="no such file"):
        await hot_restart_version(str(tmp_path / "c"))


@asynccontextmanager
async def upgrading(
    tmp: Path, *, enabled: bool = True
) -> AsyncIterator[tuple[Upgrader, Supervisor]]:
    """An Envoy that only knows its version and how to sleep."""
    present = program(tmp / "present", '[ "$1" ] && echo 11.104 && exit; exec sleep 1000')
    options = HotRestartOptions(
        enabled=enabled, socket=str(tmp / "HOT"), admin_socket=str(tmp / "R")
    )
    launcher = Launcher(EnvoyArguments(binary=present), ProcessOptions(), options)
    environment = ProcessOptions(environment={"PATH": os.defpath})
    supervisor = Supervisor(
        Lifecycle(LifecycleOptions()),
        lambda: EnvoyProcess(environment, [present]),
        EnvoyAdmin(AdminOptions(port=1)),
    )
    upgrader = Upgrader(
        launcher, supervisor, EnvoyAdmin(AdminOptions(port=1)), Gatekeeper(), patience=0.5
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(supervisor.run_envoy()), group.create_task(upgrader.run())]
        async with asyncio.timeout(WAIT):
            while not supervisor.pid:
                await asyncio.sleep(0.01)
        try:
            yield upgrader, supervisor
        finally:
            for task in tasks:
                task.cancel()
            await supervisor.close()


async def refused(upgrader: Upgrader, binary: str) -> EnvoyFailed:
    with pytest.raises(EnvoyFailed) as caught:
        await asyncio.wait_for(upgrader.upgrade(binary), WAIT)
    return caught.value


async def test_off_unless_asked_for(tmp_path: Path) -> None:
    async with upgrading(tmp_path, enabled=False) as (upgrader, _):
        fault = await refused(upgrader, "/new")
    assert "hot restart is off" in fault.why
    assert "PILOT_HOT_RESTART=true" in fault.hint


async def test_both_versions_are_named(tmp_path: Path) -> None:
    async with upgrading(tmp_path) as (upgrader, supervisor):
        before = supervisor.pid
        fault = await refused(upgrader, program(tmp_path / "new", "echo 12.96"))
        assert supervisor.pid == before
    assert "has 11.104, the new one 12.96" in fault.why


async def test_one_at_a_time(tmp_path: Path) -> None:
    async with upgrading(tmp_path) as (upgrader, _), asyncio.TaskGroup() as group:
        slow = program(
            tmp_path / "slow",
            '[ "$1" = --hot-restart-version ] && echo 11.104 && exit; exec sleep 1000',
        )
        first = group.create_task(refused(upgrader, slow))
        await asyncio.sleep(0)
        assert "under way" in (await refused(upgrader, slow)).why
        assert "not fit after" in (await first).why
        assert "not fit after" in (await refused(upgrader, slow)).why, "free again"


async def test_a_rehearsal_ends_with_the_agent(tmp_path: Path) -> None:
    async with upgrading(tmp_path) as (upgrader, supervisor):
        supervisor.stop("signal")
        fault = await refused(upgrader, str(tmp_path / "present"))
    assert "the agent ends" in fault.why


async def test_nothing_half_done_is_nothing_to_wait_for(tmp_path: Path) -> None:
    async with upgrading(tmp_path) as (upgrader, _):
        await asyncio.wait_for(upgrader.settle(), WAIT)
