# SPDX-License-Identifier: Apache-2.0
"""Who asks for configuration: the xDS node as Istio reads it. Pure. Source: spec/upstream.md 2.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Self

from google.protobuf import json_format

from mesh.errors import Rejected
from wire.proto.discovery_pb2 import Node


class ProxyType(StrEnum):
    """The first field of the node id."""

    SIDECAR = "sidecar"
    ROUTER = "router"
    WAYPOINT = "waypoint"
    ZTUNNEL = "ztunnel"
    AGENTGATEWAY = "agentgateway"


class Interception(StrEnum):
    """How traffic reaches the proxy."""

    REDIRECT = "REDIRECT"
    TPROXY = "TPROXY"
    NONE = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Locality:
    """Region, zone and subzone; any may be empty."""

    region: str = ""
    zone: str = ""
    subzone: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """``region/zone/subzone``, as labels and endpoints write it."""
        region, zone, subzone = [*text.split("/"), "", ""][:3]
        return cls(region=region, zone=zone, subzone=subzone)

    def __str__(self) -> str:
        return f"{self.region}/{self.zone}/{self.subzone}".rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One Envoy: what of its node decides about its configuration."""

    type: ProxyType
    ips: tuple[str, ...]
    id: str
    domain: str
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    service_account: str = ""
    interception: Interception = Interception.REDIRECT
    network: str = ""
    cluster_id: str = ""
    mesh_id: str = ""
    locality: Locality = Locality()
    generator: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ip(self) -> str:
        """The first address: where inbound listeners are."""
        return self.ips[0]

    @property
    def domain_suffix(self) -> str:
        """``cluster.local`` of ``<namespace>.svc.cluster.local``."""
        _, found, suffix = self.domain.partition(".svc.")
        return suffix if found else "cluster.local"

    @classmethod
    def parse(cls, node: Node) -> Self:
        """Raises Rejected when istiod would refuse the node."""
        parts = node.id.split("~")
        if len(parts) != 4:
            raise Rejected(f"node id {node.id!r}", "must be type~ip~id~domain")
        kind, ip, name, domain = parts
        if kind not in set(ProxyType):
            raise Rejected(f"node id {node.id!r}", f"unknown proxy type {kind!r}")
        metadata: dict[str, Any] = json_format.MessageToDict(node.metadata)
        labels = _labels(metadata)
        return cls(
            type=ProxyType(kind),
            ips=_addresses(metadata, ip),
            id=name,
            domain=domain,
            namespace=str(metadata.get("NAMESPACE") or domain.split(".")[0]),
            labels=labels,
            service_account=str(metadata.get("SERVICE_ACCOUNT", "")),
            interception=_interception(metadata),
            network=str(metadata.get("NETWORK", "")),
            cluster_id=str(metadata.get("CLUSTER_ID", "")),
            mesh_id=str(metadata.get("MESH_ID", "")),
            locality=_locality(labels, node),
            generator=str(metadata.get("GENERATOR", "")),
            metadata=metadata,
        )


def _labels(metadata: Mapping[str, Any]) -> dict[str, str]:
    """LABELS, and STATIC_LABELS over them."""
    merged: dict[str, str] = {}
    for key in ("LABELS", "STATIC_LABELS"):
        value = metadata.get(key)
        if isinstance(value, Mapping):
            merged.update({str(name): str(text) for name, text in value.items()})
    return merged


def _addresses(metadata: Mapping[str, Any], fallback: str) -> tuple[str, ...]:
    given = metadata.get("INSTANCE_IPS") or fallback
    texts = [str(item) for item in given] if isinstance(given, list) else str(given).split(",")
    found = tuple(text.strip() for text in texts if text.strip())
    if not found:
        raise Rejected("node", "no address: neither INSTANCE_IPS nor the node id has one")
    for text in found:
        try:
            ip_address(text)
        except ValueError:
            raise Rejected("node", f"{text!r} is not an IP address") from None
    return found


def _interception(metadata: Mapping[str, Any]) -> Interception:
    """An unknown word is REDIRECT, as istiod has it."""
    try:
        return Interception(str(metadata.get("INTERCEPTION_MODE", "")))
    except ValueError:
        return Interception.REDIRECT


def _locality(labels: Mapping[str, str], node: Node) -> Locality:
    label = labels.get("istio-locality", "")
    if label:
        return Locality.parse(label if "/" in label else label.replace(".", "/"))
    given = node.locality
    return Locality(region=given.region, zone=given.zone, subzone=given.sub_zone)
