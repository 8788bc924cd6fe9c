# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import pstats
from pathlib import Path

import pytest

from agent.httpd import Reply, Request
from agent.status.profiling import PREFIX, Profiling


async def asked(profiling: Profiling, name: str, query: str = "") -> Reply | None:
    return await profiling.answer(Request("GET", PREFIX + name, query, (), "127.0.0.1"))


async def test_a_profile_can_be_read(tmp_path: Path) -> None:
    def visible() -> int:
        return sum(range(1000))

    profiling = Profiling()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(asked(profiling, "profile", "seconds=0.2"))
        while not asking.done():
            visible()
            await asyncio.sleep(0)
    reply = asking.result()
    assert reply is not None
    assert isinstance(reply.body, bytes)
    (tmp_path / "profile").write_bytes(reply.body)
    found = pstats.Stats(str(tmp_path / "profile")).get_stats_profile().func_profiles
    assert "visible" in found


async def test_one_at_a_time() -> None:
    profiling = Profiling()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(asked(profiling, "profile", "seconds=0.1"))
        await asyncio.sleep(0)
        second = await asked(profiling, "profile", "seconds=0.1")
        assert second is not None
        assert second.status == 500
    reply = first.result()
    assert reply is not None
    assert reply.status == 200


async def test_a_cancelled_profile_leaves_none_running() -> None:
    profiling = Profiling()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asked(profiling, "profile", "seconds=60")
    reply = await asked(profiling, "profile", "seconds=0.01")
    assert reply is not None
    assert reply.status == 200


@pytest.mark.parametrize("seconds", ["0", "-1", "1e9", "nan", "inf"])
async def test_how_long(seconds: str) -> None:
    reply = await asked(Profiling(), "profile", f"seconds={seconds}")
    assert reply is not None
    assert reply.status == 400


async def test_the_rest() -> None:
    stacks = await asked(Profiling(), "goroutine")
    line = await asked(Profiling(), "cmdline")
    assert stacks is not None
    assert line is not None
    assert isinstance(stacks.body, bytes)
    assert b"test_profiling.py" in stacks.body
    assert isinstance(line.body, bytes)
    assert b"\0" in line.body
    assert await asked(Profiling(), "trace") is None
