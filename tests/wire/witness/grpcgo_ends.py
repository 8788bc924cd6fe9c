# SPDX-License-Identifier: Apache-2.0
"""grpc-go's client and server of scripts: ``tools/grpcgo`` in a process of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.support.golang import build
from tests.support.testca import Leaf
from tests.wire.witness.ends import DEADLINE, Reports, Wire
from tests.wire.witness.script import Call, Outcome, Seen, as_json, to_fields
from wire.h2io import Code

LINE_LIMIT = 1 << 20


class GrpcgoClient:
    """One process with one connection."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def play(self, calls: Sequence[Call]) -> list[Outcome]:
        asked = [as_json(call) | {"method": call.path} for call in calls]
        for call, one in zip(calls, asked, strict=True):
            one["fields"] = call.all_fields
            one["plan"] = [as_json(step) for step in call.client]
        _pipe(self._process.stdin).write(json.dumps(asked).encode() + b"\n")
        async with asyncio.timeout(DEADLINE):
            line = await _pipe(self._process.stdout).readline()
        assert line, "grpcgo ended"
        return [_outcome(found) for found in json.loads(line)]


def _outcome(found: dict[str, Any]) -> Outcome:
    return Outcome(
        headers=to_fields(found["headers"]),
        messages=tuple(found["messages"]),
        code=Code(found["code"]),
        details=found["details"],
        trailers=to_fields(found["trailers"]),
    )


class GrpcgoServer:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process, target: str) -> None:
        self.target = target
        self._process = process
        self._reports = Reports()

    async def seen(self, number: int) -> Seen:
        return await self._reports.get(number)

    async def drain(self) -> None:
        """Begins it; the program says nothing when it is over."""
        _pipe(self._process.stdin).write(b"drain\n")

    async def listen(self) -> None:
        """Keep what the program reports."""
        while line := await _pipe(self._process.stdout).readline():
            found = json.loads(line)
            seen = Seen(
                fields=to_fields(found["fields"]),
                messages=tuple(found["messages"]),
                half_closed=found["half_closed"],
                deadline=found["deadline"],
                end=found["end"],
                peer=found["peer"],
            )
            self._reports.put(int(found["id"]), seen)


@asynccontextmanager
async def grpcgo_server(wire: Wire, *flags: str) -> AsyncIterator[GrpcgoServer]:
    address = f"unix:{wire.directory}/go" if wire.transport == "unix" else "127.0.0.1:0"
    own = _pem(wire, "server", wire.server)
    asked = "require" if wire.client is not None else "optional"
    async with _running(
        "server", f"-listen={address}", f"-client-auth={asked}", *own, *_common(wire), *flags
    ) as process:
        async with asyncio.timeout(DEADLINE):
            target = (await _pipe(process.stdout).readline()).decode().strip()
        server = GrpcgoServer(process, target)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(server.listen())
            try:
                yield server
            finally:
                listening.cancel()


@asynccontextmanager
async def grpcgo_client(wire: Wire, target: str, *flags: str) -> AsyncIterator[GrpcgoClient]:
    own = _pem(wire, "client", wire.client)
    async with _running("client", f"-target={target}", *own, *_common(wire), *flags) as process:
        yield GrpcgoClient(process)


def _pem(wire: Wire, name: str, leaf: Leaf | None) -> list[str]:
    """The side's own pair, and what vouches for the other side's."""
    if wire.server is None:
        return []
    directory = wire.directory / f"{name}.pem"
    directory.mkdir()
    roots = wire.client_roots if name == "server" else wire.server.root
    (directory / "roots").write_bytes(roots)
    flags = [f"-roots={directory}/roots"]
    if leaf is not None:
        leaf.write(directory)
        flags += [f"-chain={directory}/cert-chain.pem", f"-key={directory}/key.pem"]
    return flags


def _common(wire: Wire) -> list[str]:
    flags = [f"-window={wire.windows.stream}"] if wire.windows.stream else []
    if wire.transport.tls:
        flags.append(f"-tls={wire.transport.removeprefix('tls')}")
    return flags


@asynccontextmanager
async def _running(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program ends with its standard input."""
    program = await asyncio.to_thread(build, "grpcgo")
    process = await asyncio.create_subprocess_exec(
        *(str(program), *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        _pipe(process.stdin).close()
        await process.wait()


def _pipe(stream: Any) -> Any:
    """The three pipes are there: we asked for them."""
    assert stream is not None
    return stream
