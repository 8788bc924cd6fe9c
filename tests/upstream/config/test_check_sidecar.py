# SPDX-License-Identifier: Apache-2.0
"""Sidecars that are refused, and for which field."""

from __future__ import annotations

import pytest

from tests.upstream.config.said import faults
from upstream.config import Kind

PORT = "port: {number: 8080, protocol: HTTP, name: http}"
TLS = "port: {number: 8443, protocol: HTTPS, name: https}"
FILES = "serverCertificate: /c, privateKey: /k"


def ingress(text: str) -> str:
    return f"{{ingress: [{{{text}}}]}}"


def egress(*texts: str) -> str:
    return f"{{egress: [{', '.join(f'{{{text}}}' for text in texts)}]}}"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("{}", "spec"),
        (
            "{workloadSelector: {labels: {a: '*'}}, egress: [{hosts: ['*/*']}]}",
            "workloadSelector.labels[a]",
        ),
        (ingress("defaultEndpoint: '127.0.0.1:1'"), "ingress[0].port"),
        (ingress("port: {number: 0, protocol: HTTP, name: h}"), "ingress[0].port.number"),
        (f"{{ingress: [{{{PORT}}}, {{{PORT}}}]}}", "ingress[1].port.number"),
        (ingress(f"{PORT}, bind: x"), "ingress[0].bind"),
        (ingress(f"{PORT}, defaultEndpoint: '127.0.0.1'"), "ingress[0].defaultEndpoint"),
        (ingress(f"{PORT}, defaultEndpoint: '10.0.0.1:80'"), "ingress[0].defaultEndpoint"),
        (ingress(f"{PORT}, defaultEndpoint: 'unix://x'"), "ingress[0].defaultEndpoint"),
        (ingress(f"{PORT}, tls: {{mode: SIMPLE, {FILES}}}"), "ingress[0].tls"),
        (ingress(f"{TLS}, tls: {{mode: SIMPLE}}"), "ingress[0].tls.privateKey"),
        (ingress(f"{TLS}, tls: {{mode: MUTUAL, {FILES}}}"), "ingress[0].tls.caCertificates"),
        (ingress(f"{TLS}, tls: {{mode: ISTIO_MUTUAL}}"), "ingress[0].tls.mode"),
        (
            ingress(f"{TLS}, tls: {{mode: SIMPLE, {FILES}, subjectAltNames: [a]}}"),
            "ingress[0].tls.subjectAltNames",
        ),
        (ingress(f"{PORT}, connectionPool: {{}}"), "ingress[0].connectionPool"),
        (egress("hosts: []"), "egress[0].hosts"),
        (egress("hosts: [a.test]"), "egress[0].hosts[0]"),
        (egress("hosts: ['a/*b.test']"), "egress[0].hosts[0]"),
        (egress("hosts: ['A/b.test']"), "egress[0].hosts[0]"),
        (egress("hosts: ['*/*'], bind: 127.0.0.1"), "egress[0].bind"),
        (egress("hosts: ['*/*']", f"{PORT}, hosts: ['*/*']"), "egress[0].port"),
        (egress(f"{PORT}, hosts: ['*/*']", f"{PORT}, hosts: ['*/*']"), "egress[1].port.number"),
        (egress(f"{PORT}, bind: 'unix://x', hosts: ['*/*']"), "egress[0].bind"),
        (
            egress(*[f"{PORT}, bind: 'unix:///x', hosts: ['*/*']"] * 2),
            "egress[1].bind",
        ),
        (
            egress(f"{PORT}, bind: 'unix:///x', captureMode: IPTABLES, hosts: ['*/*']"),
            "egress[0].captureMode",
        ),
        (
            "{outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: {host: a.test, port: {number: 1}}}}",
            "outboundTrafficPolicy.egressProxy",
        ),
        (
            "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.test}}}",
            "outboundTrafficPolicy.egressProxy.port",
        ),
    ],
)
def test_refused(spec: str, field: str) -> None:
    assert field in faults(Kind.SIDECAR, spec)


@pytest.mark.parametrize(
    "spec",
    [
        ingress(f"{PORT}, bind: 127.0.0.11, captureMode: NONE, defaultEndpoint: '127.0.0.1:1'"),
        ingress(f"{PORT}, defaultEndpoint: '[::1]:1'"),
        ingress(f"{TLS}, tls: {{mode: SIMPLE, {FILES}}}"),
        egress(
            "port: {number: 15007, protocol: HTTP_PROXY, name: p}, bind: 127.0.0.1, hosts: ['./*']",
            "hosts: ['*/*.test', '~/*', 'a/~']",
        ),
        "{inboundConnectionPool: {tcp: {maxConnections: 1}}}",
        "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
    ],
)
def test_taken(spec: str) -> None:
    assert faults(Kind.SIDECAR, spec) == {}
