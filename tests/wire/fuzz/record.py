# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.wire.fuzz.record``: writes the seeds again: conversations of real programs, and the faults of ``faults``.

grpcio talks to grpcio through a tap that keeps what both say, and Envoy to a small server of ADS and SDS. What a client said
is a seed of ``server``, what a server said one of ``client``; their header blocks and messages are seeds too.
Files ``found-*`` are not touched. Recordings differ from run to run in what grpcio and Envoy choose.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage

from tests.support.envoy import find_envoy
from tests.support.fakeads import resource
from tests.support.grpcio import grpc
from tests.wire.fuzz import faults
from tests.wire.fuzz.machine import CONTROL
from tests.wire.fuzz.targets import CORPUS
from tests.wire.fuzz.written import PREFACE, raw_frames
from wire import types
from wire.h2 import frames
from wire.proto.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse, Resource

LONGEST = 4096
DONE = b"done"


class Tap:
    """Stands between a client and a server on unix sockets and keeps each side's bytes, connection by connection."""

    def __init__(self, path: str, server: str) -> None:
        self.path = path
        self.said: list[tuple[bytearray, bytearray]] = []
        self._server = server

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._server)
        up, down = bytearray(), bytearray()
        self.said.append((up, down))
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(reader, back, up))
            group.create_task(_carry(there, writer, down))


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            kept += data
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def tapped(folder: Path) -> AsyncIterator[Tap]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Services(),))
    server.add_insecure_port(f"unix:{folder}/server")
    await server.start()
    tap = Tap(f"{folder}/tap", f"{folder}/server")
    listener = await asyncio.start_unix_server(tap.accept, tap.path)
    try:
        yield tap
    finally:
        listener.close()
        await server.stop(None)


class Services(grpc.GenericRpcHandler):  # type: ignore[misc]  # untyped here
    """Methods by name: what comes back depends on it, and on nothing else."""

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(
            {"/s/Many": self.many, "/s/Refuse": self.refuse}.get(details.method, self.answer)
        )

    async def answer(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for message in requests:
            yield message

    async def many(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("x-name", "value"), ("x-bytes-bin", b"\0\1")))
        async for _ in requests:
            for size in (0, 1, 100, 1000):
                yield b"m" * size
        context.set_trailing_metadata((("x-last", "word"),))

    async def refuse(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await context.abort(grpc.StatusCode.NOT_FOUND, "100 % überall nicht")
        yield b""


async def echo(channel: Any) -> None:
    """Three calls at once, two messages each."""
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(_talk(channel, "/s/Echo", [b"a" * 10 * number, b"b"]))


async def many(channel: Any) -> None:
    await _talk(channel, "/s/Many", [b"go", b"on"], metadata=(("authorization", "Bearer t"),))


async def refuse(channel: Any) -> None:
    for _ in range(2):
        await _talk(channel, "/s/Refuse", [b"x"])


async def cancel(channel: Any) -> None:
    for _ in range(2):
        call = channel.stream_stream("/s/Echo")(timeout=20)
        await call.write(b"x" * 200)
        await call.read()
        call.cancel()
    await _talk(channel, "/s/Echo", [b"y"])


async def _talk(
    channel: Any, method: str, messages: list[bytes], metadata: tuple[tuple[str, str], ...] = ()
) -> None:
    call = channel.stream_stream(method)(iter(messages), timeout=20, metadata=metadata)
    with suppress(grpc.aio.AioRpcError):
        async for _ in call:
            pass


CONVERSATIONS: dict[str, Callable[[Any], Awaitable[None]]] = {
    "echo": echo,
    "many": many,
    "refuse": refuse,
    "cancel": cancel,
}


async def record_grpcio() -> dict[str, tuple[bytes, bytes]]:
    found = {}
    for name, talk in CONVERSATIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            async with tapped(Path(folder)) as tap:
                async with grpc.aio.insecure_channel(f"unix:{tap.path}") as channel:
                    await talk(channel)
                up, down = tap.said[0]
                found[f"grpcio-{name}"] = bytes(up), bytes(down)
    return found


# ---- Envoy ----


class Discovery(grpc.GenericRpcHandler):  # type: ignore[misc]  # untyped here
    """Answers the first request of each type with nothing, or with a cluster; later ones are acknowledgements."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()

    def service(self, details: Any) -> Any:
        delta = details.method == types.DELTA_AGGREGATED
        return grpc.stream_stream_rpc_method_handler(self.delta if delta else self.sotw)

    async def sotw(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        for type_url in (types.CLUSTER, types.LISTENER):
            await anext(requests)
            yield sotw_response(type_url).SerializeToString()
        await anext(requests)
        self.answered.set()
        await asyncio.sleep(60)  # ends with the connection

    async def delta(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        for type_url in (types.CLUSTER, types.LISTENER):
            await anext(requests)
            yield delta_response(type_url).SerializeToString()
        await anext(requests)
        self.answered.set()
        await asyncio.sleep(60)  # ends with the connection


def sotw_response(type_url: types.TypeUrl) -> DiscoveryResponse:
    named = [cluster("one")] if type_url == types.CLUSTER else []
    return DiscoveryResponse(version_info="1", nonce="n1", type_url=type_url, resources=named)


def delta_response(type_url: types.TypeUrl) -> DeltaDiscoveryResponse:
    named = [Resource(name="one", version="1", resource=cluster("one"))]
    return DeltaDiscoveryResponse(
        nonce="n1", type_url=type_url, resources=named if type_url == types.CLUSTER else []
    )


def cluster(name: str) -> AnyMessage:
    return resource(types.CLUSTER, name)


def bootstrap(socket: str, kind: str) -> dict[str, Any]:
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {
        "@type": f"type.googleapis.com/{protocol}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    ads: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": "sidecar~127.0.0.1~a.b~b.svc.cluster.local", "cluster": "a.b"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": kind,
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "lds_config": ads,
            "cds_config": ads,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "typed_extension_protocol_options": {protocol: options},
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [{"lb_endpoints": [endpoint]}],
                    },
                }
            ]
        },
    }


async def record_envoy(kind: str) -> tuple[bytes, bytes]:
    """What Envoy and a server of grpcio say to each other until Envoy has acknowledged something."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, service = grpc.aio.server(), Discovery()
        server.add_generic_rpc_handlers((service,))
        server.add_insecure_port(f"unix:{folder}/server")
        await server.start()
        tap = Tap(f"{folder}/tap", f"{folder}/server")
        listener = await asyncio.start_unix_server(tap.accept, tap.path)
        (folder / "envoy.json").write_text(json.dumps(bootstrap(tap.path, kind)))
        argv = ["-c", "envoy.json", "--concurrency", "1", "--use-dynamic-base-id", "-l", "off"]
        process = await asyncio.create_subprocess_exec(find_envoy(), *argv, cwd=folder)
        try:
            async with asyncio.timeout(60):
                await service.answered.wait()
        finally:
            process.kill()
            await process.wait()
            listener.close()
            await server.stop(None)
        up, down = tap.said[0]
        return bytes(up), bytes(down)


# ---- seeds ----


def write(target: str, name: str, data: bytes) -> None:
    (CORPUS / target / name).write_bytes(data)


def write_conversation(name: str, up: bytes, down: bytes) -> None:
    """Passive and acting owners; what both said is also cut into blocks and messages."""
    for control in (bytes(CONTROL), b"\1\7\2\0\1\4\1\2"):
        kind = "acting" if control[0] else "passive"
        write("server", f"recorded-{name}-{kind}", (control + up)[:LONGEST])
        write("client", f"recorded-{name}-{kind}", (control + down)[:LONGEST])
    for side, said in (("client", up), ("server", down)):
        write("blocks", f"recorded-{name}-{side}", _blocks(said))
        write("messages", f"recorded-{name}-{side}", b"\xff\3" + _body(said)[:LONGEST])


def _blocks(said: bytes) -> bytes:
    found = b""
    for kind, flags, _, payload in raw_frames(said.removeprefix(PREFACE)):
        if kind == frames.HEADERS and not flags & (frames.PADDED | frames.PRIORITIZED):
            assert len(payload) < 512
            found += (
                bytes([1 << 6, len(payload) >> 1])
                if len(payload) > 255
                else bytes([0, len(payload)])
            )
            found += payload
    return found


def _body(said: bytes) -> bytes:
    """The DATA of one stream."""
    row = [each for each in raw_frames(said.removeprefix(PREFACE)) if each[0] == frames.DATA]
    return b"".join(payload for _, _, stream, payload in row if stream == row[0][2])


def write_faults() -> None:
    for target, name, data in faults.all_of_them():
        write(target, f"fault-{name}", data)


async def main() -> int:
    for target in CORPUS.iterdir():
        for pattern in ("recorded-*", "fault-*"):
            for old in target.glob(pattern):
                old.unlink()
    for name, (up, down) in (await record_grpcio()).items():
        write_conversation(name, up, down)
    for kind in ("GRPC", "DELTA_GRPC"):
        write_conversation(f"envoy-{kind.lower()}", *await record_envoy(kind))
    write_faults()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
