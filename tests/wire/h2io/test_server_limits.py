# SPDX-License-Identifier: Apache-2.0
"""A server short of something, and what it says to who is no gRPC client."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from contextlib import ExitStack
from itertools import pairwise

import hpack
import pytest

from tests.support.grpc_running import serving
from tests.support.h2frames import EMPTY_SETTINGS, encode, frame, last_headers, take_frames
from tests.support.testca import CA
from wire.h2 import frames
from wire.h2.connection import H2Connection, Side
from wire.h2.events import DataReceived, Event, HeadersReceived, StreamEnded
from wire.h2.headers import Headers
from wire.h2io import Limits, ServerCall, connect, server
from wire.h2io.farewell import close_socket
from wire.h2io.tls import client_context, server_context

DEADLINE = 20.0


async def one(call: ServerCall) -> None:
    await call.send(await call.receive() or b"")


async def test_without_descriptors_accepting_pauses_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who waits in the backlog would wake the loop again and again; he is served when there is room again."""
    monkeypatch.setattr(server, "ACCEPT_PAUSE", 0.05)
    tries: list[float] = []
    short = True
    real = socket.socket.accept

    def accept(sock: socket.socket) -> tuple[socket.socket, object]:
        if short:
            tries.append(asyncio.get_running_loop().time())
            raise OSError(errno.EMFILE, "Too many open files")
        return real(sock)

    async with serving({"/s/One": one}) as running:
        monkeypatch.setattr(socket.socket, "accept", accept)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(connect(running.target, timeout=DEADLINE))
            async with asyncio.timeout(DEADLINE):
                while len(tries) < 3:
                    await asyncio.sleep(0.01)
            short = False
        assert all(later - sooner > 0.04 for sooner, later in pairwise(tries))
        connection = waiting.result()
        assert await connection.unary("/s/One", b"x", timeout=DEADLINE) == b"x"
        await connection.close()
    assert "cannot accept connections" in capsys.readouterr().out


async def test_a_server_that_stops_while_it_pauses_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(_: socket.socket) -> tuple[socket.socket, object]:
        raise OSError(errno.ENFILE, "Too many open files in system")

    async with serving({}) as running:
        monkeypatch.setattr(socket.socket, "accept", accept)
        _, writer = await asyncio.open_connection(*running.target.split(":"))
        async with asyncio.timeout(DEADLINE):
            while not running.server._pauses:
                await asyncio.sleep(0.01)
        writer.close()
    assert not running.server._pauses


async def test_a_client_that_is_gone_already_is_no_shortage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = [OSError(errno.ECONNABORTED, "gone"), OSError(errno.EPROTO, "gone")]
    real = socket.socket.accept

    def accept(sock: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise failures.pop()
        return real(sock)

    async with serving({"/s/One": one}) as running:
        monkeypatch.setattr(socket.socket, "accept", accept)
        connection = await connect(running.target)
        assert not failures
        await connection.close()


async def test_a_limit_is_logged_once_each_time_that_it_is_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def refused(target: str, times: int) -> None:
        for _ in range(times):
            reader, writer = await asyncio.open_connection(*target.split(":"))
            assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
            writer.close()

    async with serving({"/s/One": one}, limits=Limits(max_connections=1)) as running:
        first = await connect(running.target)
        await refused(running.target, 5)
        assert capsys.readouterr().out.count("connection limit reached") == 1
        await first.close()
        again = await connect(running.target)
        await refused(running.target, 5)
        assert capsys.readouterr().out.count("connection limit reached") == 1
        await again.close()


async def ask(target: str, method: str) -> tuple[Headers, bytes]:
    """What a plain HTTP/2 client hears: headers and body."""
    reader, writer = await asyncio.open_connection(*target.split(":"))
    client = H2Connection(Side.CLIENT, Limits())
    client.start()
    client.end_stream(
        client.open_stream([(":method", method), (":scheme", "http"), (":path", "/s/One")])
    )
    writer.write(b"".join(client.out))
    events: list[Event] = []
    body = b""
    async with asyncio.timeout(DEADLINE):
        while not any(isinstance(each, StreamEnded) for each in events):
            for event in client.receive(memoryview(await reader.read(4096)), 0.0):
                events.append(event)
                if isinstance(event, DataReceived):
                    body += event.data
    writer.close()
    [head] = [each for each in events if isinstance(each, HeadersReceived)]
    return head.headers, body


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
async def test_another_method_is_told_which_is_allowed(method: str) -> None:
    async with serving({"/s/One": one}) as running:
        headers, body = await ask(running.target, method)
    assert dict(headers)[":status"] == "405"
    assert dict(headers)["allow"] == "POST"
    assert body == b"invalid gRPC request method\n"
    assert dict(headers)["content-length"] == str(len(body))


async def test_head_gets_headers_alone() -> None:
    """With the length of the body that is not sent (RFC 9113 section 8.1.1)."""
    asked: Headers = [(":method", "HEAD"), (":scheme", "http"), (":path", "/s/One")]
    async with serving({"/s/One": one}) as running:
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        writer.write(frames.PREFACE + EMPTY_SETTINGS + last_headers(1, asked))
        writer.write(frames.ping_frame(b"all said"))
        raw = bytearray()
        async with asyncio.timeout(DEADLINE):
            while frames.ping_frame(b"all said", ack=True) not in raw:
                raw += await reader.read(4096)
        writer.close()
    [answer] = [each for each in take_frames(raw) if each.stream == 1]
    assert (answer.kind, answer.flags & 1) == (frames.HEADERS, frames.END_STREAM)
    told = dict(hpack.Decoder().decode(answer.payload, raw=True))
    assert (told[b":status"], told[b"allow"], told[b"content-length"]) == (b"405", b"POST", b"28")


@pytest.mark.parametrize("kind", ["application/grpc-web", "application/grpcx", "text/html", ""])
async def test_another_content_type_is_refused(kind: str) -> None:
    async with serving({"/s/One": one}) as running:
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        asked: Headers = [(":method", "POST"), (":scheme", "http"), (":path", "/s/One")]
        asked += [("content-type", kind)]
        writer.write(frames.PREFACE + EMPTY_SETTINGS + last_headers(1, asked))
        raw = bytearray()
        async with asyncio.timeout(DEADLINE):
            while b"invalid gRPC request content-type\n" not in raw:
                raw += await reader.read(4096)
        [head] = [each for each in take_frames(raw) if each.kind == frames.HEADERS]
        assert head.payload.startswith(encode([(":status", "415")])[:2])
        writer.close()


async def test_a_message_with_the_flag_of_compression_is_an_error_of_the_client() -> None:
    """Its encoding was not told (gRPC's compression page): the status says so, the connection lives."""
    asked: Headers = [(":method", "POST"), (":scheme", "http"), (":path", "/s/One")]
    asked += [("content-type", "application/grpc")]
    async with serving({"/s/One": one}) as running:
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        client = H2Connection(Side.CLIENT, Limits())
        client.start()
        stream = client.open_stream(asked)
        client.send_data(stream, (b"\1\0\0\0\1x",), 6)
        writer.write(b"".join(client.out))
        told: Headers = []
        async with asyncio.timeout(DEADLINE):
            while not told:
                for event in client.receive(memoryview(await reader.read(4096)), 0.0):
                    if isinstance(event, HeadersReceived):
                        told = event.headers
        assert dict(told)["grpc-status"] == "13"
        assert "identity" in dict(told)["grpc-message"]
        writer.close()


async def test_data_by_the_default_window_is_taken_until_our_settings_are_known() -> None:
    """A client may not know yet that our window is smaller (RFC 9113 section 6.9.2)."""
    asked: Headers = [(":method", "POST"), (":scheme", "http"), (":path", "/s/One")]
    asked += [("content-type", "application/grpc")]
    early = frames.PREFACE + EMPTY_SETTINGS + frame(frames.HEADERS, 1, encode(asked), 4)
    message = b"\0" + (60_000).to_bytes(4, "big") + bytes(60_000)
    body = b"".join(frame(0, 1, message[at : at + 16_384]) for at in range(0, 60_005, 16_384))
    limits = Limits(stream_window=1000)
    async with serving({"/s/One": one}, limits=limits) as running:
        for known, code in (
            (b"", None),
            (frames.SETTINGS_ACK, frames.ErrorCode.FLOW_CONTROL_ERROR),
        ):
            reader, writer = await asyncio.open_connection(*running.target.split(":"))
            writer.write(early + known + body + frames.ping_frame(b"all said"))
            raw = bytearray()
            async with asyncio.timeout(DEADLINE):
                while frames.ping_frame(b"all said", ack=True) not in raw:
                    raw += await reader.read(65_536)
            resets = [each.payload for each in take_frames(raw) if each.kind == frames.RST_STREAM]
            assert resets == ([] if code is None else [code.to_bytes(4, "big")])
            writer.close()


async def test_a_connection_that_is_cut_over_tls_still_says_so() -> None:
    """Where there is no time for a farewell, the alert is sent all the same."""
    ca = CA()
    leaf = ca.issue("localhost")
    context = server_context(chain=leaf.chain, key=leaf.key)
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(each) for each in socket.socketpair())

        def serve() -> None:
            wrapped = context.wrap_socket(ours, server_side=True)
            wrapped.setblocking(False)
            close_socket(wrapped)

        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(serve))
            client = client_context(roots=ca.certificate).wrap_socket(
                theirs,
                server_hostname="localhost",
                suppress_ragged_eofs=False,
                do_handshake_on_connect=False,
            )
            await asyncio.to_thread(client.do_handshake)
        assert isinstance(client, ssl.SSLSocket)
        assert await asyncio.to_thread(client.recv, 100) == b""  # a cut would raise
        client.close()
