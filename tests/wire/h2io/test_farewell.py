# SPDX-License-Identifier: Apache-2.0
"""Last words arrive: a peer that is told off can read why, and nobody makes us wait for long."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.support.grpc_running import serving
from tests.support.h2frames import EMPTY_SETTINGS, frame, take_frames
from tests.support.testca import CA
from wire.h2 import frames
from wire.h2.frames import ErrorCode
from wire.h2io import link, server
from wire.h2io.farewell import Farewell
from wire.h2io.tls import client_context, server_context

DEADLINE = 20.0
GREETING = frames.PREFACE + EMPTY_SETTINGS


def goaway_of(raw: bytes) -> tuple[ErrorCode, str]:
    [told] = [each for each in take_frames(bytearray(raw)) if each.kind == frames.GOAWAY]
    _, code, why = frames.unpack_goaway(told.payload)
    return code, why.decode()


async def test_a_peer_that_still_sends_reads_why_it_is_told_off() -> None:
    async with serving({}) as running:
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        writer.write(GREETING + frame(frames.PING, 0, bytes(7)) + bytes(2_000_000))
        raw = await asyncio.wait_for(reader.read(), DEADLINE)  # a reset would raise here
        assert goaway_of(raw)[0] is ErrorCode.FRAME_SIZE_ERROR
        writer.close()


async def test_a_server_that_stops_says_so_to_everybody() -> None:
    async with serving({}) as running:
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        writer.write(GREETING)
        greeted = await asyncio.wait_for(reader.readexactly(9), DEADLINE)
        running.task.cancel()
        raw = greeted + await asyncio.wait_for(reader.read(), DEADLINE)
        assert goaway_of(raw) == (ErrorCode.NO_ERROR, "")
        writer.close()


async def test_who_does_not_close_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "LINGER", 0.05)
    async with serving({}) as running:
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.wait_for(reader.read(), DEADLINE)
        async with asyncio.timeout(DEADLINE):
            while running.server.links:
                await asyncio.sleep(0.01)
        writer.close()


async def test_a_stopping_server_waits_for_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LINGER", 0.05)
    with closing(socket.socket()) as silent:
        async with serving({}) as running:
            host, port = running.target.split(":")
            silent.connect((host, int(port)))
            async with asyncio.timeout(DEADLINE):
                while not running.server.links:
                    await asyncio.sleep(0.01)
            running.task.cancel()
            await asyncio.wait([running.task], timeout=DEADLINE)
            assert running.task.done()
            assert not running.server.links


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with closing(ours), closing(theirs):
        yield ours, theirs


async def test_more_than_was_under_way_is_not_waited_for() -> None:
    done = asyncio.Event()
    with pair() as (ours, theirs):
        Farewell(ours, memoryview(bytearray(1000)), most=3000, done=done.set).end()
        theirs.sendall(bytes(3000))
        await asyncio.sleep(0.05)
        assert not done.is_set()
        theirs.sendall(b"x")
        await asyncio.wait_for(done.wait(), DEADLINE)
        asyncio.get_running_loop().remove_reader(ours)


async def test_a_peer_that_is_gone_is_not_waited_for() -> None:
    done = asyncio.Event()
    with pair() as (ours, theirs):
        theirs.close()
        Farewell(ours, memoryview(bytearray(1000)), most=3000, done=done.set).end()
        await asyncio.wait_for(done.wait(), DEADLINE)
        asyncio.get_running_loop().remove_reader(ours)


async def test_over_tls_the_end_is_said_and_no_cut() -> None:
    ca = CA()
    leaf = ca.issue("localhost")
    context = server_context(chain=leaf.chain, key=leaf.key)

    def read_all(target: tuple[str, int]) -> bytes:
        trusting = client_context(roots=ca.certificate)
        with (
            socket.create_connection(target, timeout=DEADLINE) as raw,
            trusting.wrap_socket(
                raw, server_hostname="localhost", suppress_ragged_eofs=False
            ) as sock,
        ):
            sock.sendall(GREETING + frame(frames.PING, 0, bytes(7)) + bytes(100_000))
            read = bytearray()
            while piece := sock.recv(4096):  # a cut without an alert would raise
                read += piece
            return bytes(read)

    async with serving({}, tls=context) as running:
        host, port = running.target.split(":")
        raw = await asyncio.to_thread(read_all, (host, int(port)))
    assert goaway_of(raw)[0] is ErrorCode.FRAME_SIZE_ERROR


async def test_a_full_socket_takes_the_alert_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's buffer may be full to the byte when the alert is due."""
    told: list[str] = []

    def unwrap(_: ssl.SSLSocket) -> None:
        told.append("asked")
        if len(told) == 1:
            raise ssl.SSLWantWriteError

    monkeypatch.setattr(ssl.SSLSocket, "unwrap", unwrap)
    with pair() as (ours, theirs):
        wrapped = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(
            ours, server_side=True, do_handshake_on_connect=False
        )
        with closing(wrapped):
            done = asyncio.Event()
            Farewell(wrapped, memoryview(bytearray(100)), most=100, done=done.set).end()
            theirs.close()
            await asyncio.wait_for(done.wait(), DEADLINE)
            asyncio.get_running_loop().remove_reader(wrapped)
    assert told == ["asked", "asked"]
