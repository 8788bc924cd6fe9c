# SPDX-License-Identifier: Apache-2.0
"""Real Envoy takes its certificate from our socket, and every rotation, while it serves."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.clock import SystemClock
from mesh.identity import Identity
from sdsserver import SdsPart, build_sds
from sdsserver.options import CaOptions, CertFiles, KeyOptions, SecretOptions
from sdsserver.x509 import facts_of_der
from tests.support.envoy import find_envoy
from tests.support.fakeca import SERVER_NAME, FakeCa

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
HTTP = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def sds(name: str) -> dict[str, Any]:
    grpc = {"envoy_grpc": {"cluster_name": "sds-grpc"}}
    source = {
        "api_config_source": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [grpc],
        },
        "resource_api_version": "V3",
    }
    return {"name": name, "sds_config": source}


def bootstrap(socket: str) -> dict[str, Any]:
    manager = {
        "@type": HTTP,
        "stat_prefix": "in",
        "delayed_close_timeout": "0s",
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                }
            ]
        },
    }
    tls = {
        "@type": TLS,
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [sds("default")],
            "validation_context_sds_secret_config": sds("ROOTCA"),
        },
    }
    loopback = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {
        "node": {"id": "sidecar~127.0.0.1~b.a~a.svc.cluster.local", "cluster": "b"},
        "admin": {"address": loopback},
        "static_resources": {
            "listeners": [
                {
                    "name": "inbound",
                    "address": loopback,
                    "filter_chains": [
                        {
                            "filters": [{"name": "http", "typed_config": manager}],
                            "transport_socket": {"name": "tls", "typed_config": tls},
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "sds-grpc",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": HTTP_OPTIONS,
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "sds-grpc",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {"endpoint": {"address": {"pipe": {"path": socket}}}}
                                ]
                            }
                        ],
                    },
                }
            ],
        },
    }


@asynccontextmanager
async def envoy(tmp: Path, socket: str) -> AsyncIterator[int]:
    """A running Envoy; the port of its inbound listener."""
    (tmp / "bootstrap.json").write_text(json.dumps(bootstrap(socket)))
    with open(tmp / "envoy.log", "wb") as log:
        process = await asyncio.create_subprocess_exec(
            find_envoy(),
            *("-c", str(tmp / "bootstrap.json"), "--concurrency", "1", "--use-dynamic-base-id"),
            *("--admin-address-path", str(tmp / "admin"), "--base-id-path", str(tmp / "base-id")),
            stdout=log,
            stderr=log,
        )
        try:
            yield await listener_port(tmp / "admin")
        finally:
            process.kill()
            await process.wait()


async def listener_port(admin: Path) -> int:
    while True:
        await asyncio.sleep(0.05)
        if not admin.exists() or not (text := admin.read_text()):
            continue
        host, _, port = text.rpartition(":")
        body = await http(host, int(port), "/listeners?format=json")
        document = body[body.find(b"{") : body.rfind(b"}") + 1]  # the answer is chunked
        statuses = json.loads(document or b"{}").get("listener_statuses", [])
        if statuses and b'"LIVE"' in await http(host, int(port), "/server_info"):
            return int(statuses[0]["local_address"]["socket_address"]["port_value"])


async def http(host: str, port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return body


async def served_serial(port: int, context: ssl.SSLContext) -> int:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="b.a"
    )
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return facts_of_der(certificate).serial


def client_context(fake: FakeCa, tmp: Path) -> ssl.SSLContext:
    fake.ca.issue("spiffe://cluster.local/ns/a/sa/client").write(tmp / "client")
    context = ssl.create_default_context(cadata=fake.ca.certificate.decode())
    context.check_hostname = False
    context.load_cert_chain(tmp / "client" / "cert-chain.pem", tmp / "client" / "key.pem")
    return context


def part_for(tmp: Path, fake: FakeCa) -> tuple[SdsPart, SecretOptions]:
    (tmp / "root.pem").write_bytes(fake.ca.certificate)
    options = SecretOptions(
        identity=ME,
        ca=CaOptions(
            address=fake.address, roots=str(tmp / "root.pem"), server_name=SERVER_NAME, token=""
        ),
        socket_dir=str(tmp),
        well_known=CertFiles.in_dir(str(tmp / "none")),
        key=KeyOptions(ec_algorithm="ECDSA"),
    )
    return build_sds(options, SystemClock()), options


@pytest.mark.envoy
async def test_rotation_under_load_fails_no_request(short_tmp: Path) -> None:
    fake = FakeCa(lifetime=4.0)
    async with fake.serve(tls=fake.ca.issue(SERVER_NAME)), asyncio.timeout(120):
        part, options = part_for(short_tmp, fake)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(part.run())
            await part.ready.wait()
            async with envoy(short_tmp, options.socket) as port:
                context = client_context(fake, short_tmp)
                serials: set[int] = set()
                requests = 0
                while len(serials) < 4:
                    serials.add(await served_serial(port, context))
                    requests += 1
                print(f"{requests} handshakes over {len(serials)} certificates, none failed")
            task.cancel()
        assert part.status()["last_error"] == ""
