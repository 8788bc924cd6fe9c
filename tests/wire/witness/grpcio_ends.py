# SPDX-License-Identifier: Apache-2.0
"""grpcio's client and server of scripts: the reference."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.support.grpc_running import UNBOUNDED
from tests.support.grpcio import grpc
from tests.wire.witness.ends import DEADLINE, Reports, Windows, Wire
from tests.wire.witness.script import (
    FROM_CLIENT,
    FROM_SERVER,
    ID,
    PLAN,
    Call,
    Do,
    Field,
    Kind,
    Outcome,
    Seen,
    Step,
    filling,
    of_script,
    parse_plan,
    receipt,
)
from wire.h2io import Code

Rpc = Any
Context = Any
Options = Sequence[tuple[str, int]]

cygrpc: Any = importlib.import_module("grpc._cython.cygrpc")

CODES = {code.value[0]: code for code in grpc.StatusCode}


class EndOfMessages(Exception):
    """The peer's half ended where a message was expected."""


class Side:
    """Plays the steps that both sides have, on anything with ``read`` and ``write``."""

    def __init__(self, stream: Any, side: int) -> None:
        self.received: list[str] = []
        self._stream = stream
        self._side = side
        self._sent = 0

    async def play(self, step: Step) -> None:
        match step.do:
            case Do.SEND:
                await self._send(step.sizes)
            case Do.RECEIVE:
                await self.receive(step.count)
            case Do.CROSS:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._send(step.sizes))
                    await self.receive(step.count)
            case Do.PAUSE:
                await asyncio.sleep(step.milliseconds / 1000)
            case _:
                raise AssertionError(f"{step.do} is not for this side")

    async def _send(self, sizes: Iterable[int]) -> None:
        for size in sizes:
            await self._stream.write(filling(self._side, self._sent, size))
            self._sent += 1

    async def receive(self, count: int) -> None:
        for _ in range(count):
            message = await self._stream.read()
            if message is grpc.aio.EOF:
                raise EndOfMessages
            self.received.append(receipt(message))


class ClientStream:
    """A call of any kind as a stream.

    ``write`` goes below grpcio's own, which makes INTERNAL ("Internal error from Core") of whatever status comes while
    it waits; a server may well answer before the client has sent all (RFC 9113 section 8.1).
    """

    def __init__(self, rpc: Rpc, kind: Kind) -> None:
        self._rpc = rpc
        self._one_reply = kind.one_reply
        self._read = False

    async def read(self) -> Any:
        if not self._one_reply:
            return await self._rpc.read()
        if self._read:
            return grpc.aio.EOF
        self._read = True
        return await self._rpc

    async def write(self, message: bytes) -> None:
        await self._rpc._metadata_sent.wait()
        try:
            await self._rpc._cython_call.send_serialized_message(message)
        except cygrpc.InternalError:
            raise EndOfMessages from None


class GrpcioClient:
    """One channel."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    async def play(self, calls: Sequence[Call]) -> list[Outcome]:
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._play(call)) for call in calls]
        return [task.result() for task in tasks]

    async def _play(self, call: Call) -> Outcome:
        rpc, steps = self._open(call)
        side = Side(ClientStream(rpc, call.kind), FROM_CLIENT)
        await _converse(rpc, side, steps)
        return Outcome(
            headers=of_script(await rpc.initial_metadata() or ()),
            messages=tuple(side.received),
            code=Code((await rpc.code()).value[0]),
            details=await rpc.details() or "",
            trailers=of_script(await rpc.trailing_metadata() or ()),
        )

    def _open(self, call: Call) -> tuple[Rpc, Sequence[Step]]:
        """The call, and the steps that are left."""
        method = {
            Kind.UNARY: self.channel.unary_unary,
            Kind.PULL: self.channel.unary_stream,
            Kind.PUSH: self.channel.stream_unary,
            Kind.CHAT: self.channel.stream_stream,
        }[call.kind](call.path)
        how = {"metadata": to_grpcio(call.all_fields), "timeout": call.timeout or None}
        if not call.kind.one_request:
            return method(**how), call.client
        send, half_close, *steps = call.client
        assert (send.do, half_close.do, len(send.sizes)) == (Do.SEND, Do.HALF_CLOSE, 1)
        return method(filling(FROM_CLIENT, 0, send.sizes[0]), **how), steps


async def _converse(rpc: Rpc, side: Side, steps: Sequence[Step]) -> None:
    try:
        for step in steps:
            match step.do:
                case Do.HEADERS:
                    await rpc.initial_metadata()
                case Do.HALF_CLOSE:
                    await rpc.done_writing()
                case Do.CANCEL:
                    rpc.cancel()
                    await rpc.code()
                    return
                case _:
                    await side.play(step)
    except* (grpc.aio.AioRpcError, asyncio.InvalidStateError, EndOfMessages):
        pass  # the end of the call tells
    try:
        while True:
            await side.receive(1)
    except (grpc.aio.AioRpcError, EndOfMessages):
        pass


class GrpcioServer(grpc.GenericRpcHandler):  # type: ignore[misc]  # untyped on purpose
    """Any method plays the script."""

    def __init__(self) -> None:
        self.target = ""
        self.server: Any = None
        self._reports = Reports()

    async def seen(self, number: int) -> Seen:
        return await self._reports.get(number)

    async def drain(self) -> None:
        await self.server.stop(DEADLINE)

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self.handle)

    async def handle(self, _requests: Any, context: Context) -> None:
        fields = dict(context.invocation_metadata())
        side, half_closed, end = Side(context, FROM_SERVER), False, "cancelled"
        try:
            for step in parse_plan(fields[PLAN]):
                if step.do is Do.HALF_CLOSE:
                    half_closed = await context.read() is grpc.aio.EOF
                else:
                    await _serve(context, side, step)
            end = "returned"
        finally:
            seen = Seen(
                fields=of_script(context.invocation_metadata()),
                messages=tuple(side.received),
                half_closed=half_closed,
                deadline=context.time_remaining() is not None,
                end=end,
                peer=_peer(context),
            )
            self._reports.put(int(fields[ID]), seen)


async def _serve(context: Context, side: Side, step: Step) -> None:
    match step.do:
        case Do.HEADERS:
            await context.send_initial_metadata(to_grpcio(step.fields))
        case Do.HANG:
            await asyncio.Event().wait()
        case Do.END:
            context.set_code(CODES[step.code])
            context.set_details(step.message)
            context.set_trailing_metadata(to_grpcio(step.fields))
        case _:
            await side.play(step)


def _peer(context: Context) -> str:
    names = context.auth_context().get("peer_spiffe_id", [b""])
    return bytes(names[0]).decode()


@asynccontextmanager
async def grpcio_server(wire: Wire, options: Options = ()) -> AsyncIterator[GrpcioServer]:
    found = GrpcioServer()
    found.server = grpc.aio.server(options=[*_options(wire.windows), *options])
    found.server.add_generic_rpc_handlers((found,))
    unix = f"unix:{wire.directory}/grpcio" if wire.transport == "unix" else ""
    address = unix or "127.0.0.1:0"
    if wire.server is None:
        port = found.server.add_insecure_port(address)
    else:
        asks = wire.client is not None
        pair = (wire.server.key, wire.server.chain)
        credentials = grpc.ssl_server_credentials([pair], wire.client_roots if asks else None, asks)
        port = found.server.add_secure_port(address, credentials)
    found.target = unix or f"127.0.0.1:{port}"
    await found.server.start()
    try:
        yield found
    finally:
        await found.server.stop(None)


@asynccontextmanager
async def grpcio_client(
    wire: Wire, target: str, options: Options = ()
) -> AsyncIterator[GrpcioClient]:
    options = [*_options(wire.windows), *options]
    if wire.server is None:
        channel = grpc.aio.insecure_channel(target, options=options)
    else:
        key, chain = (wire.client.key, wire.client.chain) if wire.client else (None, None)
        credentials = grpc.ssl_channel_credentials(wire.server.root, key, chain)
        channel = grpc.aio.secure_channel(target, credentials, options=options)
    async with channel:
        yield GrpcioClient(channel)


def _options(windows: Windows) -> list[tuple[str, int]]:
    options = [
        *UNBOUNDED,
        ("grpc.so_reuseport", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
    ]
    if windows.stream:
        options += [("grpc.http2.lookahead_bytes", windows.stream), ("grpc.http2.bdp_probe", 0)]
    if windows.frame:
        options.append(("grpc.http2.max_frame_size", windows.frame))
    return options


def to_grpcio(fields: Iterable[Field]) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(
        (name, bytes.fromhex(value) if name.endswith("-bin") else value) for name, value in fields
    )
