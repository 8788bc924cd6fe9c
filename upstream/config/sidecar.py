# SPDX-License-Identifier: Apache-2.0
"""Sidecar. Pure. Source: istio.io/api networking/v1alpha3/sidecar.proto."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from upstream.config.destination_rule import ConnectionPool
from upstream.config.shared import NetworkingSelector, Port
from upstream.config.virtual_service import Destination


class CaptureMode(StrEnum):
    """How traffic reaches a listener."""

    DEFAULT = "DEFAULT"
    IPTABLES = "IPTABLES"
    NONE = "NONE"


class OutboundMode(StrEnum):
    """What happens to traffic for unknown services."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundPolicy:
    """Traffic to unknown services, and an egress proxy for it."""

    mode: OutboundMode = OutboundMode.REGISTRY_ONLY
    egress_proxy: Destination | None = None


class ServerTlsMode(StrEnum):
    """How a listener terminates TLS."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """The listener's own certificate."""

    mode: ServerTlsMode = ServerTlsMode.PASSTHROUGH
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    subject_alt_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingress:
    """A listener for traffic that comes in."""

    port: Port | None = None
    bind: str = ""
    capture_mode: CaptureMode = CaptureMode.DEFAULT
    default_endpoint: str = ""
    tls: ServerTls | None = None
    connection_pool: ConnectionPool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """A listener for traffic that goes out, or with no port the rest of it."""

    port: Port | None = None
    bind: str = ""
    capture_mode: CaptureMode = CaptureMode.DEFAULT
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What a workload's proxy listens to and knows of."""

    workload_selector: NetworkingSelector | None = None
    ingress: tuple[Ingress, ...] = ()
    egress: tuple[Egress, ...] = ()
    outbound_traffic_policy: OutboundPolicy | None = None
    inbound_connection_pool: ConnectionPool | None = None
    """For all ingress listeners that have none of their own."""
