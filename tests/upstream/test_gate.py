# SPDX-License-Identifier: Apache-2.0
"""Streams over TLS as grpcio opens them: by token, by certificate, as somebody else, too many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest

from mesh.clock import SystemClock
from tests.upstream.authority import csr, new_key, root
from tests.upstream.rig import Rig, delta, node, sotw, values
from tests.upstream.rig import serving as served
from upstream import tokens
from upstream.auth import Authenticator
from upstream.ca.authority import Authority, Limits, issue, key_pem, serving
from upstream.issuers import KnownKeys
from upstream.watch import CDS
from wire.h2io import Server
from wire.h2io.tls import server_context
from wire.proto.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest

CLOCK = SystemClock()
SIGNING = tokens.development_key(tokens.new_development_key())
CLIENT = "spiffe://cluster.local/ns/demo/sa/client"


@dataclass(frozen=True)
class Secure:
    rig: Rig
    authority: Authority
    port: int

    @asynccontextmanager
    async def channel(
        self, key: bytes | None = None, chain: bytes | None = None
    ) -> AsyncIterator[grpc.aio.Channel]:
        credentials = grpc.ssl_channel_credentials(self.authority.roots_pem.encode(), key, chain)
        async with grpc.aio.secure_channel(f"localhost:{self.port}", credentials) as channel:
            yield channel


@pytest.fixture
async def secure() -> AsyncIterator[Secure]:
    rig = Rig()
    rig.resources = {CDS: {"c1": "1"}}
    authority = root(CLOCK.now())

    keys = KnownKeys(tokens.development_issuer(SIGNING, ["istio-ca"]))
    gate = rig.gate(Authenticator([keys], lambda: "cluster.local"))
    own = new_key()
    chain = serving(authority, own.public_key(), ["localhost"], life=3600, now=CLOCK.now())
    context = server_context(
        chain=chain.encode(), key=key_pem(own), client_roots=authority.roots_pem.encode()
    )
    async with served(Server(rig.ads.routes(gate)), tls=context) as port:
        yield Secure(rig, authority, port)


def bearer(account: str = "client", ttl: float = 60.0) -> dict[str, str]:
    token = tokens.development_token(
        SIGNING,
        tokens.ServiceAccount("demo", account),
        audience="istio-ca",
        ttl=ttl,
        now=CLOCK.now(),
    )
    return {"authorization": f"Bearer {token}"}


async def test_by_token(secure: Secure) -> None:
    async with secure.channel() as channel:
        client = delta(channel, bearer())
        await client.send(DeltaDiscoveryRequest(type_url=CDS, node=node(SERVICE_ACCOUNT="client")))
        assert values(await client.receive()) == ["c1=1"]
        (connection,) = secure.rig.connections
        assert connection.identity == CLIENT


async def test_by_certificate(secure: Secure) -> None:
    key = new_key()
    limits = Limits(default=60, longest=60)
    chain = issue(secure.authority, csr(key), [CLIENT], 60, limits=limits, now=CLOCK.now())
    async with secure.channel(key_pem(key), chain[0].encode()) as channel:
        client = sotw(channel)
        await client.send(DiscoveryRequest(type_url=CDS, node=node()))
        assert values(await client.receive()) == ["c1=1"]


@pytest.mark.parametrize("metadata", [{}, {"authorization": "Bearer x"}, bearer(ttl=-1)])
async def test_stranger(secure: Secure, metadata: dict[str, str]) -> None:
    async with secure.channel() as channel:
        client = sotw(channel, metadata)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.stream.read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert caught.value.details() == "authentication failure"


@pytest.mark.parametrize("claims", [{"NAMESPACE": "other"}, {"SERVICE_ACCOUNT": "somebody-else"}])
async def test_node_that_says_it_is_another(secure: Secure, claims: dict[str, str]) -> None:
    async with secure.channel() as channel:
        client = sotw(channel, bearer())
        await client.send(DiscoveryRequest(type_url=CDS, node=node(**claims)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.stream.read()
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "authorization failed: " in str(caught.value.details())
    assert len(secure.rig.connections) == 0


async def test_too_many_at_once() -> None:
    rig = Rig()
    rig.resources = {CDS: {"c1": "1"}}
    gate = rig.gate(rate=0.001)
    async with (
        served(Server(rig.ads.routes(gate))) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        first = sotw(channel)
        await first.send(DiscoveryRequest(type_url=CDS, node=node()))
        assert values(await first.receive()) == ["c1=1"]
        second = sotw(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await second.stream.read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
