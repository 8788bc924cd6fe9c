# SPDX-License-Identifier: Apache-2.0
"""A real Envoy as client of our ADS and SDS over everything that carries bytes; it takes a cluster and that cluster's secret.

What else Envoy and this layer do together: ``tests/agent/test_app.py`` and ``tests/agent/envoy`` (ADS and SDS of the
agent, on its unix sockets), ``tests/sdsserver/envoy`` (secrets under load), ``tests/upstream/test_app_envoy.py`` (ADS of
the control plane over TCP, both variants).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import ParseDict

from tests.support.envoy import find_envoy
from tests.support.grpc_running import serving
from tests.support.testca import CA
from tests.wire.witness.ends import CLIENT_ID, Transport, Wire, spiffe_id, until, wire
from tests.wire.witness.pairs import MEETINGS
from wire.h2io import ServerCall
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from wire.proto.secret_pb2 import Secret

pytestmark = pytest.mark.envoy

SOTW = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
DELTA = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
SECRETS = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
CLUSTER_TYPE = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
SECRET_TYPE = f"type.googleapis.com/{tls_pb2.DESCRIPTOR.package}.Secret"
TLS_TYPE = f"type.googleapis.com/{tls_pb2.DESCRIPTOR.package}.UpstreamTlsContext"
HTTP_TYPE = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
GRPC = {
    "api_type": "GRPC",
    "transport_api_version": "V3",
    "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
}


class Plane:
    """Answers once for each type, and waits for the acknowledgement."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.refused: list[str] = []
        self.identities: set[str] = set()

    async def state_of_the_world(self, call: ServerCall) -> None:
        self.identities.add(spiffe_id(call.peer.certificate))
        async for message in call:
            asked = DiscoveryRequest.FromString(message)
            if self._is_reply(asked.response_nonce, asked.type_url, asked.error_detail.message):
                continue
            boxes = [value] if (value := RESOURCES.get(asked.type_url)) else []
            said = DiscoveryResponse(
                version_info="1", nonce="1", type_url=asked.type_url, resources=boxes
            )
            await call.send(said.SerializeToString())

    async def delta(self, call: ServerCall) -> None:
        self.identities.add(spiffe_id(call.peer.certificate))
        async for message in call:
            asked = DeltaDiscoveryRequest.FromString(message)
            if self._is_reply(asked.response_nonce, asked.type_url, asked.error_detail.message):
                continue
            said = DeltaDiscoveryResponse(
                system_version_info="1", nonce="1", type_url=asked.type_url
            )
            if value := RESOURCES.get(asked.type_url):
                said.resources.add(name="service", version="1", resource=value)
            await call.send(said.SerializeToString())

    def _is_reply(self, nonce: str, type_url: str, fault: str) -> bool:
        if nonce and fault:
            self.refused.append(fault)
        elif nonce:
            self.acknowledged.add(type_url)
        return bool(nonce)


def _secret() -> bytes:
    leaf = CA().issue(CLIENT_ID)
    secret = Secret(name="service")
    secret.tls_certificate.certificate_chain.inline_bytes = leaf.chain
    secret.tls_certificate.private_key.inline_bytes = leaf.key
    return secret.SerializeToString()


def _cluster() -> bytes:
    """Its certificate comes from the secret service."""
    source = {"api_config_source": GRPC, "resource_api_version": "V3"}
    secrets = [{"name": "service", "sds_config": source}]
    socket = {
        "@type": TLS_TYPE,
        "common_tls_context": {"tls_certificate_sds_secret_configs": secrets},
    }
    fields = {"name": "service", "transport_socket": {"name": "tls", "typed_config": socket}}
    return bytes(ParseDict(fields, Cluster()).SerializeToString())


RESOURCES = {
    CLUSTER_TYPE: AnyMessage(type_url=CLUSTER_TYPE, value=_cluster()),
    SECRET_TYPE: AnyMessage(type_url=SECRET_TYPE, value=_secret()),
}


def bootstrap(meeting: Wire, target: str, api: str) -> dict[str, Any]:
    ads = GRPC | {"api_type": api}
    return {
        "node": {"id": "sidecar~127.0.0.1~a.b~b.svc.cluster.local", "cluster": "a"},
        "dynamic_resources": {
            "ads_config": ads,
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [_plane_cluster(meeting, target)]},
    }


def _plane_cluster(meeting: Wire, target: str) -> dict[str, Any]:
    address: dict[str, Any] = {"pipe": {"path": target.removeprefix("unix:")}}
    if meeting.transport is not Transport.UNIX:
        host, port = target.split(":")
        address = {"socket_address": {"address": host, "port_value": int(port)}}
    http2: dict[str, Any] = {"explicit_http_config": {"http2_protocol_options": {}}}
    found: dict[str, Any] = {
        "name": "xds",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            HTTP_TYPE: {"@type": f"type.googleapis.com/{HTTP_TYPE}"} | http2
        },
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if meeting.transport.tls:
        found["transport_socket"] = {"name": "tls", "typed_config": _tls(meeting)}
    return found


def _tls(meeting: Wire) -> dict[str, Any]:
    assert meeting.server is not None
    version = "TLSv1_2" if meeting.transport is Transport.TLS12 else "TLSv1_3"
    common: dict[str, Any] = {
        "tls_params": {
            "tls_minimum_protocol_version": version,
            "tls_maximum_protocol_version": version,
        },
        "alpn_protocols": ["h2"],
        "validation_context": {"trusted_ca": {"inline_string": meeting.server.root.decode()}},
    }
    if meeting.client is not None:
        chain, key = meeting.client.chain.decode(), meeting.client.key.decode()
        pair = {
            "certificate_chain": {"inline_string": chain},
            "private_key": {"inline_string": key},
        }
        common["tls_certificates"] = [pair]
    return {"@type": TLS_TYPE, "sni": "localhost", "common_tls_context": common}


@asynccontextmanager
async def envoy(home: Path, config: dict[str, Any]) -> AsyncIterator[None]:
    (home / "envoy.json").write_text(json.dumps(config))
    argv = ["-c", "envoy.json", "--concurrency", "1", "--use-dynamic-base-id", "-l", "warn"]
    with (home / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            find_envoy(), *argv, cwd=home, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.kill()
            await process.wait()
            print((home / "envoy.log").read_text())


@pytest.mark.parametrize("api", ["DELTA_GRPC", "GRPC"])
@pytest.mark.parametrize(("transport", "certificate"), MEETINGS)
async def test_envoy_takes_a_cluster_and_its_secret(
    short_tmp: Path, transport: Transport, certificate: bool, api: str
) -> None:
    meeting = wire(transport, short_tmp, certificate=certificate)
    plane = Plane()
    routes = {SOTW: plane.state_of_the_world, DELTA: plane.delta, SECRETS: plane.state_of_the_world}
    unix = str(short_tmp / "xds") if transport is Transport.UNIX else ""
    async with (
        serving(routes, unix=unix, tls=meeting.server_context()) as running,
        envoy(short_tmp, bootstrap(meeting, running.target, api)),
    ):
        await until(lambda: plane.refused or plane.acknowledged >= set(RESOURCES))
    assert not plane.refused
    assert plane.identities == {CLIENT_ID if certificate else ""}
