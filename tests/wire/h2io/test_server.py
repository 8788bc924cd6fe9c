# SPDX-License-Identifier: Apache-2.0
"""Our server with grpcio as the client: an independent witness of what leaves and enters the socket."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.grpc_running import UNBOUNDED, serving
from tests.support.grpcio import grpc
from tests.support.testca import CA
from wire.h2.frames import PREFACE, settings_frame
from wire.h2io import Code, Limits, Peer, RpcError, ServerCall, Status, connect
from wire.h2io.tls import server_context


async def echo(call: ServerCall) -> None:
    async for message in call:
        await call.send(message)


async def one(call: ServerCall) -> None:
    message = await call.receive()
    assert message is not None
    await call.send(message)


async def test_unary_and_streaming(short_tmp: Path) -> None:
    routes = {"/s/One": one, "/s/Echo": echo}
    async with (
        serving(routes, unix=str(short_tmp / "s")) as running,
        grpc.aio.insecure_channel(running.target) as channel,
    ):
        assert await channel.unary_unary("/s/One")(b"hello") == b"hello"
        assert await channel.unary_unary("/s/One")(b"") == b""
        stream = channel.stream_stream("/s/Echo")()
        for size in (0, 1, 16_384, 70_000, 300_000):
            await stream.write(b"x" * size)
            assert await stream.read() == b"x" * size
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK


async def test_64_mib_both_ways() -> None:
    big = os.urandom(1 << 20) * 64
    async with (
        serving({"/s/One": one}, limits=Limits(max_message=0)) as running,
        grpc.aio.insecure_channel(running.target, options=UNBOUNDED) as channel,
    ):
        assert await channel.unary_unary("/s/One")(big) == big


async def test_many_calls_at_once_on_one_connection() -> None:
    async with (
        serving({"/s/One": one}) as running,
        grpc.aio.insecure_channel(running.target) as channel,
    ):
        call = channel.unary_unary("/s/One")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_call(call, str(n).encode())) for n in range(300)]
        assert [task.result() for task in tasks] == [str(n).encode() for n in range(300)]
        assert len(running.server.links) == 1


async def _call(call: object, message: bytes) -> bytes:
    return bytes(await call(message))  # type: ignore[operator]  # grpc's stubs know no multicallable type


async def test_metadata_both_ways() -> None:
    seen: list[tuple[str, str]] = []

    async def handler(call: ServerCall) -> None:
        seen.extend(call.metadata)
        await call.send_headers([("x-first", "1")])
        await call.send(await call.receive() or b"")
        await call.finish(metadata=[("x-last", "2")])

    async with (
        serving({"/s/M": handler}) as running,
        grpc.aio.insecure_channel(running.target) as channel,
    ):
        call = channel.unary_unary("/s/M")(
            b"m", metadata=(("x-mine", "value"), ("x-bin", b"\0\xff"))
        )
        assert await call == b"m"
        assert ("x-first", "1") in list(await call.initial_metadata())
        assert ("x-last", "2") in list(await call.trailing_metadata())
    assert ("x-mine", "value") in seen
    assert ("x-bin", "AP8") in [(name, value.rstrip("=")) for name, value in seen]


async def test_statuses() -> None:
    async def refuse(call: ServerCall) -> None:
        raise RpcError(Status(Code.PERMISSION_DENIED, "nö, 100 % nö\n"))

    async def break_down(call: ServerCall) -> None:
        raise ValueError("token=s3cret")

    routes = {"/s/Refuse": refuse, "/s/Break": break_down}
    async with serving(routes) as running, grpc.aio.insecure_channel(running.target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/s/Refuse")(b"")
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert refused.value.details() == "nö, 100 % nö\n"
        with pytest.raises(grpc.aio.AioRpcError) as broken:
            await channel.unary_unary("/s/Break")(b"")
        assert broken.value.code() is grpc.StatusCode.UNKNOWN
        assert broken.value.details() == "internal error"
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await channel.unary_unary("/s/Nope")(b"")
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_oversized_message_is_refused() -> None:
    async with (
        serving({"/s/One": one}, limits=Limits(max_message=1000)) as running,
        grpc.aio.insecure_channel(running.target) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/s/One")(b"x" * 1001)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await channel.unary_unary("/s/One")(b"x" * 1000) == b"x" * 1000


async def test_cancelled_call_cancels_the_handler() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(call: ServerCall) -> None:
        begun.set()
        try:
            await call.receive()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with (
        serving({"/s/Wait": wait}) as running,
        grpc.aio.insecure_channel(running.target) as channel,
    ):
        call = channel.stream_stream("/s/Wait")()
        await call.write(b"x")
        await asyncio.wait_for(begun.wait(), 10)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 10)


async def test_deadline_ends_the_handler_and_tells_the_client() -> None:
    deadlines: list[float | None] = []
    cancelled = asyncio.Event()

    async def slow(call: ServerCall) -> None:
        deadlines.append(call.deadline)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serving({"/s/Slow": slow}) as running:
        connection = await connect(running.target)
        call = connection.open(
            "/s/Slow", metadata=[("grpc-timeout", "50m")]
        )  # told, not kept on our side
        with pytest.raises(RpcError) as late:
            await asyncio.wait_for(call.receive(), 10)
        assert late.value.status.code is Code.DEADLINE_EXCEEDED
        await asyncio.wait_for(cancelled.wait(), 10)
        await connection.close()
        async with grpc.aio.insecure_channel(running.target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as witness:
                await channel.unary_unary("/s/Slow")(b"", timeout=0.05)
            assert witness.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert None not in deadlines


async def test_handler_that_stops_reading_bounds_what_the_client_can_send() -> None:
    go_on = asyncio.Event()

    async def lazy(call: ServerCall) -> None:
        await go_on.wait()
        total = 0
        async for message in call:
            total += len(message)
        await call.send(str(total).encode())

    limits = Limits(stream_window=200_000, connection_window=400_000)
    async with serving({"/s/Lazy": lazy}, limits=limits) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Lazy")
        for _ in range(50):
            call.send_nowait(b"x" * 100_000)
        call.half_close()
        await asyncio.sleep(0.2)
        [link] = running.server.links
        [server_call] = link.calls.values()
        assert server_call.held <= 500_000
        go_on.set()
        assert await asyncio.wait_for(call.receive(), 20) == b"5000000"
        await connection.close()


async def test_drain_lets_calls_end_and_takes_no_new_connection() -> None:
    async with serving({"/s/Echo": echo}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Echo")
        await call.send(b"1")
        assert await call.receive() == b"1"
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(running.server.drain(10))
            await asyncio.sleep(0.05)
            assert not connection.usable
            await call.send(b"2")
            assert await call.receive() == b"2"
            assert not draining.done()
            call.half_close()
            assert await call.receive() is None
        await asyncio.wait_for(connection.wait_closed(), 10)


async def test_drain_ends_calls_that_do_not_end() -> None:
    async with serving({"/s/Echo": echo}) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Echo")
        await call.send(b"1")
        await call.receive()
        await running.server.drain(0.05)
        with pytest.raises(RpcError) as ended:
            await asyncio.wait_for(call.receive(), 10)
        assert ended.value.status.code is Code.UNAVAILABLE


async def test_garbage_kills_its_own_connection_only(short_tmp: Path) -> None:
    async with serving({"/s/One": one}, unix=str(short_tmp / "s")) as running:
        good = await connect(running.target)
        reader, writer = await asyncio.open_unix_connection(str(short_tmp / "s"))
        writer.write(b"\x16\x03\x01 this is not HTTP/2" * 100)
        assert await asyncio.wait_for(reader.read(), 10) is not None  # ends
        writer.close()
        assert await good.unary("/s/One", b"still here") == b"still here"
        await good.close()


async def test_a_peer_that_says_nothing_is_dropped() -> None:
    async with serving({}, limits=Limits(handshake_timeout=0.1)) as running:
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        await asyncio.wait_for(reader.read(), 10)  # settings, then the end
        writer.close()
        await _until(lambda: not running.server.links)


async def test_connections_above_the_limit_are_closed_at_once() -> None:
    async with serving({"/s/One": one}, limits=Limits(max_connections=1)) as running:
        first = await connect(running.target)
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        assert await first.unary("/s/One", b"x") == b"x"
        await first.close()


async def test_admission_sees_who_is_there(short_tmp: Path) -> None:
    seen: list[Peer] = []

    def admit(peer: Peer) -> str | None:
        seen.append(peer)
        return "not you" if len(seen) > 1 else None

    async with serving({"/s/One": one}, unix=str(short_tmp / "s"), admit=admit) as running:
        connection = await connect(running.target)
        reader, writer = await asyncio.open_unix_connection(str(short_tmp / "s"))
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        await connection.close()
    assert (seen[0].uid, seen[0].gid, seen[0].pid) == (os.getuid(), os.getgid(), os.getpid())


async def test_unix_socket_replaces_a_stale_one_and_is_removed(short_tmp: Path) -> None:
    path = short_tmp / "dir" / "s"
    path.parent.mkdir()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    async with serving({}, unix=str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        await (await connect(f"unix:{path}")).close()
    assert not path.exists()


async def test_a_browser_gets_415() -> None:
    from wire.h2.connection import H2Connection, Side
    from wire.h2.events import DataReceived, HeadersReceived

    async with serving({}) as running:
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        client = H2Connection(Side.CLIENT, Limits())
        client.start()
        stream = client.open_stream([(":method", "POST"), (":scheme", "http"), (":path", "/")])
        client.end_stream(stream)
        writer.write(b"".join(client.out))
        found: dict[str, str] = {}
        body = b""
        async with asyncio.timeout(10):
            while b"\n" not in body:
                for event in client.receive(memoryview(await reader.read(4096)), 0.0):
                    if isinstance(event, HeadersReceived):
                        found = dict(event.headers)
                    if isinstance(event, DataReceived):
                        body += event.data
        writer.close()
    assert (found[":status"], body) == ("415", b"invalid gRPC request content-type\n")


@pytest.fixture
async def tls_server() -> AsyncIterator[tuple[CA, str]]:
    ca = CA()
    leaf = ca.issue("localhost")

    async def who(call: ServerCall) -> None:
        await call.send(call.peer.certificate or b"nobody")

    context = server_context(chain=leaf.chain, key=leaf.key, client_roots=ca.certificate)
    async with serving(
        {"/s/Who": who, "/s/One": one}, tls=context, limits=Limits(max_message=0)
    ) as running:
        yield ca, running.target.replace("127.0.0.1", "localhost")


async def test_client_certificate_is_optional_and_verified(tls_server: tuple[CA, str]) -> None:
    ca, target = tls_server
    mine = ca.issue("client")
    anonymous = grpc.ssl_channel_credentials(ca.certificate)
    named = grpc.ssl_channel_credentials(ca.certificate, mine.key, mine.certificate)
    stranger = CA("stranger").issue("client")
    foreign = grpc.ssl_channel_credentials(ca.certificate, stranger.key, stranger.certificate)
    async with grpc.aio.secure_channel(target, anonymous) as channel:
        assert await channel.unary_unary("/s/Who")(b"") == b"nobody"
    async with grpc.aio.secure_channel(target, named) as channel:
        assert await channel.unary_unary("/s/Who")(b"") == ssl.PEM_cert_to_DER_cert(
            mine.certificate.decode()
        )
    async with grpc.aio.secure_channel(target, foreign) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/s/Who")(b"", timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_large_message_over_tls(tls_server: tuple[CA, str]) -> None:
    ca, target = tls_server
    big = os.urandom(1 << 20) * 8
    credentials = grpc.ssl_channel_credentials(ca.certificate)
    async with grpc.aio.secure_channel(target, credentials, options=UNBOUNDED) as channel:
        assert await channel.unary_unary("/s/One")(big) == big


async def test_tls_peer_that_stops_mid_record_is_dropped() -> None:
    ca = CA()
    leaf = ca.issue("localhost")
    context = server_context(chain=leaf.chain, key=leaf.key)
    async with serving(
        {"/s/One": one}, tls=context, limits=Limits(handshake_timeout=0.2)
    ) as running:
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        writer.write(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello, then silence
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        assert running.server._handshakes == 0


async def test_settings_flood_is_cut() -> None:
    async with serving({"/s/One": one}) as running:
        good = await connect(running.target)
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        writer.write(PREFACE + settings_frame({}) * 5000)
        await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert await good.unary("/s/One", b"x") == b"x"
        await good.close()


async def _until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]  # a plain callable
            await asyncio.sleep(0.01)
