# SPDX-License-Identifier: Apache-2.0
"""An ADS server with a generator of the test's choosing, and grpcio clients that ask it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh.clock import SystemClock
from upstream.ads import DELTA_PATH, SOTW_PATH, Ads
from upstream.auth import Authenticator
from upstream.connections import Connection, Connections
from upstream.envelope import Piece
from upstream.gate import Gate
from upstream.metrics import Metrics
from upstream.queue import PushRequest, Reason, request
from upstream.ratelimit import Bucket
from upstream.snapshot import Snapshot, Versions
from upstream.watch import BY_NAME
from upstream.world import World
from wire.h2io import Server
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Node,
)

NODE_ID = "sidecar~10.0.0.1~client.demo~demo.svc.cluster.local"
SOON = 10.0
AIO: Any = grpc.aio
"""Its stubs know neither EOF nor calls without an iterator."""

Ask = TypeVar("Ask", DiscoveryRequest, DeltaDiscoveryRequest)
Told = TypeVar("Told", DiscoveryResponse, DeltaDiscoveryResponse)


def node(**metadata: str) -> Node:
    """The node of a sidecar in namespace demo."""
    made = Node(id=NODE_ID)
    made.metadata.update({"NAMESPACE": "demo", **metadata})
    return made


def piece(name: str, content: str = "") -> Piece:
    """A resource that says no more than its name and content."""
    box = AnyMessage(type_url="test/thing", value=f"{name}={content}".encode())
    return Piece(name, box.SerializeToString())


class Rig:
    """Resources by type, which tests change and then push."""

    def __init__(self, *, throttle: int = 4) -> None:
        self.resources: dict[str, dict[str, str]] = {}
        self.connections = Connections()
        self.metrics = Metrics()
        self._versions = Versions()
        self.snapshot: Snapshot | None = None
        self.publish()
        self.ads = Ads(
            current=lambda: self.snapshot,
            generate=self.generate,
            connections=self.connections,
            metrics=self.metrics,
            clock=SystemClock(),
            throttle=throttle,
        )

    def generate(
        self,
        type_url: str,
        _connection: Connection,
        _snapshot: Snapshot,
        names: frozenset[str] | None,
    ) -> list[Piece] | None:
        """Everything of wildcard types; what is asked of others, unknown names empty."""
        known = self.resources.get(type_url)
        if known is None:
            return None
        if type_url in BY_NAME:
            return [piece(name, known.get(name, "")) for name in sorted(names or ())]
        return [piece(name, content) for name, content in known.items()]

    def publish(self) -> None:
        self.snapshot = Snapshot(version=self._versions.next(0.0), world=World())

    def push(self, wish: PushRequest | None = None) -> None:
        """Publish what ``resources`` hold now to everyone."""
        self.publish()
        self.connections.push(wish or request(None, Reason.CONFIG, now=0.0, forced=True))

    def gate(self, authenticator: Authenticator | None = None, rate: float = 1000.0) -> Gate:
        return Gate(authenticator, check_identity=True, bucket=Bucket(rate), clock=SystemClock())


@asynccontextmanager
async def serving(server: Server, **bind: Any) -> AsyncIterator[int]:
    """The server on a free port of loopback."""
    port = await server.bind_tcp("127.0.0.1", 0, **bind)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve(), name="server")
        try:
            yield port
        finally:
            task.cancel()


class Client(Generic[Ask, Told]):
    """One grpcio stream."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._reading: asyncio.Task[Any] | None = None

    async def send(self, message: Ask) -> None:
        async with asyncio.timeout(SOON):
            await self.stream.write(message)

    def _read(self) -> asyncio.Task[Any]:
        # One read at a time, and never cancelled: grpcio would cancel the whole call.
        if self._reading is None:
            self._reading = asyncio.ensure_future(self.stream.read())  # noqa: TID251  awaited by whoever comes
        return self._reading

    async def receive(self) -> Told:
        async with asyncio.timeout(SOON):
            got = await asyncio.shield(self._read())
        self._reading = None
        assert got is not AIO.EOF
        return cast("Told", got)

    async def silent(self, seconds: float = 0.2) -> None:
        """Nothing arrives for a while."""
        done, _ = await asyncio.wait({self._read()}, timeout=seconds)
        assert not done, self._read().result()

    async def close(self) -> None:
        """End our side; everything that the server still says is thrown away."""
        self.stream.cancel()
        if self._reading is not None:
            await asyncio.wait({self._reading})


def sotw(
    channel: grpc.aio.Channel, metadata: Mapping[str, str] | None = None
) -> Client[DiscoveryRequest, DiscoveryResponse]:
    method: Any = channel.stream_stream(
        SOTW_PATH,
        request_serializer=DiscoveryRequest.SerializeToString,
        response_deserializer=DiscoveryResponse.FromString,
    )
    return Client(method(metadata=tuple((metadata or {}).items())))


def delta(
    channel: grpc.aio.Channel, metadata: Mapping[str, str] | None = None
) -> Client[DeltaDiscoveryRequest, DeltaDiscoveryResponse]:
    method: Any = channel.stream_stream(
        DELTA_PATH,
        request_serializer=DeltaDiscoveryRequest.SerializeToString,
        response_deserializer=DeltaDiscoveryResponse.FromString,
    )
    return Client(method(metadata=tuple((metadata or {}).items())))


def values(response: DiscoveryResponse | DeltaDiscoveryResponse) -> list[str]:
    """What the resources say: ``name=content``."""
    if isinstance(response, DiscoveryResponse):
        return [one.value.decode() for one in response.resources]
    return [one.resource.value.decode() for one in response.resources]
