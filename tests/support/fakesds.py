# SPDX-License-Identifier: Apache-2.0
"""Another SDS server on the workload socket, as SPIRE's agent would be: grpcio and Envoy's own messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2

from tests.support.grpcio import grpc
from tests.support.testca import Leaf

METHOD = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"


class FakeSds(grpc.GenericRpcHandler):  # type: ignore[misc]  # untyped on purpose
    """Serves ``leaf`` as ``default`` and its root as ``ROOTCA``; ``put`` pushes another to every stream."""

    def __init__(self, leaf: Leaf) -> None:
        self.nodes: set[str] = set()
        self._leaf = leaf
        self._version = 1
        self._changed = asyncio.Condition()

    async def put(self, leaf: Leaf) -> None:
        async with self._changed:
            self._leaf, self._version = leaf, self._version + 1
            self._changed.notify_all()

    def service(self, details: Any) -> object:
        if details.method != METHOD:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=discovery_pb2.DiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DiscoveryResponse.SerializeToString,
        )

    async def _stream(self, requests: AsyncIterator[Any], _: Any) -> AsyncIterator[Any]:
        first = await anext(requests)
        self.nodes.add(first.node.id)
        while True:
            version = self._version
            yield self._response(list(first.resource_names))
            async with self._changed:
                while self._version == version:
                    await self._changed.wait()

    def _response(self, names: list[str]) -> Any:
        response = discovery_pb2.DiscoveryResponse(
            version_info=str(self._version), nonce=str(self._version)
        )
        for name in names:
            response.resources.add().Pack(self._secret(name))
        response.type_url = response.resources[0].type_url
        return response

    def _secret(self, name: str) -> Any:
        secret = secret_pb2.Secret(name=name)
        if name == "ROOTCA":
            secret.validation_context.trusted_ca.inline_bytes = self._leaf.root
        else:
            secret.tls_certificate.certificate_chain.inline_bytes = self._leaf.chain
            secret.tls_certificate.private_key.inline_bytes = self._leaf.key
        return secret


@asynccontextmanager
async def serving_sds(fake: FakeSds, path: Path) -> AsyncIterator[None]:
    """``fake`` listens on the unix socket ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((fake,))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)
