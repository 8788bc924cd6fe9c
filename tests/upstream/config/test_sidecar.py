# SPDX-License-Identifier: Apache-2.0
"""Every part of a Sidecar is read from its YAML name."""

from __future__ import annotations

from tests.upstream.config.said import spec_of
from upstream.config import Kind
from upstream.config.destination_rule import ConnectionPool, TcpSettings
from upstream.config.shared import NetworkingSelector, Port
from upstream.config.sidecar import (
    CaptureMode,
    Egress,
    Ingress,
    OutboundMode,
    OutboundPolicy,
    ServerTls,
    ServerTlsMode,
    Sidecar,
)

LIMIT = ConnectionPool(tcp=TcpSettings(max_connections=1))


def test_sidecar() -> None:
    assert spec_of(
        Kind.SIDECAR,
        "{workloadSelector: {labels: {app: a}},"
        " ingress: [{port: {number: 8443, protocol: HTTPS, name: h}, bind: 127.0.0.1, captureMode: NONE,"
        " defaultEndpoint: '127.0.0.1:1', connectionPool: {tcp: {maxConnections: 1}},"
        " tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k}}],"
        " egress: [{port: {number: 1, protocol: HTTP_PROXY, name: p}, bind: 127.0.0.1, hosts: ['*/*']}],"
        " outboundTrafficPolicy: {mode: ALLOW_ANY},"
        " inboundConnectionPool: {tcp: {maxConnections: 1}}}",
    ) == Sidecar(
        workload_selector=NetworkingSelector(labels={"app": "a"}),
        ingress=(
            Ingress(
                port=Port(number=8443, protocol="HTTPS", name="h"),
                bind="127.0.0.1",
                capture_mode=CaptureMode.NONE,
                default_endpoint="127.0.0.1:1",
                connection_pool=LIMIT,
                tls=ServerTls(mode=ServerTlsMode.SIMPLE, server_certificate="/c", private_key="/k"),
            ),
        ),
        egress=(
            Egress(
                port=Port(number=1, protocol="HTTP_PROXY", name="p"),
                bind="127.0.0.1",
                hosts=("*/*",),
            ),
        ),
        outbound_traffic_policy=OutboundPolicy(mode=OutboundMode.ALLOW_ANY),
        inbound_connection_pool=LIMIT,
    )
