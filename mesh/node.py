# SPDX-License-Identifier: Apache-2.0
"""Who this proxy says it is: node id, service cluster, locality, metadata. Pure; the settings read the world.

The order of assembly is the peer's and matters (spec/agent.md 2.2 to 2.4, 1.10): ProxyConfig's
metadata, the environment, options, pod files, locality. What is tolerated is told in ``warnings``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mesh import ports
from mesh.nodemeta import KEYS, is_empty, string_bool, typed
from mesh.proxyconfig import SERVICE_CLUSTER, ProxyConfig

META = "ISTIO_META_"
METAJSON = "ISTIO_METAJSON_"

APP_LABEL = "app"
K8S_NAME_LABEL = "app.kubernetes.io/name"
CANONICAL_NAME_LABEL = "service.istio.io/canonical-name"
LOCALITY_LABELS = ("topology.istio.io/locality", "istio-locality")
_TEMPLATE_HASH = "pod-template-hash"


class Locality(NamedTuple):
    """Where a workload runs; parts may be empty."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""

    @classmethod
    def from_label(cls, label: str) -> Locality:
        """Region, zone and sub zone of a label with slashes, or with dots where slashes are not allowed."""
        parts = sanitized_locality(label).split("/")
        return cls(*[*parts, "", "", ""][:3])


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What the cloud told us. The default is a cluster of unknown make."""

    is_kubernetes: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    locality: Locality = field(default_factory=Locality)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What the agent itself adds to the metadata."""

    version: str = ""
    """ISTIO_VERSION where the environment names none."""
    instance_ips: Sequence[str] = ()
    sts_port: int = 0
    envoy_status_port: int = ports.ENVOY_STATUS
    envoy_prometheus_port: int = ports.ENVOY_PROMETHEUS
    envoy_secure_metrics_port: int = 0
    envoy_secure_merged_metrics_port: int = 0
    exit_on_zero_active_connections: bool = False
    metadata_discovery: bool | None = None
    """PEER_METADATA_DISCOVERY; None follows ENABLE_HBONE."""
    skip_deprecated_logs: bool = False
    workload_identity_socket_file: str = ""
    outlier_log_path: str = ""
    pilot_san: Sequence[str] | None = None
    """None: ``pilot_san(config)``."""
    credential_socket_exists: bool = False
    serves_only_files: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The identity that goes into the bootstrap and every first xDS request."""

    id: str
    cluster: str
    locality: Locality
    metadata: Mapping[str, Any]
    """As it is sent: typed keys, and untyped ones that no typed key covers."""
    typed: Mapping[str, Any]
    untyped: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def labels(self) -> Mapping[str, str]:
        return dict(self.metadata.get("LABELS") or {})

    @property
    def annotations(self) -> Mapping[str, str]:
        return dict(self.metadata.get("ANNOTATIONS") or {})


def node_id(kind: str, addresses: Sequence[str], proxy_id: str, domain: str) -> str:
    """``sidecar~10.1.1.0~v0.default~default.svc.cluster.local``: only the first address is named."""
    return "~".join((kind, addresses[0] if addresses else "", proxy_id, domain))


class NodeId(NamedTuple):
    """The parts of a node id."""

    kind: str
    address: str
    proxy_id: str
    domain: str


def parse_node_id(text: str) -> NodeId:
    """The parts of ``text``. Raises ValueError where it has not four."""
    parts = text.split("~")
    if len(parts) != 4:
        raise ValueError(f"node id {text!r} has not the form type~address~id~domain")
    return NodeId(*parts)


def pilot_san(config: ProxyConfig) -> list[str]:
    """Names the control plane's certificate must carry; none where the link is plaintext."""
    if config.control_plane_auth_policy != "MUTUAL_TLS":
        return []
    host = config.discovery_address.partition(":")[0]
    return ["istiod.istio-system.svc" if host == "localhost" else host]


def sanitized_locality(label: str) -> str:
    """The label with slashes between its parts."""
    return label if "/" in label else label.replace(".", "/")


def assemble(
    *,
    id: str,  # noqa: A002  the protocol's word
    env: Mapping[str, str],
    config: ProxyConfig,
    options: NodeOptions,
    pod_labels: Mapping[str, str] | None = None,
    pod_annotations: Mapping[str, str] | None = None,
    platform: Platform | None = None,
) -> Node:
    """The whole identity. ``pod_labels`` and ``pod_annotations`` are None where the file is absent.

    Raises BadSetting when a metadata variable holds what its key may not.
    """
    cloud = platform or Platform()
    untyped, warnings = untyped_metadata(env, config)
    meta = typed({"ISTIO_VERSION": options.version, **untyped})
    _add_options(meta, options, config)
    warnings += _add_attributes(meta, env, cloud)
    _add_pod_files(meta, pod_labels, pod_annotations)
    locality = _locality(meta, cloud)
    _add_late(meta, untyped, options, config)
    meta = {key: meta[key] for key in KEYS if key in meta and not is_empty(key, meta[key])}
    return Node(
        id=id,
        cluster=service_cluster(config, meta),
        locality=locality,
        metadata=dict(sorted({**untyped, **meta}.items())),
        typed=meta,
        untyped=untyped,
        warnings=warnings,
    )


def untyped_metadata(
    env: Mapping[str, str], config: ProxyConfig
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The flat map that configuration and environment give, and what was wrong with them."""
    found: dict[str, Any] = {
        key.removeprefix(META): value
        for key, value in config.proxy_metadata.items()
        if key.startswith(META)
    }
    found |= {key.removeprefix(META): v for key, v in env.items() if key.startswith(META)}
    warnings = []
    for key, text in env.items():
        if key.startswith(METAJSON):
            value = _json_object(text)
            if value is None:
                warnings.append(f"{key} is not a JSON object: ignored")
            else:
                found |= value
    if env.get("DNS_PROXY_ADDR"):
        found["DNS_PROXY_ADDR"] = env["DNS_PROXY_ADDR"]
    return found, tuple(warnings)


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _add_options(meta: dict[str, Any], options: NodeOptions, config: ProxyConfig) -> None:
    meta |= {
        "INSTANCE_IPS": ",".join(dict.fromkeys(options.instance_ips)),
        "ENVOY_STATUS_PORT": options.envoy_status_port,
        "ENVOY_PROMETHEUS_PORT": options.envoy_prometheus_port,
        "ENVOY_SECURE_METRICS_PORT": options.envoy_secure_metrics_port,
        "ENVOY_SECURE_MERGED_METRICS_PORT": options.envoy_secure_merged_metrics_port,
        "EXIT_ON_ZERO_ACTIVE_CONNECTIONS": string_bool(options.exit_on_zero_active_connections),
        "ENVOY_SKIP_DEPRECATED_LOGS": string_bool(options.skip_deprecated_logs),
        "WORKLOAD_IDENTITY_SOCKET_FILE": options.workload_identity_socket_file,
        "PROXY_CONFIG": dict(config.raw),
    }
    if options.sts_port:
        meta["STS_PORT"] = str(options.sts_port)
    if options.metadata_discovery is not None:
        meta["METADATA_DISCOVERY"] = string_bool(options.metadata_discovery)


def _add_attributes(
    meta: dict[str, Any], env: Mapping[str, str], platform: Platform
) -> tuple[str, ...]:
    warnings: tuple[str, ...] = ()
    labels = _json_object(env.get(f"{METAJSON}LABELS", "{}")) or {}
    if not all(isinstance(value, str) for value in labels.values()):
        warnings = (f"{METAJSON}LABELS has values that are not strings: ignored",)
    elif labels:
        # peer: one map under both keys, so the locality label is rewritten in both when no pod file parts them
        meta["LABELS"] = meta["STATIC_LABELS"] = labels
    for variable, key in (
        ("POD_NAME", "NAME"),
        ("POD_NAMESPACE", "NAMESPACE"),
        ("SERVICE_ACCOUNT", "SERVICE_ACCOUNT"),
    ):
        if variable in env:
            meta[key] = env[variable]
    if platform.metadata:
        meta["PLATFORM_METADATA"] = dict(platform.metadata)
    if not platform.is_kubernetes and platform.labels:
        merged = meta.setdefault("STATIC_LABELS", {})
        merged.update(platform.labels)
    return warnings


def _add_pod_files(
    meta: dict[str, Any],
    labels: Mapping[str, str] | None,
    annotations: Mapping[str, str] | None,
) -> None:
    if labels is not None:
        seen = {key: value for key, value in labels.items() if key != _TEMPLATE_HASH}
        meta["LABELS"] = {**meta.get("STATIC_LABELS", {}), **seen}
    if annotations:
        meta["ANNOTATIONS"] = {**meta.get("ANNOTATIONS", {}), **annotations}


def _locality(meta: dict[str, Any], platform: Platform) -> Locality:
    labels = meta.get("LABELS", {})
    label = next((labels[key] for key in LOCALITY_LABELS if labels.get(key)), "")
    if not label:
        return platform.locality
    labels[LOCALITY_LABELS[-1]] = sanitized_locality(label)
    return Locality.from_label(label)


def _add_late(
    meta: dict[str, Any], untyped: dict[str, Any], options: NodeOptions, config: ProxyConfig
) -> None:
    names = pilot_san(config) if options.pilot_san is None else options.pilot_san
    if names:
        meta["PILOT_SAN"] = list(names)
    if options.outlier_log_path:
        meta["OUTLIER_LOG_PATH"] = options.outlier_log_path
    if options.credential_socket_exists:
        untyped["credential"] = "true"
    if options.serves_only_files:
        untyped["file-credential"] = "true"
    meta.setdefault("METADATA_DISCOVERY", meta.get("ENABLE_HBONE", "false"))


def service_cluster(config: ProxyConfig, meta: Mapping[str, Any]) -> str:
    """The name under which this proxy's calls are traced."""
    labels = meta.get("LABELS") or {}
    workload = meta.get("WORKLOAD_NAME", "")
    namespace = meta.get("NAMESPACE", "")
    match config.tracing_service_name:
        case "CANONICAL_NAME_ONLY":
            name = _canonical_name(labels, workload)
            return cluster_or_default(name, labels, workload, namespace)
        case "CANONICAL_NAME_AND_NAMESPACE":
            name = _canonical_name(labels, workload)
            return f"{name}.{namespace}" if namespace else name
        case "APP_LABEL_AND_NAMESPACE":
            return cluster_or_default(SERVICE_CLUSTER, labels, workload, namespace)
        case _:
            return cluster_or_default(config.service_cluster, labels, workload, namespace)


def cluster_or_default(name: str, labels: Mapping[str, str], workload: str, namespace: str) -> str:
    """``name`` where it says something, else what labels, workload and namespace say."""
    if name and name != SERVICE_CLUSTER:
        return name
    for label in (APP_LABEL, K8S_NAME_LABEL, CANONICAL_NAME_LABEL):
        if labels.get(label):
            return f"{labels[label]}.{namespace}"
    if workload:
        return f"{workload}.{namespace}"
    return f"{SERVICE_CLUSTER}.{namespace}" if namespace else SERVICE_CLUSTER


def _canonical_name(labels: Mapping[str, str], workload: str) -> str:
    for label in (CANONICAL_NAME_LABEL, K8S_NAME_LABEL, APP_LABEL):
        if labels.get(label):
            return labels[label]
    return workload or SERVICE_CLUSTER


def headers_from_env(env: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Extra gRPC headers: ``CA_HEADER_`` or ``XDS_HEADER_`` and a name; the name is kept as it is."""
    return {key.removeprefix(prefix): v for key, v in env.items() if key.startswith(prefix)}


def parse_downward(text: str) -> dict[str, str]:
    """A downward API file: lines of ``key="quoted"``. Raises ValueError for a value that Go cannot unquote."""
    found = {}
    for line in text.split("\n"):
        key, equals, value = line.removesuffix("\r").partition("=")
        if equals:
            found[key] = _unquoted(value)
    return found


_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}
_TOKEN = re.compile(
    r'[^"\\\n]+|\\([abfnrtv\\"])|\\x([0-9a-fA-F]{2})|\\([0-7]{3})'
    r"|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})"
)


def _unquoted(text: str) -> str:
    """Go's strconv.Unquote of a double- or back-quoted string."""
    inner = text[1:-1]
    if len(text) >= 2 and text[0] == text[-1] == "`" and "`" not in inner:
        return inner.replace("\r", "")
    if len(text) < 2 or not text[0] == text[-1] == '"':
        raise ValueError(f"failed to unquote {text[:40]}: invalid syntax")
    out = bytearray()
    at = 0
    while at < len(inner):
        match = _TOKEN.match(inner, at)
        if match is None:
            raise ValueError(f"failed to unquote {text[:40]}: invalid syntax")
        out += _bytes_of(match)
        at = match.end()
    return out.decode(errors="replace")


def _bytes_of(match: re.Match[str]) -> bytes:
    simple, hexa, octal, short, long = match.groups()
    if simple:
        return bytes((_ESCAPES[simple],))
    if hexa:
        return bytes((int(hexa, 16),))
    if octal:
        if int(octal, 8) > 255:
            raise ValueError(f"failed to unquote {match[0]}: invalid syntax")
        return bytes((int(octal, 8),))
    if short or long:
        point = int(short or long, 16)
        if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
            raise ValueError(f"failed to unquote {match[0]}: invalid syntax")
        return chr(point).encode()
    return match[0].encode()
