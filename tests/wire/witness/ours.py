# SPDX-License-Identifier: Apache-2.0
"""Our own client and server of scripts, on ``wire.h2io``."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from tests.support.grpc_running import serving
from tests.wire.witness.ends import DEADLINE, Reports, Windows, Wire, spiffe_id
from tests.wire.witness.script import (
    FROM_CLIENT,
    FROM_SERVER,
    ID,
    PLAN,
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
from tests.wire.witness.script import Call as Script
from wire.h2io import (
    Call,
    ClientCall,
    Code,
    Connection,
    Keepalive,
    Limits,
    RpcError,
    Server,
    ServerCall,
    Status,
    connect,
)


class Gate(asyncio.Event):
    """Where a script waits for its test."""

    reached = False


class Side:
    """Plays the steps that both sides have."""

    def __init__(self, call: Call, side: int, gate: Gate) -> None:
        self.received: list[str] = []
        self._call = call
        self._side = side
        self._gate = gate
        self._sent = 0

    async def play(self, step: Step) -> None:
        match step.do:
            case Do.SEND:
                await self._send(step.sizes)
            case Do.RECEIVE:
                await self.receive(step.count)
            case Do.CROSS:
                await self._cross(step)
            case Do.PAUSE:
                await asyncio.sleep(step.milliseconds / 1000)
            case Do.GATE:
                self._gate.reached = True
                await self._gate.wait()
            case _:
                raise AssertionError(f"{step.do} is not for this side")

    async def _send(self, sizes: Iterable[int]) -> None:
        for size in sizes:
            await self._call.send(filling(self._side, self._sent, size))
            self._sent += 1

    async def receive(self, count: int) -> None:
        for _ in range(count):
            message = await self._call.receive()
            if message is None:
                raise EndOfMessages
            self.received.append(receipt(message))

    async def _cross(self, step: Step) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(step.sizes))
                await self.receive(step.count)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None


class EndOfMessages(Exception):
    """The peer's half ended in good order where a message was expected."""


class OurClient:
    """One connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.gate = Gate()

    async def play(self, calls: Sequence[Script]) -> list[Outcome]:
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._play(call)) for call in calls]
        return [task.result() for task in tasks]

    async def _play(self, script: Script) -> Outcome:
        call = self.connection.open(
            script.path,
            metadata=[to_wire(field) for field in script.all_fields],
            timeout=script.timeout or None,
        )
        side = Side(call, FROM_CLIENT, self.gate)
        told = None
        try:
            await self._converse(call, side, script)
        except RpcError as exc:
            told = exc.status
        assert call.status is not None
        assert told in {None, call.status}
        return Outcome(
            headers=from_wire(call.metadata),
            messages=tuple(side.received),
            code=call.status.code,
            details=call.status.message,
            trailers=from_wire(call.trailing),
        )

    @staticmethod
    async def _converse(call: ClientCall, side: Side, script: Script) -> None:
        try:
            for step in script.client:
                match step.do:
                    case Do.HEADERS:
                        await call.wait_headers()
                    case Do.HALF_CLOSE:
                        call.half_close()
                    case Do.CANCEL:
                        call.cancel()
                        return
                    case _:
                        await side.play(step)
        except (RpcError, EndOfMessages):
            pass  # the end of the call tells
        while (message := await call.receive()) is not None:
            side.received.append(receipt(message))


class OurServer:
    """What a test asks of our server."""

    def __init__(self) -> None:
        self.target = ""
        self.gate = Gate()
        self.server: Server | None = None
        self._reports = Reports()

    async def seen(self, number: int) -> Seen:
        return await self._reports.get(number)

    async def drain(self) -> None:
        assert self.server is not None
        await self.server.drain(DEADLINE)

    async def handle(self, call: ServerCall) -> None:
        fields = dict(call.metadata)
        side, half_closed, end = Side(call, FROM_SERVER, self.gate), False, "cancelled"
        try:
            for step in parse_plan(fields[PLAN]):
                if step.do is Do.HALF_CLOSE:
                    half_closed = await call.receive() is None
                else:
                    await _serve(call, side, step)
            end = "returned"
        finally:
            seen = Seen(
                fields=from_wire(call.metadata),
                messages=tuple(side.received),
                half_closed=half_closed,
                deadline=call.deadline is not None,
                end=end,
                peer=spiffe_id(call.peer.certificate),
            )
            self._reports.put(int(fields[ID]), seen)


async def _serve(call: ServerCall, side: Side, step: Step) -> None:
    match step.do:
        case Do.HEADERS:
            await call.send_headers([to_wire(field) for field in step.fields])
        case Do.HANG:
            await asyncio.Event().wait()
        case Do.END:
            status = Status(Code(step.code), step.message)
            await call.finish(status, [to_wire(field) for field in step.fields])
        case _:
            await side.play(step)


@asynccontextmanager
async def our_server(
    wire: Wire, keepalive: Keepalive | None = None, *, max_streams: int = 100
) -> AsyncIterator[OurServer]:
    found = OurServer()
    routes = {f"/script/{kind}": found.handle for kind in Kind}
    unix = "" if wire.transport != "unix" else str(wire.directory / "ours")
    async with serving(
        routes,
        unix=unix,
        tls=wire.server_context(),
        limits=replace(_limits(wire.windows), max_streams=max_streams),
        keepalive=keepalive,
    ) as running:
        found.target, found.server = running.target, running.server
        yield found


@asynccontextmanager
async def our_client(
    wire: Wire, target: str, keepalive: Keepalive | None = None, *, max_message: int = 0
) -> AsyncIterator[OurClient]:
    connection = await connect(
        target,
        tls=wire.client_context(),
        timeout=DEADLINE,
        limits=_limits(wire.windows, max_message),
        keepalive=keepalive,
    )
    try:
        yield OurClient(connection)
    finally:
        await connection.close()


def _limits(windows: Windows, max_message: int = 0) -> Limits:
    default = Limits()
    return Limits(
        max_message=max_message,
        stream_window=windows.stream or default.stream_window,
        connection_window=windows.connection or default.connection_window,
        max_frame=windows.frame or default.max_frame,
    )


def to_wire(field: Field) -> tuple[str, str]:
    """Our layer gives and takes ``-bin`` values as they travel: base64, and we pad as little as the protocol asks."""
    name, value = field
    if not name.endswith("-bin"):
        return field
    return name, base64.b64encode(bytes.fromhex(value)).decode().rstrip("=")


def from_wire(fields: Iterable[tuple[str, str]]) -> tuple[Field, ...]:
    found: list[tuple[str, str | bytes]] = []
    for name, value in fields:
        if name.endswith(
            "-bin"
        ):  # "Implementations must split Binary-Headers on "," before decoding"
            found += [(name, base64.b64decode(part + "==")) for part in value.split(",")]
        else:
            found.append((name, value))
    return of_script(found)
