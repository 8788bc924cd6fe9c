# SPDX-License-Identifier: Apache-2.0
"""The effective ProxyConfig of this proxy. Pure: texts and numbers come in, a frozen value goes out.

Precedence (spec/agent.md 1.9): defaults < mesh file (``defaultConfig``) < PROXY_CONFIG < annotation
``proxy.istio.io/config`` < the two single-value annotations < flags. A field present in a later
source replaces the earlier value wholesale; only ``proxyMetadata`` and ``proxyHeaders`` merge by key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from mesh import durations, paths, ports
from mesh.errors import BadSetting, BadSettings
from mesh.proxyfields import parse_text, read_message, without_defaults

CONFIG_ANNOTATION = "proxy.istio.io/config"
DISCOVERY_ANNOTATION = "sidecar.istio.io/discoveryAddress"
STATUS_PORT_ANNOTATION = "status.sidecar.istio.io/port"
ENVIRONMENT = "PROXY_CONFIG"

SERVICE_CLUSTER = "istio-proxy"

DEFAULTS: Mapping[str, Any] = {
    "configPath": paths.CONFIG_DIR,
    "binaryPath": paths.ENVOY,
    "serviceCluster": SERVICE_CLUSTER,
    "drainDuration": "45s",
    "terminationDrainDuration": "5s",
    "proxyAdminPort": ports.ENVOY_ADMIN,
    "controlPlaneAuthPolicy": "MUTUAL_TLS",
    "discoveryAddress": f"istiod.istio-system.svc:{ports.XDS_TLS}",
    "statNameLength": 189,
    "statusPort": ports.AGENT_STATUS,
}

_SINGLE_VALUES = {DISCOVERY_ANNOTATION: "discoveryAddress", STATUS_PORT_ANNOTATION: "statusPort"}
_MERGED_BY_KEY = ("proxyMetadata", "proxyHeaders")
_CLUSTER_NAMES = ("serviceCluster", "tracingServiceName")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyConfig:
    """What the agent asks of it by name; ``raw`` is the whole as proto JSON, for node metadata and bootstrap."""

    raw: Mapping[str, Any]
    config_path: str
    binary_path: str
    discovery_address: str
    control_plane_auth_policy: str
    """``NONE`` means plaintext to the control plane."""
    service_cluster: str
    tracing_service_name: str
    drain_duration: float
    termination_drain_duration: float
    proxy_admin_port: int
    status_port: int
    """0: no status server."""
    stat_name_length: int
    concurrency: int | None
    """None and 0 both mean all cores."""
    custom_config_file: str
    proxy_bootstrap_template_path: str
    statsd_udp_address: str
    mesh_id: str
    proxy_metadata: Mapping[str, str]
    runtime_values: Mapping[str, str]
    extra_stat_tags: tuple[str, ...]
    ca_certificates_pem: tuple[str, ...]
    readiness_probe: Mapping[str, Any] | None
    file_flush_interval: float | None
    file_flush_min_size_kb: int | None
    stats_compression: bool
    hold_application_until_proxy_starts: bool
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """What was tolerated while merging, for the log."""
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Field of ``raw`` to the file, variable or annotation that set it; defaults are not listed."""

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any], *, warnings: tuple[str, ...] = ()) -> Self:
        """The typed view of canonical proto JSON."""
        flush = raw.get("fileFlushInterval")
        return cls(
            raw=raw,
            config_path=raw.get("configPath", ""),
            binary_path=raw.get("binaryPath", ""),
            discovery_address=raw.get("discoveryAddress", ""),
            control_plane_auth_policy=raw.get("controlPlaneAuthPolicy", "NONE"),
            service_cluster=raw.get("serviceCluster", ""),
            tracing_service_name=raw.get("tracingServiceName", ""),
            drain_duration=durations.parse(raw.get("drainDuration", "0s")),
            termination_drain_duration=durations.parse(raw.get("terminationDrainDuration", "0s")),
            proxy_admin_port=raw.get("proxyAdminPort", 0),
            status_port=raw.get("statusPort", 0),
            stat_name_length=raw.get("statNameLength", 0),
            concurrency=raw.get("concurrency"),
            custom_config_file=raw.get("customConfigFile", ""),
            proxy_bootstrap_template_path=raw.get("proxyBootstrapTemplatePath", ""),
            statsd_udp_address=raw.get("statsdUdpAddress", ""),
            mesh_id=raw.get("meshId", ""),
            proxy_metadata=raw.get("proxyMetadata", {}),
            runtime_values=raw.get("runtimeValues", {}),
            extra_stat_tags=tuple(raw.get("extraStatTags", ())),
            ca_certificates_pem=tuple(raw.get("caCertificatesPem", ())),
            readiness_probe=raw.get("readinessProbe"),
            file_flush_interval=None if flush is None else durations.parse(flush),
            file_flush_min_size_kb=raw.get("fileFlushMinSizeKb"),
            stats_compression=raw.get("statsCompression", True),
            hold_application_until_proxy_starts=raw.get("holdApplicationUntilProxyStarts", False),
            warnings=warnings,
        )

    @property
    def discovery_host(self) -> str:
        """Host part of the discovery address, without brackets."""
        return self.discovery_address.rpartition(":")[0].strip("[]")

    @property
    def plaintext(self) -> bool:
        """Whether the link to the control plane is without TLS."""
        return self.control_plane_auth_policy == "NONE"

    def replacing(self, **fields: Any) -> ProxyConfig:
        """The same with JSON fields replaced (``statsdUdpAddress=...``); None removes one."""
        raw = {**self.raw, **fields}
        kept = {name: value for name, value in raw.items() if value is not None}
        return ProxyConfig.from_raw(kept, warnings=self.warnings)


def merge(
    *,
    mesh_file: str = "",
    environment: str = "",
    annotations: Mapping[str, str] | None = None,
    mesh_file_name: str = paths.MESH_CONFIG,
    cpu_limit: int = 0,
    concurrency: int = 0,
    service_cluster: str = SERVICE_CLUSTER,
    template_file: str = "",
) -> ProxyConfig:
    """The effective configuration. Raises BadSettings with every fault of every source.

    ``mesh_file`` and ``environment`` are texts; ``cpu_limit`` is ISTIO_CPU_LIMIT; the last three are
    the flags of those names.
    """
    notes = dict(annotations or {})
    faults: list[BadSetting] = []
    merged = dict(DEFAULTS)
    origins: dict[str, str] = {}
    texts = (
        (mesh_file_name, mesh_file, "defaultConfig"),
        (ENVIRONMENT, environment, ""),
        (CONFIG_ANNOTATION, notes.get(CONFIG_ANNOTATION, ""), ""),
    )
    for source, text, key in texts:
        try:
            read = _read(source, text, key)
            merged = overlay(merged, read)
            origins |= dict.fromkeys(read, source)
        except BadSetting as fault:
            faults.append(fault)
    warnings = _apply_annotations(merged, notes)
    origins |= {name: note for note, name in _SINGLE_VALUES.items() if note in notes}
    _apply_flags(merged, cpu_limit, concurrency, service_cluster, template_file)
    config = ProxyConfig.from_raw(without_defaults("ProxyConfig", merged), warnings=warnings)
    faults.extend(faults_of(config, origins))
    if faults:
        raise BadSettings(faults)
    return replace(config, origins=origins)


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the fields of ``over``, both as ``read_message`` returns them."""
    merged = {**base, **over}
    if any(name in over for name in _CLUSTER_NAMES):
        for name in set(_CLUSTER_NAMES) - set(over):
            merged.pop(name, None)
    for name in _MERGED_BY_KEY:
        if name in over:
            merged[name] = {**base.get(name, {}), **over[name]}
    return merged


def _read(source: str, text: str, key: str) -> dict[str, Any]:
    data = parse_text(text, source)
    if key:
        data = data.get(key) or {}
    if not isinstance(data, dict):
        raise BadSetting(source, key, "not a mapping of fields")
    return read_message("ProxyConfig", data, source)


def _apply_annotations(merged: dict[str, Any], notes: Mapping[str, str]) -> tuple[str, ...]:
    if DISCOVERY_ANNOTATION in notes:
        merged["discoveryAddress"] = notes[DISCOVERY_ANNOTATION]
    if STATUS_PORT_ANNOTATION not in notes:
        return ()
    text = notes[STATUS_PORT_ANNOTATION]
    if re.fullmatch(r"[+-]?\d+", text):
        merged["statusPort"] = int(text)
        return ()
    merged["statusPort"] = 0  # peer: logs the error and goes on with the zero of the failed parse
    return (f"annotation {STATUS_PORT_ANNOTATION}={text!r} is not a number: no status server",)


def _apply_flags(
    merged: dict[str, Any],
    cpu_limit: int,
    concurrency: int,
    service_cluster: str,
    template_file: str,
) -> None:
    if "concurrency" not in merged and cpu_limit:
        merged["concurrency"] = cpu_limit
    if concurrency:
        merged["concurrency"] = concurrency
    if merged.get("serviceCluster") == "":
        merged["serviceCluster"] = service_cluster
    if template_file and not merged.get("customConfigFile"):
        merged["proxyBootstrapTemplatePath"] = template_file


def faults_of(config: ProxyConfig, origins: Mapping[str, str] | None = None) -> list[BadSetting]:
    """Everything in the merged configuration that the peer refuses to start with.

    ``origins`` says which source set a top-level field, for the message.
    """
    places = origins or {}
    return [
        BadSetting(
            name, value, f"{why} (from {places.get(name.partition('.')[0], 'the defaults')})"
        )
        for name, value, why in _checks(config)
    ]


def _checks(config: ProxyConfig) -> Iterator[tuple[str, str, str]]:
    raw = config.raw
    for name in ("configPath", "binaryPath"):
        if not raw.get(name):
            yield name, "", "must be set"
    if not raw.get("serviceCluster") and "tracingServiceName" not in raw:
        yield "serviceCluster", "", "serviceCluster or tracingServiceName must be set"
    yield from _port_faults(config)
    yield from _duration_faults(config)
    for name, address in _addresses(raw):
        why = address_fault(address)
        if why:
            yield name, address, why
    for name, tls in _tls_settings(raw):
        yield from _tls_faults(name, tls)
    yield from _provider_faults(raw.get("privateKeyProvider") or {})
    limit = (raw.get("connectionSettings") or {}).get("globalDownstreamConnectionLimit")
    if limit == 0:
        yield "connectionSettings.globalDownstreamConnectionLimit", "0", "must be positive"


def _port_faults(config: ProxyConfig) -> Iterator[tuple[str, str, str]]:
    if not 1 <= config.proxy_admin_port <= 65535:
        yield "proxyAdminPort", str(config.proxy_admin_port), "not a port (1-65535)"
    if config.status_port == 0 and config.warnings:
        return  # switched off by a broken annotation, which the peer applies after validation
    if not 1 <= config.status_port <= 65535:
        yield "statusPort", str(config.status_port), "not a port (1-65535)"


def _duration_faults(config: ProxyConfig) -> Iterator[tuple[str, str, str]]:
    drain = config.drain_duration
    if drain < 1 or drain != int(drain):
        yield "drainDuration", durations.render(drain), "must be whole seconds, 1s at least"


def _addresses(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "discoveryAddress", raw.get("discoveryAddress", "")
    tracing = raw.get("tracing") or {}
    for tracer in ("zipkin", "lightstep", "datadog"):
        if tracer in tracing:
            yield f"tracing.{tracer}.address", tracing[tracer].get("address", "")
    for name in ("statsdUdpAddress", "zipkinAddress", "envoyMetricsServiceAddress"):
        if raw.get(name):
            yield name, raw[name]
    for name in ("envoyMetricsService", "envoyAccessLogService"):
        if (raw.get(name) or {}).get("address"):
            yield f"{name}.address", raw[name]["address"]


def address_fault(address: str) -> str:
    """Why ``address`` is not ``host:port``, or an empty string."""
    host, colon, port = address.rpartition(":")
    if not colon or not host:
        return "not host:port"
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        return "an IPv6 address needs brackets: [address]:port"
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        return f"port {port!r} is not between 1 and 65535"
    return ""


def _tls_settings(raw: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in ("tracing", "envoyMetricsService", "envoyAccessLogService"):
        tls = (raw.get(name) or {}).get("tlsSettings")
        if tls:
            yield f"{name}.tlsSettings", tls


def _tls_faults(name: str, tls: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if tls.get("mode") == "MUTUAL" and not tls.get("credentialName"):
        for needed in ("clientCertificate", "privateKey"):
            if not tls.get(needed):
                yield f"{name}.{needed}", "", "required with mode MUTUAL"


def _provider_faults(provider: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, settings in provider.items():
        if durations.parse(settings.get("pollDelay", "0s")) <= 0:
            path = f"privateKeyProvider.{name}.pollDelay"
            yield path, settings.get("pollDelay", ""), "must be longer than 0"
