# SPDX-License-Identifier: Apache-2.0
"""An SDS client built with grpcio: the witness that drives our service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from wire.proto.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from wire.proto.secret_pb2 import Secret

SERVICE = "/envoy.service.secret.v3.SecretDiscoveryService/"
TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
DEADLINE = 20.0


class SdsStream:
    """One StreamSecrets call."""

    def __init__(self, call: Any) -> None:  # grpc-stubs lack EOF and calls without an iterator
        self._call = call
        self.nonce = ""
        self.version = ""

    async def send(
        self,
        names: Sequence[str],
        *,
        nonce: str = "",
        version: str = "",
        error: str = "",
        node: str = "sidecar~127.0.0.1~a.b~b.svc.cluster.local",
    ) -> None:
        request = DiscoveryRequest(
            resource_names=names, type_url=TYPE, response_nonce=nonce, version_info=version
        )
        if node:
            request.node.id = node
        if error:
            request.error_detail.message = error
        await self._call.write(request)

    async def receive(self) -> dict[str, Secret]:
        """The secrets of the next response, by name. Raises grpc.aio.AioRpcError."""
        async with asyncio.timeout(DEADLINE):
            response = await self._call.read()
            if not isinstance(response, DiscoveryResponse):
                code = await self._call.code()
                raise EndOfStream(code, await self._call.details())
        assert response.type_url == TYPE
        assert {resource.type_url for resource in response.resources} == {TYPE}
        self.nonce, self.version = response.nonce, response.version_info
        secrets = [Secret.FromString(resource.value) for resource in response.resources]
        return {secret.name: secret for secret in secrets}

    async def ack(self, names: Sequence[str]) -> None:
        await self.send(names, nonce=self.nonce, version=self.version)

    async def ask(self, *names: str) -> dict[str, Secret]:
        """Request, receive, acknowledge."""
        await self.send(names)
        found = await self.receive()
        await self.ack(names)
        return found

    async def error(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ends."""
        async with asyncio.timeout(DEADLINE):
            code = await self._call.code()
            return code, str(await self._call.details())

    async def end(self) -> grpc.StatusCode:
        """Half-close and wait for the status."""
        await self._call.done_writing()
        return (await self.error())[0]


class EndOfStream(Exception):
    """A response was awaited and the stream ended."""


@asynccontextmanager
async def channel(path: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"unix:{path}") as made:
        yield made


def open_stream(made: grpc.aio.Channel, method: str = "StreamSecrets") -> SdsStream:
    open_call: Any = made.stream_stream(
        SERVICE + method,
        request_serializer=DiscoveryRequest.SerializeToString,
        response_deserializer=DiscoveryResponse.FromString,
    )
    return SdsStream(open_call())
