# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

import pytest

from mesh.errors import UpstreamUnavailable
from mesh.tasks import PartReturned, run_parts


async def forever(log: list[str], name: str) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        log.append(name)


async def fails() -> None:
    await asyncio.sleep(0)
    raise UpstreamUnavailable("127.0.0.1:1", "refused")


async def returns() -> None:
    await asyncio.sleep(0)


async def test_stop_ends_all_parts_in_good_order() -> None:
    log: list[str] = []
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    await run_parts({"a": forever(log, "a"), "b": forever(log, "b")}, stop=stop)
    assert sorted(log) == ["a", "b"]


async def test_an_error_ends_the_others_and_comes_out_unwrapped() -> None:
    log: list[str] = []
    with pytest.raises(UpstreamUnavailable):
        await run_parts({"a": forever(log, "a"), "bad": fails()}, stop=asyncio.Event())
    assert log == ["a"]


async def test_a_part_that_returns_is_a_fault() -> None:
    with pytest.raises(PartReturned, match="'short'"):
        await run_parts({"short": returns(), "a": forever([], "a")}, stop=asyncio.Event())


async def test_cancellation_passes_through() -> None:
    log: list[str] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_parts({"a": forever(log, "a")}, stop=asyncio.Event())
    assert log == ["a"]
