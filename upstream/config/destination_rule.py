# SPDX-License-Identifier: Apache-2.0
"""DestinationRule. Pure. Source: istio.io/api networking/v1alpha3/destination_rule.proto."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from upstream.config.shared import PortSelector, SecuritySelector, TlsMode


class Balance(StrEnum):
    """Simple load balancing."""

    UNSPECIFIED = "UNSPECIFIED"
    LEAST_CONN = "LEAST_CONN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"


class H2Upgrade(StrEnum):
    """Whether plain HTTP upstreams are spoken to in HTTP/2."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieAttribute:
    """An attribute of a generated cookie."""

    name: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashCookie:
    """Hash by a cookie; with a ttl it is made when absent."""

    name: str = ""
    path: str = ""
    ttl: timedelta | None = None
    attributes: tuple[CookieAttribute, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RingHash:
    """Consistent hashing on a ring."""

    minimum_ring_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Maglev:
    """Consistent hashing by Maglev's table."""

    table_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistentHash:
    """What to hash by, and how."""

    http_header_name: str = ""
    http_cookie: HashCookie | None = None
    use_source_ip: bool = False
    http_query_parameter_name: str = ""
    minimum_ring_size: int | None = None
    ring_hash: RingHash | None = None
    maglev: Maglev | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """Slow start of new endpoints."""

    duration: timedelta | None = None
    minimum_percent: float | None = None
    aggression: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribute:
    """Weights of localities, seen from one."""

    from_: str = ""
    to: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """The region to go to when one fails."""

    from_: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalitySetting:
    """Locality load balancing."""

    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancer:
    """How an endpoint is chosen."""

    UNSERVED: ClassVar[frozenset[str]] = frozenset({"warmupDurationSecs"})

    simple: Balance | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalitySetting | None = None
    warmup: Warmup | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """TCP keepalive."""

    probes: int = 0
    time: timedelta | None = None
    interval: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSettings:
    """Connections, whatever they carry."""

    max_connections: int = 0
    connect_timeout: timedelta | None = None
    tcp_keepalive: Keepalive | None = None
    max_connection_duration: timedelta | None = None
    idle_timeout: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Requests and streams. Zero is unset."""

    http1_max_pending_requests: int = 0
    http2_max_requests: int = 0
    max_requests_per_connection: int = 0
    max_retries: int = 0
    idle_timeout: timedelta | None = None
    h2_upgrade_policy: H2Upgrade = H2Upgrade.DEFAULT
    use_client_protocol: bool = False
    max_concurrent_streams: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPool:
    """Limits towards a destination."""

    tcp: TcpSettings | None = None
    http: HttpSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierDetection:
    """When an endpoint is set aside."""

    consecutive_errors: int = 0
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: int | None = None
    consecutive_gateway_errors: int | None = None
    consecutive_5xx_errors: int | None = None
    interval: timedelta | None = None
    base_ejection_time: timedelta | None = None
    max_ejection_percent: int = 0
    min_health_percent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """How connections to a destination are secured."""

    mode: TlsMode = TlsMode.DISABLE
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: bool | None = None
    ca_crl: str = field(default="", metadata={"yaml": "caCrl"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PortPolicy:
    """What holds for one port instead of the rest."""

    port: PortSelector | None = None
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPolicy:
    """What happens after routing."""

    UNSERVED: ClassVar[frozenset[str]] = frozenset({"tunnel", "proxyProtocol", "retryBudget"})

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None
    port_level_settings: tuple[PortPolicy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """A named part of a service's endpoints."""

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    traffic_policy: TrafficPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRule:
    """Policies and subsets of a host."""

    host: str = ""
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: SecuritySelector | None = None
