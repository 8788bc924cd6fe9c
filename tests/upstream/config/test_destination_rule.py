# SPDX-License-Identifier: Apache-2.0
"""Every part of a DestinationRule is read from its YAML name."""

from __future__ import annotations

from datetime import timedelta

from tests.upstream.config.said import spec_of
from upstream.config import Kind
from upstream.config.destination_rule import (
    Balance,
    Distribute,
    Failover,
    H2Upgrade,
    TrafficPolicy,
)
from upstream.config.shared import TlsMode


def policy(text: str) -> TrafficPolicy:
    found = spec_of(Kind.DESTINATION_RULE, f"{{host: a, trafficPolicy: {{{text}}}}}")
    assert isinstance(found.traffic_policy, TrafficPolicy)
    return found.traffic_policy


def test_balancers() -> None:
    balancer = policy(
        "loadBalancer: {simple: RANDOM, warmup: {duration: 5s, minimumPercent: 10, aggression: 2},"
        " localityLbSetting: {failover: [{from: a, to: b}], enabled: true}}"
    ).load_balancer
    assert balancer is not None
    assert balancer.simple is Balance.RANDOM
    assert balancer.warmup is not None
    assert balancer.warmup.minimum_percent == 10
    assert balancer.locality_lb_setting is not None
    assert balancer.locality_lb_setting.failover == (Failover(from_="a", to="b"),)
    spread = policy("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 100}}]}}")
    assert spread.load_balancer is not None
    assert spread.load_balancer.locality_lb_setting is not None
    assert spread.load_balancer.locality_lb_setting.distribute == (
        Distribute(from_="a", to={"b": 100}),
    )


def test_hashes() -> None:
    balancer = policy(
        "loadBalancer: {consistentHash: {httpCookie: {name: c, path: /p, ttl: 1s,"
        " attributes: [{name: SameSite, value: Lax}]}, maglev: {tableSize: 11}, minimumRingSize: 4}}"
    ).load_balancer
    assert balancer is not None
    assert balancer.consistent_hash is not None
    assert balancer.consistent_hash.http_cookie is not None
    assert balancer.consistent_hash.http_cookie.attributes[0].value == "Lax"
    assert balancer.consistent_hash.maglev is not None
    assert balancer.consistent_hash.maglev.table_size == 11


def test_pools_and_outliers() -> None:
    found = policy(
        "connectionPool: {tcp: {maxConnections: 1, connectTimeout: 2s, tcpKeepalive: {time: 3s}},"
        " http: {http1MaxPendingRequests: 4, http2MaxRequests: 5, h2UpgradePolicy: UPGRADE}},"
        " outlierDetection: {consecutive5xxErrors: 6, consecutiveGatewayErrors: 7, interval: 8s}"
    )
    pool, outliers = found.connection_pool, found.outlier_detection
    assert pool is not None
    assert pool.tcp is not None
    assert (pool.tcp.max_connections, pool.tcp.connect_timeout) == (1, timedelta(seconds=2))
    assert pool.http is not None
    assert pool.http.http1_max_pending_requests == 4
    assert pool.http.h2_upgrade_policy is H2Upgrade.UPGRADE
    assert outliers is not None
    assert (outliers.consecutive_5xx_errors, outliers.consecutive_gateway_errors) == (6, 7)


def test_tls_subsets_and_ports() -> None:
    found = spec_of(
        Kind.DESTINATION_RULE,
        "{host: a, exportTo: ['*'], workloadSelector: {matchLabels: {app: x}}, trafficPolicy:"
        " {tls: {mode: SIMPLE, sni: s, subjectAltNames: [n], caCrl: /crl},"
        " portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]},"
        " subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]}",
    )
    assert found.traffic_policy.tls.mode is TlsMode.SIMPLE
    assert found.traffic_policy.tls.ca_crl == "/crl"
    assert found.traffic_policy.port_level_settings[0].tls.mode is TlsMode.DISABLE
    assert found.subsets[0].labels == {"version": "v1"}
    assert found.subsets[0].traffic_policy.tls.mode is TlsMode.ISTIO_MUTUAL
    assert found.workload_selector.match_labels == {"app": "x"}
