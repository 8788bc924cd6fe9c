# SPDX-License-Identifier: Apache-2.0
"""What an end and an upgrade promise to keep, under steady traffic in both directions, with the real Envoy.

The promise: whatever was begun or is begun before the plan's kill succeeds, if it is over by then; an upgrade loses
nothing but streams that outlive the parent's shutdown time. Figures are printed.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.envoy import find_envoy
from tests.support.load import Load, upstream
from tests.support.sidecar import Sidecar, sidecar

pytestmark = pytest.mark.envoy

DRAIN = 8.0
MARGIN = 4.0


@asynccontextmanager
async def running(directory: Path, config: str = "", **variables: str) -> AsyncIterator[Sidecar]:
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(upstream())
        remote = await stack.enter_async_context(upstream())
        made = await stack.enter_async_context(sidecar(directory, {"app": app, "remote": remote}))
        made.start(config, **variables)
        await made.ready()
        yield made


@asynccontextmanager
async def loaded(pod: Sidecar) -> AsyncIterator[None]:
    """Traffic during the block; afterwards it has all ended, and nothing of it failed."""
    loads = [Load("inbound", pod.inbound), Load("outbound", pod.outbound)]
    async with asyncio.TaskGroup() as group:
        for load in loads:
            group.create_task(load.run())
        async with asyncio.timeout(60):
            while not all(len(load.done) == 3 for load in loads):
                await asyncio.sleep(0.02)
        yield
        for load in loads:
            load.stop.set()
    for load in loads:
        print(load.figures())
        assert load.failed == []
        assert min(load.done.values()) > 10


@pytest.mark.long
async def test_a_signal_drains_without_loss(short_tmp: Path) -> None:
    async with running(short_tmp / "pod", f"terminationDrainDuration: {DRAIN:g}s") as pod:
        async with loaded(pod):
            assert pod.agent is not None
            pod.agent.terminate()
            await asyncio.sleep(DRAIN - MARGIN)  # the plan's time passes
        assert await pod.ended() == 0
        assert "draining envoy" in pod.log


@pytest.mark.long
async def test_connections_are_waited_for_without_a_bound(short_tmp: Path) -> None:
    async with running(
        short_tmp / "pod",
        EXIT_ON_ZERO_ACTIVE_CONNECTIONS="true",
        MINIMUM_DRAIN_DURATION="1s",
    ) as pod:
        async with loaded(pod):
            assert pod.agent is not None
            pod.agent.terminate()
            await asyncio.sleep(8)  # longer than any phase but the last
        assert await pod.ended() == 0


@pytest.mark.long
async def test_drain_and_then_a_signal(short_tmp: Path) -> None:
    async with running(short_tmp / "pod") as pod:
        async with loaded(pod):
            assert (await pod.ask("/drain", method="POST"))[0] == 200
            await asyncio.sleep(4)  # a native sidecar lives on while the application ends
        assert pod.agent is not None
        pod.agent.terminate()
        assert await pod.ended() == 0


HOT = {"PILOT_HOT_RESTART": "true", "PILOT_HOT_RESTART_PARENT_SHUTDOWN": "5s"}
SHORT_DRAIN = "drainDuration: 2s"


async def gone(pod: Sidecar, envoys: list[int]) -> None:
    async def are_gone() -> bool:
        return not set(envoys) & set(pod.envoys())

    await pod.until(are_gone)


async def epoch(pod: Sidecar) -> int:
    import json

    status, text = await pod.ask("/server_info", port=pod.admin)
    return int(json.loads(text)["command_line_options"].get("restart_epoch", 0)) if status else -1


@pytest.mark.long
async def test_upgrades_without_loss(short_tmp: Path) -> None:
    new = short_tmp / "envoy-new"
    new.symlink_to(find_envoy())
    async with running(short_tmp / "pod", SHORT_DRAIN, **HOT) as pod:
        for number in (1, 2):
            before = pod.envoys()
            # the stream lives shorter than the parent's shutdown time, which is the promise
            async with loaded(pod):
                done = await pod.command("upgrade", "--envoy", str(new))
                assert done.returncode == 0, f"{done.stderr}\n{pod.log}"
                assert done.stdout.startswith(f"epoch {number} serves: {new}")
                await asyncio.sleep(1)
            async with loaded(pod):  # across the former one's end
                await gone(pod, before)
            assert await epoch(pod) == number
            assert (await pod.ask("/healthz/ready"))[0] == 200
        assert pod.agent is not None
        pod.agent.terminate()
        assert await pod.ended() == 0


def program(path: Path, lines: str) -> str:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(path)


async def test_what_cannot_follow_changes_nothing(short_tmp: Path) -> None:
    other = program(short_tmp / "other", "echo 12.96")
    dies = program(
        short_tmp / "dies",
        f'[ "$1" = --hot-restart-version ] && exec {find_envoy()} "$@"; exit 3',
    )
    async with running(short_tmp / "pod", SHORT_DRAIN, **HOT) as pod:
        before = pod.envoys()
        async with loaded(pod):
            for binary, why in (
                (other, "the new one 12.96"),
                (dies, "ended before it was fit"),
                (str(short_tmp / "nowhere"), "no such file"),
            ):
                done = await pod.command("upgrade", "--envoy", binary)
                assert done.returncode == 255
                assert why in done.stderr, done.stderr
        assert pod.envoys() == before
        assert await epoch(pod) == 0, "its admin port was never taken"
        pod_log = pod.log
    assert "envoy not upgraded" in pod_log


@pytest.mark.long
async def test_an_epoch_that_fails_after_its_rehearsal(short_tmp: Path) -> None:
    """It takes the admin port from its parent and never comes to its gate."""
    lost = program(
        short_tmp / "lost",
        'case "$*" in *--restart-epoch*)\n'
        '  for word; do shift; set -- "$@" "$(printf %s "$word" | sed s/pilothouse-gate-/astray-/g)"; done;;\n'
        f'esac\nexec {find_envoy()} "$@"',
    )
    async with running(
        short_tmp / "pod", "drainDuration: 20s", **HOT, PILOT_UPGRADE_TIMEOUT="6s"
    ) as pod:
        async with loaded(pod):
            done = await pod.command("upgrade", "--envoy", lost)
        assert done.returncode == 255
        assert "it waits for" in done.stderr
        assert "the former program serves as the next epoch" in done.stderr + pod.log
        assert await epoch(pod) == 1
        assert os.path.realpath(f"/proc/{max(pod.envoys())}/exe") == os.path.realpath(find_envoy())


async def test_without_the_setting_nothing_can_follow(short_tmp: Path) -> None:
    async with running(short_tmp / "pod") as pod:
        done = await pod.command("upgrade", "--envoy", find_envoy())
        assert done.returncode == 255
        assert "hot restart is off" in done.stderr
