# SPDX-License-Identifier: Apache-2.0
"""What istiod refuses in a DestinationRule though every field has the right type. Pure.

Source: istio pkg/config/validation ValidateDestinationRule, agent ValidateLocalityLbSetting; spec/upstream.md 8.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields

from upstream.config.destination_rule import (
    ClientTls,
    ConnectionPool,
    ConsistentHash,
    DestinationRule,
    Distribute,
    H2Upgrade,
    HttpSettings,
    LoadBalancer,
    LocalitySetting,
    OutlierDetection,
    PortPolicy,
    Subset,
    TcpSettings,
    TrafficPolicy,
    Warmup,
)
from upstream.config.problems import (
    DNS_LABEL,
    Problem,
    export_problems,
    host_problems,
    label_problems,
    percent_problems,
    port_problems,
    time_problems,
)
from upstream.config.shared import TlsMode


def check_destination_rule(spec: DestinationRule) -> Iterator[Problem]:
    """What is wrong with policies and subsets."""
    yield from host_problems("host", spec.host)
    if spec.workload_selector:
        yield from label_problems(
            "workloadSelector.matchLabels", spec.workload_selector.match_labels
        )
    yield from _policy("trafficPolicy", spec.traffic_policy)
    names = Counter(subset.name for subset in spec.subsets)
    for i, subset in enumerate(spec.subsets):
        yield from _subset(f"subsets[{i}]", subset)
        if subset.name and names[subset.name] > 1:
            yield Problem(f"subsets[{i}].name", f"{subset.name!r} is used twice")
    yield from export_problems(spec.export_to)


def _subset(path: str, subset: Subset) -> Iterator[Problem]:
    yield from subset_problems(f"{path}.name", subset.name)
    yield from label_problems(f"{path}.labels", subset.labels)
    yield from _policy(f"{path}.trafficPolicy", subset.traffic_policy)


def subset_problems(path: str, name: str) -> Iterator[Problem]:
    """Faults of a subset's name."""
    if not name:
        yield Problem(path, "missing")
    elif not DNS_LABEL.fullmatch(name):
        yield Problem(path, f"{name!r} is not a subset's name", "a label such as v1")


def _policy(path: str, policy: TrafficPolicy | None) -> Iterator[Problem]:
    if policy is None:
        return
    yield from _parts(path, policy)
    numbers = Counter(one.port.number for one in policy.port_level_settings if one.port)
    for i, port in enumerate(policy.port_level_settings):
        where = f"{path}.portLevelSettings[{i}]"
        if port.port is None:
            yield Problem(f"{where}.port", "missing")
        else:
            yield from port_problems(f"{where}.port.number", port.port.number)
            if numbers[port.port.number] > 1:
                yield Problem(f"{where}.port.number", f"{port.port.number} is used twice")
        yield from _parts(where, port)


def _parts(path: str, policy: TrafficPolicy | PortPolicy) -> Iterator[Problem]:
    if policy.load_balancer:
        yield from _load_balancer(f"{path}.loadBalancer", policy.load_balancer)
    yield from pool_problems(f"{path}.connectionPool", policy.connection_pool)
    if policy.outlier_detection:
        yield from _outlier(f"{path}.outlierDetection", policy.outlier_detection)
    if policy.tls:
        yield from _client_tls(f"{path}.tls", policy.tls)


def _load_balancer(path: str, balancer: LoadBalancer) -> Iterator[Problem]:
    if balancer.simple and balancer.consistent_hash:
        yield Problem(path, "has both simple and consistentHash", "keep one of the two")
    if balancer.consistent_hash:
        yield from _hash(f"{path}.consistentHash", balancer.consistent_hash)
    if balancer.locality_lb_setting:
        yield from locality_problems(f"{path}.localityLbSetting", balancer.locality_lb_setting)
    if balancer.warmup:
        yield from _warmup(f"{path}.warmup", balancer.warmup)


def _hash(path: str, hashing: ConsistentHash) -> Iterator[Problem]:
    keys = (
        hashing.http_header_name,
        hashing.http_cookie,
        hashing.use_source_ip,
        hashing.http_query_parameter_name,
    )
    if sum(bool(key) for key in keys) != 1:
        hint = "one of httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName"
        yield Problem(path, "needs exactly one key", hint)
    if hashing.http_cookie and not hashing.http_cookie.name:
        yield Problem(f"{path}.httpCookie.name", "missing")


def _warmup(path: str, warmup: Warmup) -> Iterator[Problem]:
    if warmup.duration is None:
        yield Problem(f"{path}.duration", "missing")
    if warmup.minimum_percent is not None:
        yield from percent_problems(f"{path}.minimumPercent", warmup.minimum_percent)
    if warmup.aggression is not None and warmup.aggression < 1:
        yield Problem(f"{path}.aggression", f"{warmup.aggression:g} is less than 1")


def locality_problems(path: str, setting: LocalitySetting) -> Iterator[Problem]:
    """Faults of locality preferences."""
    if setting.distribute and setting.failover:
        yield Problem(path, "has both distribute and failover", "keep one of the two")
    if setting.distribute and setting.failover_priority:
        yield Problem(path, "has both distribute and failoverPriority", "keep one of the two")
    for i, entry in enumerate(setting.distribute):
        yield from _distribute(f"{path}.distribute[{i}]", entry)
    for i, failover in enumerate(setting.failover):
        where = f"{path}.failover[{i}]"
        if failover.from_ == failover.to:
            yield Problem(where, f"leads from {failover.from_!r} to itself")
        for name, region in (("from", failover.from_), ("to", failover.to)):
            if "/" in region or "*" in region:
                yield Problem(f"{where}.{name}", f"{region!r} is not a region")


def _distribute(path: str, entry: Distribute) -> Iterator[Problem]:
    yield from _pattern(f"{path}.from", entry.from_)
    total = 0
    for pattern, weight in entry.to.items():
        yield from _pattern(f"{path}.to[{pattern}]", pattern)
        total += weight
        if weight <= 0:
            yield Problem(f"{path}.to[{pattern}]", f"{weight} is not a share of 100")
    if total != 100:
        yield Problem(f"{path}.to", f"the shares add up to {total}", "let them add up to 100")


def _pattern(path: str, pattern: str) -> Iterator[Problem]:
    parts = pattern.split("/")
    wild = "*" in pattern and (pattern.count("*") > 1 or not pattern.endswith("*"))
    if len(parts) > 3 or not all(parts) or wild:
        yield Problem(path, f"{pattern!r} is not a locality", "region/zone/subzone, * at the end")


def pool_problems(path: str, pool: ConnectionPool | None) -> Iterator[Problem]:
    """Faults of limits on connections."""
    if pool is None:
        return
    if pool.tcp is None and pool.http is None:
        yield Problem(path, "says nothing", "give tcp or http, or leave it out")
    if pool.tcp:
        yield from _tcp(f"{path}.tcp", pool.tcp)
    if pool.http:
        yield from _http(f"{path}.http", pool.http)


def _tcp(path: str, tcp: TcpSettings) -> Iterator[Problem]:
    yield from _negative(path, tcp)
    for name, span in (
        ("connectTimeout", tcp.connect_timeout),
        ("maxConnectionDuration", tcp.max_connection_duration),
    ):
        yield from time_problems(f"{path}.{name}", span)


def _http(path: str, http: HttpSettings) -> Iterator[Problem]:
    yield from _negative(path, http)
    if http.h2_upgrade_policy is H2Upgrade.UPGRADE and http.use_client_protocol:
        hint = "keep one of h2UpgradePolicy and useClientProtocol"
        yield Problem(f"{path}.useClientProtocol", "contradicts h2UpgradePolicy UPGRADE", hint)


def _negative(
    path: str, settings: TcpSettings | HttpSettings | OutlierDetection
) -> Iterator[Problem]:
    for one in fields(settings):
        value = getattr(settings, one.name)
        if isinstance(value, int) and value < 0:
            first, *rest = one.name.split("_")
            name = first + "".join(part.capitalize() for part in rest)
            yield Problem(f"{path}.{name}", f"{value} is negative")


def _outlier(path: str, outlier: OutlierDetection) -> Iterator[Problem]:
    yield from _negative(path, outlier)
    yield from time_problems(f"{path}.interval", outlier.interval)
    yield from time_problems(f"{path}.baseEjectionTime", outlier.base_ejection_time)
    yield from percent_problems(f"{path}.maxEjectionPercent", max(0, outlier.max_ejection_percent))
    yield from percent_problems(f"{path}.minHealthPercent", max(0, outlier.min_health_percent))
    if outlier.consecutive_local_origin_failures and not outlier.split_external_local_origin_errors:
        hint = "set splitExternalLocalOriginErrors too"
        yield Problem(f"{path}.consecutiveLocalOriginFailures", "has no effect alone", hint)


def _client_tls(path: str, tls: ClientTls) -> Iterator[Problem]:
    files = (tls.client_certificate, tls.private_key, tls.ca_certificates)
    if tls.credential_name and any(files):
        hint = "keep either the files or credentialName"
        yield Problem(f"{path}.credentialName", "cannot stand beside files", hint)
    if tls.mode is TlsMode.MUTUAL and not tls.credential_name:
        for name, value in (
            ("clientCertificate", tls.client_certificate),
            ("privateKey", tls.private_key),
        ):
            if not value:
                yield Problem(f"{path}.{name}", "missing: MUTUAL wants it, or credentialName")
    if tls.insecure_skip_verify:
        yield from _unverified(path, tls)


def _unverified(path: str, tls: ClientTls) -> Iterator[Problem]:
    checks = [tls.ca_certificates, tls.subject_alt_names]
    if tls.mode is TlsMode.SIMPLE:
        checks.append(tls.credential_name)
    if any(checks):
        hint = "leave out what would be verified"
        yield Problem(f"{path}.insecureSkipVerify", "contradicts what is to be verified", hint)
