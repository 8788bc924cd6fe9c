# SPDX-License-Identifier: Apache-2.0
"""DestinationRules that are refused, and for which field."""

from __future__ import annotations

import pytest

from tests.upstream.config.said import faults
from upstream.config import Kind

BALANCER = "trafficPolicy.loadBalancer"
LOCALITY = f"{BALANCER}.localityLbSetting"
MUTUAL = "mode: MUTUAL, clientCertificate: /c, privateKey: /k"


def policy(text: str) -> str:
    return f"{{host: a.test, trafficPolicy: {{{text}}}}}"


def balancer(text: str) -> str:
    return policy(f"loadBalancer: {{{text}}}")


def locality(text: str) -> str:
    return balancer(f"localityLbSetting: {{{text}}}")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("{}", "host"),
        ("{host: a.test, subsets: [{labels: {a: b}}]}", "subsets[0].name"),
        ("{host: a.test, subsets: [{name: V_1}]}", "subsets[0].name"),
        ("{host: a.test, subsets: [{name: a}, {name: a}]}", "subsets[1].name"),
        ("{host: a.test, exportTo: [a, a]}", "exportTo[1]"),
        (
            "{host: a.test, workloadSelector: {matchLabels: {'': a}}}",
            "workloadSelector.matchLabels",
        ),
        (balancer("simple: RANDOM, consistentHash: {useSourceIp: true}"), BALANCER),
        (balancer("consistentHash: {}"), f"{BALANCER}.consistentHash"),
        (
            balancer("consistentHash: {httpCookie: {path: /}}"),
            f"{BALANCER}.consistentHash.httpCookie.name",
        ),
        (balancer("warmup: {minimumPercent: 5}"), f"{BALANCER}.warmup.duration"),
        (
            balancer("warmup: {duration: 1s, minimumPercent: 150}"),
            f"{BALANCER}.warmup.minimumPercent",
        ),
        (balancer("warmup: {duration: 1s, aggression: 0.5}"), f"{BALANCER}.warmup.aggression"),
        (locality("distribute: [{from: a, to: {b: 99}}]"), f"{LOCALITY}.distribute[0].to"),
        (locality("distribute: [{from: 'a/*/b', to: {b: 100}}]"), f"{LOCALITY}.distribute[0].from"),
        (locality("failover: [{from: a, to: a}]"), f"{LOCALITY}.failover[0]"),
        (locality("failover: [{from: a/b, to: c}]"), f"{LOCALITY}.failover[0].from"),
        (
            locality("failover: [{from: a, to: b}], distribute: [{from: a, to: {b: 100}}]"),
            LOCALITY,
        ),
        (policy("connectionPool: {}"), "trafficPolicy.connectionPool"),
        (
            policy("connectionPool: {tcp: {maxConnections: -1}}"),
            "trafficPolicy.connectionPool.tcp.maxConnections",
        ),
        (
            policy("connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}"),
            "trafficPolicy.connectionPool.http.useClientProtocol",
        ),
        (
            policy("outlierDetection: {maxEjectionPercent: 101}"),
            "trafficPolicy.outlierDetection.maxEjectionPercent",
        ),
        (policy("outlierDetection: {interval: 1us}"), "trafficPolicy.outlierDetection.interval"),
        (
            policy("outlierDetection: {consecutiveLocalOriginFailures: 1}"),
            "trafficPolicy.outlierDetection.consecutiveLocalOriginFailures",
        ),
        (policy("tls: {mode: MUTUAL, clientCertificate: /c}"), "trafficPolicy.tls.privateKey"),
        (
            policy("tls: {mode: SIMPLE, credentialName: x, caCertificates: /ca}"),
            "trafficPolicy.tls.credentialName",
        ),
        (
            policy("tls: {mode: SIMPLE, caCertificates: /ca, insecureSkipVerify: true}"),
            "trafficPolicy.tls.insecureSkipVerify",
        ),
        (
            policy("portLevelSettings: [{tls: {mode: DISABLE}}]"),
            "trafficPolicy.portLevelSettings[0].port",
        ),
        (
            policy("portLevelSettings: [{port: {number: 1}}, {port: {number: 1}}]"),
            "trafficPolicy.portLevelSettings[1].port.number",
        ),
        (
            "{host: a.test, subsets: [{name: a, trafficPolicy: {connectionPool: {}}}]}",
            "subsets[0].trafficPolicy.connectionPool",
        ),
    ],
)
def test_refused(spec: str, field: str) -> None:
    assert field in faults(Kind.DESTINATION_RULE, spec)


@pytest.mark.parametrize(
    "spec",
    [
        "{host: '*.test', subsets: [{name: v1, labels: {version: v1}}]}",
        balancer("simple: LEAST_REQUEST, warmup: {duration: 10s, aggression: 1.0}"),
        balancer("consistentHash: {httpCookie: {name: c, ttl: 0s}, maglev: {}}"),
        locality("distribute: [{from: 'a/*', to: {'a/b/*': 70, c: 30}}]"),
        locality("failoverPriority: [a]"),
        policy(
            "outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 1}"
        ),
        policy(f"tls: {{{MUTUAL}}}"),
        policy("tls: {mode: SIMPLE, insecureSkipVerify: true}"),
    ],
)
def test_taken(spec: str) -> None:
    assert faults(Kind.DESTINATION_RULE, spec) == {}
