# SPDX-License-Identifier: Apache-2.0
"""A link's reading and writing: nothing is copied that is passed on, nothing gets out of order, nobody is drowned."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.support.grpc_running import serving
from tests.support.testca import CA
from wire.h2io import Call, ClientCall, Keepalive, Limits, RpcError, ServerCall, Status, connect
from wire.h2io.link import MAX_VECTORS
from wire.h2io.reactor import BUFFER_SIZE, reactor
from wire.h2io.tls import client_context, server_context

DEADLINE = 20.0


class Splice:
    """Passes one call's messages on to another, as the relay does."""

    def __init__(self, source: Call, target: Call) -> None:
        self.views = 0
        self.over = asyncio.Event()
        self._source = source
        self._target = target

    def on_data(self, pieces: Sequence[memoryview], offset: int, length: int) -> None:
        buffer = reactor().buffer.obj
        self.views += sum(len(piece) for piece in pieces if piece.obj is buffer)
        if offset == 0:
            self._target.begin(length)
        if not self._target.write(pieces):
            self._source.pause()

    def on_end(self, status: Status | None) -> None:
        self.over.set()

    def on_writable(self) -> None:
        self._source.resume()


class Counted:
    """What ``sendmsg`` was given on one listener's connections: views of the read buffer, or anything else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        self.views = 0
        self.others = 0
        real = socket.socket.sendmsg

        def sendmsg(sock: socket.socket, buffers: Iterable[bytes | memoryview]) -> int:
            given = list(buffers)
            sent = real(sock, given)
            if sock.getsockname() == place:
                assert sent == sum(map(len, given)), "the test wants sockets with room"
                for each in given:
                    if isinstance(each, memoryview) and each.obj is reactor().buffer.obj:
                        self.views += len(each)
                    else:
                        self.others += len(each)
            return sent

        monkeypatch.setattr(socket.socket, "sendmsg", sendmsg)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_what_is_passed_on_is_never_copied(
    secure: bool, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read into the one buffer, looked at there, sent from there: only frame headers and prefixes are ours."""
    messages, size = 20, 100_000
    ca = CA()
    leaf = ca.issue("localhost")
    taken = asyncio.Event()
    splices: list[Splice] = []

    async def source(call: ServerCall) -> None:
        for _ in range(messages):
            taken.clear()
            await call.send(bytes(size))
            await taken.wait()

    async def pass_on(call: ServerCall) -> None:
        upstream = connection.open("/s/Source")
        splices.append(Splice(upstream, call))
        upstream.attach(splices[0])
        await splices[0].over.wait()

    limits = Limits(stream_window=16 * 2**20)
    context = server_context(chain=leaf.chain, key=leaf.key) if secure else None
    place = str(short_tmp / "relay")
    async with (
        serving({"/s/Source": source}, tls=context) as above,
        serving({"/s/Relay": pass_on}, unix=place) as relay,
    ):
        trusting = client_context(roots=ca.certificate) if secure else None
        target = above.target.replace("127.0.0.1", "localhost")
        connection = await connect(target, tls=trusting, limits=limits)
        below = await connect(relay.target, limits=limits)
        counted = Counted(monkeypatch, place)
        call = below.open("/s/Relay")
        for _ in range(messages):
            assert await asyncio.wait_for(call.receive(), DEADLINE) == bytes(size)
            taken.set()
        assert await asyncio.wait_for(call.receive(), DEADLINE) is None
        assert splices[0].views == messages * size
        assert counted.views == messages * size
        # at worst a frame header (9) for each piece, and a piece is a frame's, a record's or a buffer's part
        assert counted.others < messages * (5 + 9 * (size // 8192 + 2)) + 200
        await below.close()
        await connection.close()


async def test_more_buffers_than_a_system_call_takes() -> None:
    count = 3 * MAX_VECTORS

    async def many(call: ServerCall) -> None:
        for number in range(count):
            call.send_nowait(number.to_bytes(4, "big"))

    async with serving({"/s/Many": many}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Many")
        got = [int.from_bytes(message, "big") async for message in call]
        assert got == list(range(count))
        await connection.close()


class Holding:
    """A sink that takes what comes and counts it."""

    def __init__(self, call: ClientCall) -> None:
        self.size = 0
        self.over: asyncio.Future[Status | None] = asyncio.get_running_loop().create_future()
        call.attach(self)

    def on_data(self, pieces: Sequence[memoryview], offset: int, length: int) -> None:
        self.size += sum(map(len, pieces))

    def on_end(self, status: Status | None) -> None:
        self.over.set_result(status)

    def on_writable(self) -> None: ...


async def pour(call: ServerCall) -> None:
    for _ in range(100):
        await call.send(bytes(200_000))


async def test_a_paused_call_leaves_its_bytes_in_the_kernel(short_tmp: Path) -> None:
    """And no keepalive takes the silence that it makes for the peer's."""
    async with serving({"/s/Pour": pour}, unix=str(short_tmp / "s")) as running:
        connection = await connect(running.target, keepalive=Keepalive(interval=0.05, timeout=0.05))
        call = connection.open("/s/Pour")
        sink = Holding(call)
        async with asyncio.timeout(DEADLINE):
            while not sink.size:
                await asyncio.sleep(0.001)
        call.pause()
        held = sink.size
        await asyncio.sleep(0.3)
        assert sink.size == held
        [link] = running.server.links
        assert link.backlog, "the sender was not held up"
        call.resume()
        await asyncio.wait_for(sink.over, DEADLINE)
        assert sink.size == 100 * 200_000
        assert connection.usable
        await connection.close()


async def test_a_paused_call_stops_no_other() -> None:
    async def one(call: ServerCall) -> None:
        await call.send(await call.receive() or b"")

    async with serving({"/s/Pour": pour, "/s/One": one}) as running:
        connection = await connect(running.target)
        paused = connection.open("/s/Pour")
        sink = Holding(paused)
        paused.pause()
        for _ in range(10):
            reply = await asyncio.wait_for(connection.unary("/s/One", b"x"), DEADLINE)
            assert reply == b"x"
        assert sink.size <= connection._link.limits.stream_window + 2 * BUFFER_SIZE
        await connection.close()


class Defective(Holding):
    def on_data(self, pieces: Sequence[memoryview], offset: int, length: int) -> None:
        raise ZeroDivisionError("token=s3cret")


async def test_a_defect_of_ours_leaves_no_stream_with_a_hole() -> None:
    async with serving({"/s/Pour": pour}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Pour")
        sink = Defective(call)
        status = await asyncio.wait_for(sink.over, DEADLINE)
        assert status is not None
        assert "a defect on this side" in status.message
        assert connection.closed
        with pytest.raises(RpcError, match="a defect on this side"):
            connection.open("/s/Pour")
