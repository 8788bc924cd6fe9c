# SPDX-License-Identifier: Apache-2.0
"""A control plane built with grpcio: answers each request from ``resources``, pushes on demand, can fail.

It decides nothing by protocol rules of ours: a request without a nonce, or with new names, is
answered; everything seen is kept for the test to look at.
"""

from __future__ import annotations

import asyncio
import typing
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from google.protobuf import any_pb2

from tests.support.grpc_running import UNBOUNDED
from tests.support.grpcio import grpc
from wire import types
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Resource,
)
from wire.types import TypeUrl

ServicerContext = typing.Any
Request = DiscoveryRequest | DeltaDiscoveryRequest
Response = DiscoveryResponse | DeltaDiscoveryResponse


def resource(type_url: TypeUrl, name: str, size: int = 0) -> any_pb2.Any:
    """An Any whose message has ``name`` as field 1 and ``size`` bytes of filling as field 15."""
    raw = name.encode()
    body = b"\x0a" + _varint(len(raw)) + raw
    if size:
        body += b"\x7a" + _varint(size) + b"f" * size
    return any_pb2.Any(type_url=type_url, value=body)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(slots=True)
class Stream:
    """One stream that somebody opened."""

    delta: bool
    metadata: dict[str, str]
    requests: list[Request] = field(default_factory=list)
    out: asyncio.Queue[typing.Any] = field(default_factory=asyncio.Queue)
    closed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class FakeAds:
    """``resources``: what is answered, by type and name, with a version."""

    resources: dict[TypeUrl, dict[str, any_pb2.Any]] = field(default_factory=dict)
    version: str = "1"
    streams: list[Stream] = field(default_factory=list)
    refuse: typing.Any = None
    silent: bool = False
    target: str = ""
    _sent: int = 0
    stop: Callable[[], object] | None = None

    def put(self, type_url: TypeUrl, *names: str, size: int = 0) -> None:
        self.resources[type_url] = {name: resource(type_url, name, size) for name in names}

    def sotw(self, type_url: TypeUrl, names: list[str] | None = None) -> DiscoveryResponse:
        self._sent += 1
        found = self.resources.get(type_url, {})
        picked = [one for name, one in found.items() if not names or name in names]
        return DiscoveryResponse(
            version_info=self.version, resources=picked, type_url=type_url, nonce=f"n{self._sent}"
        )

    def delta(self, type_url: TypeUrl, names: list[str] | None = None) -> DeltaDiscoveryResponse:
        self._sent += 1
        found = self.resources.get(type_url, {})
        picked = [
            Resource(name=name, version=self.version, resource=one)
            for name, one in found.items()
            if not names or "*" in names or name in names
        ]
        return DeltaDiscoveryResponse(
            system_version_info=self.version,
            resources=picked,
            type_url=type_url,
            nonce=f"n{self._sent}",
        )

    async def push(self, type_url: TypeUrl) -> str:
        """Push a type on the newest stream. Gives the nonce."""
        stream = self.streams[-1]
        response = self.delta(type_url) if stream.delta else self.sotw(type_url)
        await stream.out.put(response)
        return response.nonce

    # ---- grpcio's side ----

    async def stream_sotw(
        self,
        requests: AsyncIterator[DiscoveryRequest],
        context: ServicerContext,
    ) -> AsyncIterator[DiscoveryResponse]:
        async for response in self._serve(requests, context, delta=False):
            assert isinstance(response, DiscoveryResponse)
            yield response

    async def stream_delta(
        self,
        requests: AsyncIterator[DeltaDiscoveryRequest],
        context: ServicerContext,
    ) -> AsyncIterator[DeltaDiscoveryResponse]:
        async for response in self._serve(requests, context, delta=True):
            assert isinstance(response, DeltaDiscoveryResponse)
            yield response

    async def _serve(
        self,
        requests: AsyncIterator[DiscoveryRequest] | AsyncIterator[DeltaDiscoveryRequest],
        context: ServicerContext,
        *,
        delta: bool,
    ) -> AsyncIterator[Response]:
        metadata = {name: str(value) for name, value in context.invocation_metadata() or ()}
        stream = Stream(delta, metadata)
        self.streams.append(stream)
        if self.refuse is not None:
            await context.abort(self.refuse, "refused by the test")
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read(stream, requests))
                while (item := await stream.out.get()) is not None:
                    if isinstance(item, grpc.StatusCode):
                        await context.abort(item, "ended by the test")
                    else:
                        yield item
                reader.cancel()
        finally:
            stream.closed.set()

    async def _read(
        self,
        stream: Stream,
        requests: AsyncIterator[DiscoveryRequest] | AsyncIterator[DeltaDiscoveryRequest],
    ) -> None:
        seen: dict[str, list[str]] = {}
        async for request in requests:
            stream.requests.append(request)
            type_url = TypeUrl(request.type_url)
            if self.silent or type_url not in self.resources:
                continue
            if isinstance(request, DiscoveryRequest):
                names = list(request.resource_names)
                if not request.response_nonce or names != seen.get(type_url):
                    await stream.out.put(self.sotw(type_url, names))
                seen[type_url] = names
            elif not request.response_nonce or request.resource_names_subscribe:
                await stream.out.put(self.delta(type_url, list(request.resource_names_subscribe)))
        await stream.out.put(None)

    def requests_of(self, type_url: TypeUrl) -> list[Request]:
        return [
            request
            for stream in self.streams
            for request in stream.requests
            if request.type_url == type_url
        ]


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # untyped on purpose
    def __init__(self, ads: FakeAds) -> None:
        self._ads = ads

    def service(self, details: grpc.HandlerCallDetails) -> object:
        if details.method == types.STREAM_AGGREGATED:
            return grpc.stream_stream_rpc_method_handler(
                self._ads.stream_sotw,
                request_deserializer=DiscoveryRequest.FromString,
                response_serializer=DiscoveryResponse.SerializeToString,
            )
        if details.method == types.DELTA_AGGREGATED:
            return grpc.stream_stream_rpc_method_handler(
                self._ads.stream_delta,
                request_deserializer=DeltaDiscoveryRequest.FromString,
                response_serializer=DeltaDiscoveryResponse.SerializeToString,
            )
        return None


@asynccontextmanager
async def fake_ads(
    ads: FakeAds, *, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[FakeAds]:
    """Run ``ads`` on loopback; ``ads.target`` is its address."""
    server = grpc.aio.server(options=[*UNBOUNDED, ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((_Handler(ads),))
    address = f"127.0.0.1:{port}"
    bound = (
        server.add_secure_port(address, credentials)
        if credentials
        else server.add_insecure_port(address)
    )
    await server.start()
    ads.target = f"127.0.0.1:{bound}"
    try:
        yield ads
    finally:
        await server.stop(None)
