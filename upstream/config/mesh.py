# SPDX-License-Identifier: Apache-2.0
"""The mesh config: what holds for every proxy. Pure. Source: istio.io/api mesh/v1alpha1/config.proto, spec 1.4."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

import yaml

from upstream.config.decode import NULL, Decoder, Missing
from upstream.config.destination_rule import Keepalive, LocalitySetting
from upstream.config.objects import Fault
from upstream.config.sidecar import OutboundMode, OutboundPolicy
from upstream.config.virtual_service import Retries


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """Telemetry that is on by default."""

    metrics: tuple[str, ...] = ()
    access_logging: tuple[str, ...] = ()
    tracing: tuple[str, ...] = ()


class InboundMode(StrEnum):
    """Whether inbound traffic keeps its destination address or goes to localhost."""

    PASSTHROUGH = "PASSTHROUGH"
    LOCALHOST = "LOCALHOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundPolicy:
    """Where inbound traffic is sent."""

    mode: InboundMode = InboundMode.PASSTHROUGH


def _let_out() -> OutboundPolicy:
    """The mesh's default is the opposite of a Sidecar's."""
    return OutboundPolicy(mode=OutboundMode.ALLOW_ANY)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """Fields that decide about generated configuration; the rest of MeshConfig is for other parts."""

    UNSERVED: ClassVar[frozenset[str]] = frozenset(
        [
            "accessLogEncoding",
            "accessLogFile",
            "accessLogFormat",
            "ca",
            "caCertificates",
            "certificates",
            "clusterLocalNamespaces",
            "configSources",
            "defaultConfig",
            "defaultDestinationRuleExportTo",
            "defaultServiceExportTo",
            "defaultVirtualServiceExportTo",
            "discoverySelectors",
            "disableEnvoyListenerLog",
            "disableMixerHttpReports",
            "dnsRefreshRate",
            "enableEnvoyAccessLogService",
            "enablePrometheusMerge",
            "enableTracing",
            "extensionProviders",
            "h2UpgradePolicy",
            "hboneIdleTimeout",
            "inboundClusterStatName",
            "ingressClass",
            "ingressControllerMode",
            "ingressSelector",
            "ingressService",
            "meshMTLS",
            "outboundClusterStatName",
            "pathNormalization",
            "proxyHttpPort",
            "proxyInboundListenPort",
            "proxyListenPort",
            "serviceScopeConfigs",
            "serviceSettings",
            "tlsDefaults",
            "verifyCertificateAtClient",
            "mixerCheckServer",
            "mixerReportServer",
        ]
    )

    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    root_namespace: str = "istio-system"
    enable_auto_mtls: bool = True
    connect_timeout: timedelta = timedelta(seconds=10)
    protocol_detection_timeout: timedelta = timedelta()
    tcp_keepalive: Keepalive | None = None
    outbound_traffic_policy: OutboundPolicy = field(default_factory=_let_out)
    inbound_traffic_policy: InboundPolicy = InboundPolicy()
    default_http_retry_policy: Retries | None = None
    locality_lb_setting: LocalitySetting | None = None
    default_providers: Providers = field(default_factory=Providers)


def parse_mesh(text: str, source: str) -> tuple[MeshConfig, tuple[Fault, ...]]:
    """The mesh config in ``text``; with a fatal fault the default, which must then not be used."""
    decoder = Decoder(source, "MeshConfig")
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as exc:
        return MeshConfig(), (yaml_fault(exc, source),)
    if node is None or node.tag == NULL:
        return MeshConfig(), ()
    config = decoder.record(MeshConfig, node, "")
    return (MeshConfig() if isinstance(config, Missing) else config), tuple(decoder.faults)


def yaml_fault(error: yaml.YAMLError, source: str, first_line: int = 0) -> Fault:
    """What YAML itself stumbled over."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "is not YAML"
    return Fault(
        source=source,
        line=first_line + (mark.line if mark else 0) + 1,
        object="document",
        field="",
        reason=str(problem),
        hint="check indentation and quotes near this line",
    )
