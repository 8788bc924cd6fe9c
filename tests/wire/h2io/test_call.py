# SPDX-License-Identifier: Apache-2.0
"""A call as its user sees it, either side: messages, sinks, waiting for room, and its one end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.grpc_running import serving
from wire.h2.limits import MIB
from wire.h2io import Call, Code, Limits, RpcError, ServerCall, Status, connect

DEADLINE = 20.0


async def echo(call: ServerCall) -> None:
    async for message in call:
        await call.send(message)


class Record:
    """A sink that keeps all that it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[bytes, int, int]] = []
        self.ends: list[Status | None] = []
        self.over = asyncio.Event()
        self.writable = 0

    def on_data(self, pieces: Sequence[memoryview], offset: int, length: int) -> None:
        self.told.append((b"".join(pieces), offset, length))

    def on_end(self, status: Status | None) -> None:
        self.ends.append(status)
        self.over.set()

    def on_writable(self) -> None:
        self.writable += 1


async def test_two_cannot_receive_from_one_call() -> None:
    async with serving({"/s/Echo": echo}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Echo")
        async with asyncio.TaskGroup() as group:
            first = group.create_task(call.receive())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="two coroutines"):
                await call.receive()
            call.send_nowait(b"x")
        assert first.result() == b"x"
        await connection.close()


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with serving({"/s/Echo": echo}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Echo")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call.receive(), 0.01)
        call.send_nowait(b"x")
        assert await asyncio.wait_for(call.receive(), DEADLINE) == b"x"
        await connection.close()


async def test_a_sink_gets_what_waited_and_what_was_begun() -> None:
    half = asyncio.Event()
    handed: list[Call] = []

    async def take_over(call: ServerCall) -> None:
        handed.append(call)
        await half.wait()
        sink = Record()
        call.attach(sink)
        await sink.over.wait()
        joined = b"".join(piece for piece, _, _ in sink.told)
        offsets = [(offset, length) for _, offset, length in sink.told]
        assert (joined, sink.ends) == (b"one" + b"y" * 300_000, [None])
        assert offsets[:2] == [(0, 3), (0, 300_000)]
        assert all(length == 300_000 for _, length in offsets[1:])
        await call.send(b"fine")

    async with serving({"/s/Take": take_over}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Take")
        call.send_nowait(b"one")
        call.begin(300_000)
        call.write([memoryview(b"y" * 100_000)])
        async with asyncio.timeout(DEADLINE):
            while not handed or handed[0]._inbox.size < 100_000:
                await asyncio.sleep(0.001)
        half.set()
        call.write([memoryview(b"y" * 100_000), memoryview(b"y" * 100_000)])
        call.half_close()
        assert await asyncio.wait_for(call.receive(), DEADLINE) == b"fine"
        [link] = running.server.links
        assert link._held == 0, "what a sink took is held no more"
        await connection.close()


async def test_a_sink_that_comes_late_hears_the_end() -> None:
    async with serving({"/s/Echo": echo}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Echo")
        call.send_nowait(b"x")
        call.half_close()
        async with asyncio.timeout(DEADLINE):
            while call.status is None:
                await asyncio.sleep(0.001)
        late = Record()
        call.attach(late)
        assert late.told == [(b"x", 0, 1)]
        assert late.ends == [Status(Code.OK)]
        refused = connection.open("/s/None")
        with pytest.raises(RpcError):
            await refused.receive()
        too_late = Record()
        refused.attach(too_late)
        assert [end.code for end in too_late.ends if end] == [Code.UNIMPLEMENTED]
        await connection.close()


async def test_send_waits_for_room_and_lets_others_work() -> None:
    """Also where the kernel takes all at once: a handler in a loop must not stop everybody else."""
    limits = Limits(max_backlog=100_000)
    sent = 0

    async def pour(call: ServerCall) -> None:
        nonlocal sent
        while sent < 5_000_000:
            await call.send(bytes(50_000))
            sent += 50_000

    async with serving({"/s/Pour": pour, "/s/Echo": echo}, limits=limits) as running:
        connection = await connect(running.target, limits=Limits(stream_window=200_000))
        call = connection.open("/s/Pour")
        await connection.unary("/s/Echo", b"x", timeout=DEADLINE)
        assert await connection.unary("/s/Echo", b"x", timeout=DEADLINE) == b"x"
        assert sent < 1_000_000
        assert sum([len(message) async for message in call]) == 5_000_000
        await connection.close()


async def fill(call: Call) -> None:
    while True:
        await call.send(bytes(100_000))


async def test_a_waiting_sender_is_woken_by_the_end() -> None:
    async def lazy(call: ServerCall) -> None:
        await asyncio.Event().wait()

    async with serving({"/s/Lazy": lazy}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Lazy", timeout=0.2)
        with pytest.raises(RpcError) as late:
            await fill(call)
        assert late.value.status.code is Code.DEADLINE_EXCEEDED
        with pytest.raises(RpcError, match="DEADLINE_EXCEEDED"):
            call.send_nowait(b"")
        await connection.close()


async def test_write_says_when_to_pause_and_when_to_go_on() -> None:
    limits = Limits(max_backlog=100_000)
    sinks: list[Record] = []

    async def spill(call: ServerCall) -> None:
        sinks.append(Record())
        call.attach(sinks[0])
        call.begin(400_000)
        wanted = [call.write([bytes(100_000)]) for _ in range(4)]
        assert wanted[-1] is False
        await sinks[0].over.wait()

    async with serving({"/s/Spill": spill}, limits=limits) as running:
        connection = await connect(running.target, limits=Limits(stream_window=150_000))
        call = connection.open("/s/Spill")
        assert await asyncio.wait_for(call.receive(), DEADLINE) == bytes(400_000)
        async with asyncio.timeout(DEADLINE):
            while not sinks[0].writable:
                await asyncio.sleep(0.001)
        call.half_close()
        await asyncio.wait_for(call.receive(), DEADLINE)
        await connection.close()


async def test_reset_is_an_end_for_both() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(call: ServerCall) -> None:
        begun.set()
        try:
            await call.receive()
        finally:
            ended.set()

    async with serving({"/s/Wait": wait}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Wait")
        sink = Record()
        call.attach(sink)
        await asyncio.wait_for(begun.wait(), DEADLINE)
        call.reset()
        call.reset()
        await asyncio.wait_for(ended.wait(), DEADLINE)
        assert [end.code for end in sink.ends if end] == [Code.CANCELLED]
        assert call.over
        assert call.failure == sink.ends[0]
        with pytest.raises(RpcError, match="CANCELLED"):
            call.send_nowait(b"x")
        await connection.close()


async def test_an_empty_message_is_a_message() -> None:
    async with serving({"/s/Echo": echo}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Echo")
        sink = Record()
        call.begin(0)
        call.half_close()
        call.attach(sink)
        await asyncio.wait_for(sink.over.wait(), DEADLINE)
        assert sink.told == [(b"", 0, 0)]
        await connection.close()


async def test_what_all_calls_hold_is_bounded_together() -> None:
    """The call that goes beyond it is refused; the connection and its other calls live."""
    limits = Limits(max_message=50_000, stream_window=100_000, connection_window=65_535)
    assert limits.max_held == 4 * 65_535 + 50_000

    async def lazy(call: ServerCall) -> None:
        await asyncio.Event().wait()

    async with serving({"/s/Lazy": lazy, "/s/Echo": echo}, limits=limits) as running:
        connection = await connect(running.target)
        calls = [connection.open("/s/Lazy") for _ in range(8)]
        for call in calls:
            for _ in range(3):
                call.send_nowait(bytes(30_000))
        async with asyncio.timeout(DEADLINE):
            while not any(call.status for call in calls):
                await asyncio.sleep(0.001)
        refused = [call.status for call in calls if call.status is not None]
        assert {status.code for status in refused} == {Code.RESOURCE_EXHAUSTED}
        assert len(refused) < 8
        [link] = running.server.links
        assert sum(one.held for one in link.calls.values()) <= limits.max_held
        assert await connection.unary("/s/Echo", b"x", timeout=DEADLINE) == b"x"
        await connection.close()


async def test_half_a_message_is_not_kept_after_the_end() -> None:
    async def give_up(call: ServerCall) -> None:
        call.begin(MIB)
        call.write([bytes(MIB // 2)])
        await call.receive()
        call.reset()

    async with serving({"/s/Up": give_up}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Up")
        async with asyncio.timeout(DEADLINE):
            while call.held < MIB // 2:
                await asyncio.sleep(0.001)
        call.send_nowait(b"now")
        with pytest.raises(RpcError, match="CANCELLED"):
            await asyncio.wait_for(call.receive(), DEADLINE)
        assert call.held == 0
        await connection.close()
