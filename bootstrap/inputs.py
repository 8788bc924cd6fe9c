# SPDX-License-Identifier: Apache-2.0
"""All that crosses from the agent into the child that writes the bootstrap. Pure; mesh and stdlib only.

One JSON object: ``to_json`` in the agent, ``from_json`` in the child. Nothing
secret is in it, with one exception of the peer's making: a lightstep token in the proxy
configuration, which is why the object goes through a pipe and never through argv or a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from mesh import paths, ports

if TYPE_CHECKING:
    from mesh.node import Node
    from mesh.proxyconfig import ProxyConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyPorts:
    """Ports of the static listeners; 0 leaves a secure listener out."""

    status: int = ports.ENVOY_STATUS
    prometheus: int = ports.ENVOY_PROMETHEUS
    secure_metrics: int = 0
    secure_merged_metrics: int = 0
    status_proxy_protocol: bool = False
    """ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """Pipes that Envoy dials."""

    xds: str = f"{paths.CONFIG_DIR}/{paths.XDS_SOCKET_NAME}"
    workload: str = f"{paths.WORKLOAD_SOCKET_DIR}/{paths.WORKLOAD_SOCKET_NAME}"
    files: str = paths.FILES_SOCKET


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What the environment turns on or off in the bootstrap; the defaults are the peer's."""

    delta_xds: bool = True
    """ISTIO_DELTA_XDS."""
    dual_stack: bool = False
    """ISTIO_DUAL_STACK."""
    log_as_json: bool = False
    """--log_as_json."""
    strip_fragment: bool = True
    """HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED."""
    compliance_policy: str = ""
    """COMPLIANCE_POLICY."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformInputs:
    """What decides whether and how the cloud is asked who we are."""

    cloud: str = "none"
    """CLOUD_PLATFORM: aws, azure, gcp, none; empty asks them all."""
    gcp_metadata: str = ""
    gcp_quota_project: str = ""
    gcp_zone: str = ""
    gce_metadata_host: str = ""
    is_kubernetes: bool = True
    """Whether KUBERNETES_SERVICE_HOST is set."""
    timeout: float = 1.0
    """Seconds for all of it; the peer waits 5, and a metadata server answers in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapInputs:
    """The author's whole world. ``metadata`` and ``proxy_config`` are JSON objects."""

    node_id: str
    cluster: str
    output: str = f"{paths.CONFIG_DIR}/{paths.BOOTSTRAP_NAME}"
    """The file to write; its directory is made when it is missing. Empty: no Envoy here."""
    grpc_output: str = ""
    """Bootstrap of gRPC clients without a proxy (GRPC_XDS_BOOTSTRAP); empty: none."""
    grpc_certificates: str = ""
    """Directory of the workload's certificate files for those clients (OUTPUT_CERTS)."""
    region: str = ""
    zone: str = ""
    sub_zone: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    proxy_config: Mapping[str, Any] = field(default_factory=dict)
    """Canonical proto JSON of the merged ProxyConfig (``ProxyConfig.raw``)."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Pod annotations: those of ``sidecar.istio.io/`` that shape statistics are read from here."""
    instance_ips: tuple[str, ...] = ()
    """Addresses of the proxy, own address first, no duplicates."""
    host_ip: str = ""
    """HOST_IP, for ``$(HOST_IP)`` in addresses."""
    outlier_log_path: str = ""
    heap_limit: int = 0
    """PILOT_OVERLOAD_MANAGER: bytes of heap at which Envoy begins to refuse work; 0: never."""
    ports: EnvoyPorts = EnvoyPorts()
    sockets: Sockets = Sockets()
    switches: Switches = Switches()
    platform: PlatformInputs = PlatformInputs()

    def to_json(self) -> str:
        """One line of JSON, keys as the fields are named."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The object that ``to_json`` wrote. Raises ValueError or TypeError, naming the field, for anything else."""
        data = json.loads(text)
        if not isinstance(data, dict):
            raise TypeError("inputs: not a JSON object")
        nested = {
            "ports": EnvoyPorts,
            "sockets": Sockets,
            "switches": Switches,
            "platform": PlatformInputs,
        }
        known = _known(cls, data, "inputs")
        for name, kind in nested.items():
            if name in known:
                known[name] = kind(**_known(kind, known[name], name))
        known["instance_ips"] = tuple(known.get("instance_ips", ()))
        missing = [name for name in ("node_id", "cluster") if name not in known]
        if missing:
            raise ValueError(f"{missing[0]}: missing")
        return cls(**known)


def _known(kind: type, data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TypeError(f"{where}: not a JSON object")
    strange = set(data) - {each.name for each in fields(kind)}
    if strange:
        raise ValueError(f"{where}: unknown field {min(strange)}")
    return dict(data)


def bootstrap_inputs(
    *,
    node: Node,
    config: ProxyConfig,
    instance_ips: Sequence[str] = (),
    envoy_ports: EnvoyPorts | None = None,
    switches: Switches | None = None,
    workload_socket_file: str = paths.WORKLOAD_SOCKET_NAME,
    outlier_log_path: str = "",
    host_ip: str = "",
    grpc_output: str = "",
    grpc_certificates: str = "",
    proxyless: bool = False,
    platform: PlatformInputs | None = None,
    heap_limit: int = 0,
) -> BootstrapInputs:
    """What the author needs, from the parsed settings. ``node`` is ``mesh.node.assemble``'s result.

    ``grpc_output`` is GRPC_XDS_BOOTSTRAP, ``grpc_certificates`` OUTPUT_CERTS, ``proxyless`` DISABLE_ENVOY.
    """
    return BootstrapInputs(
        node_id=node.id,
        cluster=node.cluster,
        output="" if proxyless else f"{config.config_path}/{paths.BOOTSTRAP_NAME}",
        grpc_output=grpc_output,
        grpc_certificates=grpc_certificates,
        region=node.locality.region,
        zone=node.locality.zone,
        sub_zone=node.locality.sub_zone,
        metadata=node.metadata,
        proxy_config=config.raw,
        annotations=node.annotations,
        instance_ips=tuple(dict.fromkeys(instance_ips)),
        host_ip=host_ip,
        outlier_log_path=outlier_log_path,
        heap_limit=heap_limit,
        ports=envoy_ports or EnvoyPorts(),
        sockets=Sockets(
            xds=f"{config.config_path}/{paths.XDS_SOCKET_NAME}",
            workload=f"{paths.WORKLOAD_SOCKET_DIR}/{workload_socket_file}",
        ),
        switches=switches or Switches(),
        platform=platform or PlatformInputs(),
    )
