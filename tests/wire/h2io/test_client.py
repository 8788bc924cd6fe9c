# SPDX-License-Identifier: Apache-2.0
"""Our client with grpcio as the server: an independent witness, over unix, TCP and TLS."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import BadSetting, UpstreamUnavailable
from tests.support.grpc_running import UNBOUNDED
from tests.support.grpcio import grpc
from tests.support.testca import CA
from wire.h2 import frames
from wire.h2io import Code, Keepalive, Limits, RpcError, connect
from wire.h2io.tls import client_context

Context = Any


class Witness(grpc.GenericRpcHandler):  # type: ignore[misc]  # untyped on purpose
    """A few methods of a grpcio server, without generated code."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.metadata: dict[str, str | bytes] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        unary: dict[str, Callable[[bytes, Context], Awaitable[bytes]]] = {
            "/s/One": self.one,
            "/s/Refuse": self.refuse,
            "/s/Slow": self.slow,
        }
        if details.method in unary:
            return grpc.unary_unary_rpc_method_handler(unary[details.method])
        if details.method == "/s/Echo":
            return grpc.stream_stream_rpc_method_handler(self.echo)
        return None

    async def one(self, request: bytes, context: Context) -> bytes:
        self.metadata = dict(context.invocation_metadata() or ())
        await context.send_initial_metadata((("x-first", "1"),))
        context.set_trailing_metadata((("x-last", "2"),))
        return request

    async def refuse(self, request: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nö, 100 % nö")
        return b""

    async def slow(self, request: bytes, context: Context) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return b""

    async def echo(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        try:
            async for request in requests:
                yield request
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@asynccontextmanager
async def witness(
    address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[tuple[Witness, str]]:
    handler = Witness()
    server = grpc.aio.server(options=[*UNBOUNDED, ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((handler,))
    port = (
        server.add_secure_port(address, credentials)
        if credentials
        else server.add_insecure_port(address)
    )
    await server.start()
    try:
        yield handler, address if address.startswith("unix:") else f"localhost:{port}"
    finally:
        await server.stop(None)


async def test_unary_and_streaming_over_unix(short_tmp: Path) -> None:
    async with witness(f"unix:{short_tmp}/s") as (handler, target):
        connection = await connect(target)
        assert await connection.unary("/s/One", b"hello", metadata=[("x-mine", "me")]) == b"hello"
        assert handler.metadata["x-mine"] == "me"
        call = connection.open("/s/Echo")
        for size in (0, 1, 16_384, 70_000, 300_000):
            await call.send(b"x" * size)
            assert await call.receive() == b"x" * size
        call.half_close()
        assert await call.receive() is None
        assert call.status == (Code.OK, "")
        await connection.close()
        assert connection.closed


async def test_metadata_and_trailers() -> None:
    async with witness() as (_, target):
        connection = await connect(target)
        call = connection.open("/s/One")
        call.send_nowait(b"x")
        call.half_close()
        await call.wait_headers()
        assert ("x-first", "1") in call.metadata
        assert [message async for message in call] == [b"x"]
        assert ("x-last", "2") in call.trailing
        await connection.close()


async def test_64_mib_both_ways() -> None:
    big = os.urandom(1 << 20) * 64
    async with witness() as (_, target):
        connection = await connect(target, limits=Limits(max_message=0))
        assert await connection.unary("/s/One", big) == big
        await connection.close()


async def test_statuses() -> None:
    async with witness() as (_, target):
        connection = await connect(target, limits=Limits(max_message=10))
        with pytest.raises(RpcError, match="FAILED_PRECONDITION: nö, 100 % nö"):
            await connection.unary("/s/Refuse", b"")
        with pytest.raises(RpcError) as unknown:
            await connection.unary("/s/Nope", b"")
        assert unknown.value.status.code is Code.UNIMPLEMENTED
        with pytest.raises(RpcError) as large:
            await connection.unary("/s/One", b"x" * 11)
        assert large.value.status.code is Code.RESOURCE_EXHAUSTED
        assert await connection.unary("/s/One", b"x") == b"x"
        await connection.close()


async def test_deadline_and_cancellation_reach_the_server() -> None:
    async with witness() as (handler, target):
        connection = await connect(target)
        with pytest.raises(RpcError) as late:
            await connection.unary("/s/Slow", b"", timeout=0.5)
        assert late.value.status.code is Code.DEADLINE_EXCEEDED
        handler.cancelled.clear()
        call = connection.open("/s/Echo")
        await call.send(b"x")
        assert await call.receive() == b"x"
        call.cancel()
        with pytest.raises(RpcError) as cancelled:
            await call.receive()
        assert cancelled.value.status.code is Code.CANCELLED
        await asyncio.wait_for(handler.cancelled.wait(), 10)
        await connection.close()


async def test_cancelled_coroutine_cancels_the_call() -> None:
    async with witness() as (handler, target):
        connection = await connect(target)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(connection.unary("/s/Slow", b""))
            await asyncio.sleep(0.1)
            task.cancel()
        await asyncio.wait_for(handler.cancelled.wait(), 10)
        await connection.close()


async def test_server_that_goes_away_ends_the_calls() -> None:
    async with witness() as (_, target):
        connection = await connect(target)
        call = connection.open("/s/Echo")
        await call.send(b"x")
        assert await call.receive() == b"x"
    with pytest.raises(RpcError) as gone:
        await asyncio.wait_for(call.receive(), 10)
    assert gone.value.status.code in {Code.UNAVAILABLE, Code.CANCELLED}
    await asyncio.wait_for(connection.wait_closed(), 10)
    assert not connection.usable
    with pytest.raises(RpcError, match="UNAVAILABLE"):
        connection.open("/s/Echo")


async def test_nobody_listens() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(UpstreamUnavailable, match=r"Connect call failed|refused"):
            await connect(target)


async def test_a_server_that_does_not_greet_is_given_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as sock,
        pytest.raises(UpstreamUnavailable, match=r"no connection within 0\.1 s"),
    ):
        await connect(f"127.0.0.1:{sock.getsockname()[1]}", timeout=0.1)


async def test_a_server_that_speaks_http1() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamUnavailable, match="protocol fault"):
            await connect(f"127.0.0.1:{port}", timeout=10)


async def test_keepalive_finds_a_dead_server() -> None:
    async def greet_and_freeze(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frames.settings_frame({}))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet_and_freeze, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = await connect(
            f"127.0.0.1:{port}", keepalive=Keepalive(interval=0.05, timeout=0.05)
        )
        call = connection.open("/s/One")
        with pytest.raises(RpcError, match="keepalive"):
            await asyncio.wait_for(call.receive(), 10)
        assert connection.closed


@pytest.mark.parametrize("target", ["nohost", ":1", "h:0", "h:x", "h:70000", ""])
async def test_malformed_targets(target: str) -> None:
    with pytest.raises(BadSetting):
        await connect(target)


async def test_mutual_tls() -> None:
    ca = CA()
    leaf, mine = ca.issue("localhost"), ca.issue("spiffe://td/ns/a/sa/b")
    credentials = grpc.ssl_server_credentials(
        [(leaf.key, leaf.chain)], ca.certificate, require_client_auth=True
    )
    async with witness(credentials=credentials) as (_, target):
        context = client_context(roots=ca.certificate, certificate=mine.certificate, key=mine.key)
        connection = await connect(target, tls=context, limits=Limits(max_message=0))
        assert await connection.unary("/s/One", b"secure") == b"secure"
        big = os.urandom(1 << 20) * 8
        assert await connection.unary("/s/One", big) == big
        assert connection.peer.certificate
        await connection.close()


async def test_wrong_root_and_wrong_name_say_so() -> None:
    ca = CA()
    leaf = ca.issue("localhost")
    credentials = grpc.ssl_server_credentials([(leaf.key, leaf.chain)])
    async with witness(credentials=credentials) as (_, target):
        with pytest.raises(UpstreamUnavailable, match=r"TLS: .*certificate"):
            await connect(target, tls=client_context(roots=CA("other").certificate))
        with pytest.raises(UpstreamUnavailable, match=r"Hostname mismatch|not valid for"):
            await connect(
                target, tls=client_context(roots=ca.certificate), server_name="istiod.test"
            )
        with pytest.raises(UpstreamUnavailable):
            await connect(target)  # plaintext to a TLS port
