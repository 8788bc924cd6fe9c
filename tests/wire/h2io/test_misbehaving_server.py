# SPDX-License-Identifier: Apache-2.0
"""Our client against a server that does every wrong of ``misbehaving``, over a socket: what it says, how the call ends."""

from __future__ import annotations

import asyncio
import os
import ssl
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from mesh.errors import UpstreamUnavailable
from tests.support.h2frames import (
    EMPTY_SETTINGS,
    RESPONSE,
    frame,
    headers_frame,
    message_frame,
)
from tests.support.h2scripted import DEADLINE, Conversation, scripted
from tests.support.testca import CA
from tests.wire.misbehaving import ANSWER, BEGINNINGS, CASES, END, HEAD, LIMITS
from wire.h2 import frames
from wire.h2.frames import ErrorCode, Setting
from wire.h2.grpc import message_prefix
from wire.h2.limits import MIB
from wire.h2io import (
    ClientCall,
    Code,
    Connection,
    Keepalive,
    Limits,
    RpcError,
    Status,
    connect,
)
from wire.h2io.tls import client_context, server_context


async def ask(connection: Connection) -> tuple[list[bytes], Status]:
    """The messages and the end of a call with one message."""
    call = connection.open("/s/M", timeout=DEADLINE)
    call.send_nowait(b"hello")
    call.half_close()
    messages: list[bytes] = []
    with suppress(RpcError):
        while (message := await call.receive()) is not None:
            messages.append(message)
    assert call.status is not None
    return messages, call.status


@pytest.mark.parametrize("name", CASES)
async def test_what_the_client_says_and_how_the_call_ends(name: str) -> None:
    case = CASES[name]

    async def script(server: Conversation) -> None:
        await server.hear_request()
        await server.say(case.says)
        if await server.hear_pong() and case.goaway is not None:
            await server.hear_end()

    async with scripted(script) as served:
        connection = await connect(served.target, limits=LIMITS)
        messages, status = await ask(connection)
        server = await served.conversation()
        await connection.close()
    assert server.goaway == ([] if case.goaway is None else [case.goaway]), case.rule
    assert server.resets(1) == ([] if case.reset is None else [case.reset]), case.rule
    assert status.code is case.outcome, status
    assert server.closed_well or case.goaway is None, "the client's GOAWAY is followed by a reset"
    if case.outcome is Code.OK:
        assert messages == [b"fine"]
    elif case.outcome is Code.UNAVAILABLE and case.goaway:
        assert "protocol fault" in status.message or "GOAWAY" in status.message


@pytest.mark.parametrize("name", BEGINNINGS)
async def test_a_bad_beginning(name: str) -> None:
    rule, says, code = BEGINNINGS[name]
    async with scripted(Conversation.hear_end, greeting=says) as served:
        with pytest.raises(UpstreamUnavailable, match="protocol fault"):
            await connect(served.target, limits=LIMITS, timeout=DEADLINE)
        server = await served.conversation()
    assert server.goaway == [code], rule
    assert server.closed_well


@pytest.mark.parametrize("messages", [0, 2])
async def test_a_unary_call_wants_one_message(messages: int) -> None:
    async def script(server: Conversation) -> None:
        await server.hear_request()
        await server.say(HEAD + message_frame(1, b"x") * messages + END)
        await server.hear_end()

    async with scripted(script) as served:
        connection = await connect(served.target)
        with pytest.raises(RpcError, match="exactly one message") as wrong:
            await connection.unary("/s/M", b"")
        assert wrong.value.status.code is Code.INTERNAL
        await connection.close()


async def test_a_server_that_closes_inside_a_message() -> None:
    async def script(server: Conversation) -> None:
        await server.hear_request()
        await server.say(HEAD + message_frame(1, b"fine")[:-2])

    async with scripted(script) as served:
        connection = await connect(served.target)
        messages, status = await ask(connection)
        assert (messages, status.code) == ([], Code.UNAVAILABLE)
        assert "closed by the peer" in status.message
        await asyncio.wait_for(connection.wait_closed(), DEADLINE)


async def test_a_server_that_refuses_all_streams_is_not_asked() -> None:
    async def script(server: Conversation) -> None:
        await server.hear_end()

    greeting = b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\0"  # MAX_CONCURRENT_STREAMS=0
    async with scripted(script, greeting=greeting) as served:
        connection = await connect(served.target)
        assert not connection.usable
        with pytest.raises(RpcError, match="takes no more streams"):
            connection.open("/s/M")
        await connection.close()


class TlsByHand:
    """The server's half of TLS whose records the test cuts where it likes."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self.outgoing, server_side=True)

    async def shake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                writer.write(self.outgoing.read())
                self._incoming.write(await reader.read(65_536))
            else:
                writer.write(self.outgoing.read())
                return

    async def hear(self, reader: asyncio.StreamReader, until: bytes) -> None:
        heard = b""
        while until not in heard:
            try:
                heard += self._tls.read(65_536)
            except ssl.SSLWantReadError:
                self._incoming.write(await reader.read(65_536))

    def seal(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self.outgoing.read()


@pytest.fixture(scope="module")
def authority() -> CA:
    return CA()


def speaking_tls(authority: CA) -> ssl.SSLContext:
    leaf = authority.issue("localhost")
    return server_context(chain=leaf.chain, key=leaf.key)


@pytest.mark.parametrize("then", ["closes", "stops"])
async def test_a_tls_record_without_its_end(then: str, authority: CA) -> None:
    """Whoever closes is noticed; whoever only stops, by keepalive."""
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        by_hand = TlsByHand(speaking_tls(authority))
        await by_hand.shake(reader, writer)
        writer.write(by_hand.seal(EMPTY_SETTINGS))
        await by_hand.hear(reader, until=b"hello")
        writer.write(by_hand.seal(headers_frame(1, RESPONSE) + bytes(1000))[:-500])
        await writer.drain()
        if then == "stops":
            await over.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        connection = await connect(
            f"localhost:{server.sockets[0].getsockname()[1]}",
            tls=client_context(roots=authority.certificate),
            keepalive=Keepalive(interval=0.05, timeout=0.05),
        )
        messages, status = await ask(connection)
        assert (messages, status.code) == ([], Code.UNAVAILABLE)
        await asyncio.wait_for(connection.wait_closed(), DEADLINE)
        over.set()


@pytest.mark.parametrize("then", ["closes", "stops"])
async def test_a_tls_handshake_without_its_end(then: str, authority: CA) -> None:
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        by_hand = TlsByHand(speaking_tls(authority))
        hello = await reader.read(65_536)
        by_hand._incoming.write(hello)
        with pytest.raises(ssl.SSLWantReadError):
            by_hand._tls.do_handshake()
        writer.write(by_hand.outgoing.read()[:100])
        await writer.drain()
        if then == "stops":
            await over.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        with pytest.raises(UpstreamUnavailable, match=r"TLS|EOF|within 0\.3 s|reset"):
            await connect(
                f"localhost:{server.sockets[0].getsockname()[1]}",
                tls=client_context(roots=authority.certificate),
                timeout=0.3 if then == "stops" else DEADLINE,
            )
        over.set()


async def test_a_server_that_does_not_offer_http2(authority: CA) -> None:
    leaf = authority.issue("localhost")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor = os.memfd_create("pem")
    try:
        os.write(descriptor, leaf.key + leaf.chain)
        old.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    async with scripted(Conversation.hear_end, tls=old) as served:
        with pytest.raises(UpstreamUnavailable, match="ALPN h2"):
            await connect(served.target, tls=client_context(roots=authority.certificate))
        await served.conversation()


async def test_over_tls_the_client_says_why_too(authority: CA) -> None:
    async def script(server: Conversation) -> None:
        await server.hear_request()
        await server.say(b"\0\0\7\6\0\0\0\0\0" + bytes(7))
        await server.hear_end()

    async with scripted(script, tls=speaking_tls(authority)) as served:
        connection = await connect(
            served.target, tls=client_context(roots=authority.certificate), limits=LIMITS
        )
        _, status = await ask(connection)
        server = await served.conversation()
        await connection.close()
    assert status.code is Code.UNAVAILABLE
    assert server.goaway == [ErrorCode.FRAME_SIZE_ERROR]
    assert server.closed_well


async def test_an_answer_while_the_request_still_waits_for_a_window() -> None:
    """The stream is given back with NO_ERROR, and what was not sent is forgotten (gRPC, Early Server Closure)."""

    async def script(server: Conversation) -> None:
        await server.hear(lambda each: each.kind == 0)
        await server.say(ANSWER)
        await server.hear_pong()

    async with scripted(script) as served:
        connection = await connect(served.target)
        call = connection.open("/s/M")
        call.send_nowait(bytes(500_000))
        assert await asyncio.wait_for(call.receive(), DEADLINE) == b"fine"
        assert await call.receive() is None
        server = await served.conversation()
        await connection.close()
    assert server.resets(1) == [ErrorCode.NO_ERROR]
    assert sum(len(each.payload) for each in server.heard if each.kind == 0) == 65_535


@pytest.fixture
def traced() -> Iterator[Callable[[], float]]:
    """MiB that Python allocated at its peak since the test began."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    yield lambda: (tracemalloc.get_traced_memory()[1] - before) / MIB
    tracemalloc.stop()


async def test_a_server_that_pours_into_a_call_that_nobody_reads(
    traced: Callable[[], float],
) -> None:
    """It may fill the stream's window and no more; what it says beyond that ends the stream."""
    piece = frame(0, 1, (message_prefix(11) + b"hello world") * 1000)
    limits = Limits(stream_window=MIB)

    async def script(server: Conversation) -> None:
        await server.hear_request()
        await server.say(HEAD)
        for _ in range(2000):  # 32 MB
            await server.say(piece)
        await server.hear_pong()

    async with scripted(script) as served:
        connection = await connect(served.target, limits=limits)
        call = connection.open("/s/M")
        call.send_nowait(b"")
        call.half_close()
        server = await served.conversation()
        await connection.close()
    assert ErrorCode.FLOW_CONTROL_ERROR in server.resets(1)
    assert call.status is not None
    assert call.status.code is Code.INTERNAL
    assert traced() < 16  # messages of 11 bytes cost 64 more each


async def test_a_server_that_never_reads(traced: Callable[[], float]) -> None:
    """With all its windows open: what we have to say waits in who says it, until the deadline."""
    open_wide = frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: frames.MAX_WINDOW})
    open_wide += frames.window_frame(0, frames.MAX_WINDOW - frames.DEFAULT_WINDOW)
    over = asyncio.Event()

    async def script(server: Conversation) -> None:
        await over.wait()

    async def fill(call: ClientCall) -> None:
        while True:
            await call.send(bytes(100_000))

    async def pour(call: ClientCall) -> None:
        with pytest.raises(RpcError, match="DEADLINE_EXCEEDED"):
            await fill(call)

    async with scripted(script, greeting=open_wide) as served:
        connection = await connect(served.target)
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(pour(connection.open("/s/M", timeout=0.3)))
        assert traced() < 12
        over.set()
        await served.conversation()
        await connection.close()
