# SPDX-License-Identifier: Apache-2.0
"""Names of the xDS world: resource types, methods, the order of pushes. Pure.

Source: spec/agent.md 4.4, spec/upstream.md 2.1 and 2.2; Envoy's xDS protocol documentation for the order.
"""

from __future__ import annotations

from typing import Final, NewType

TypeUrl = NewType("TypeUrl", str)

PREFIX: Final = "type.googleapis.com/"
ENVOY_PREFIX: Final = f"{PREFIX}envoy."

CLUSTER: Final = TypeUrl(f"{PREFIX}envoy.config.cluster.v3.Cluster")
ENDPOINT: Final = TypeUrl(f"{PREFIX}envoy.config.endpoint.v3.ClusterLoadAssignment")
LISTENER: Final = TypeUrl(f"{PREFIX}envoy.config.listener.v3.Listener")
ROUTE: Final = TypeUrl(f"{PREFIX}envoy.config.route.v3.RouteConfiguration")
SECRET: Final = TypeUrl(f"{PREFIX}envoy.extensions.transport_sockets.tls.v3.Secret")
EXTENSION_CONFIG: Final = TypeUrl(f"{PREFIX}envoy.config.core.v3.TypedExtensionConfig")
BOOTSTRAP: Final = TypeUrl(f"{PREFIX}envoy.config.bootstrap.v3.Bootstrap")
NAME_TABLE: Final = TypeUrl(f"{PREFIX}istio.networking.nds.v1.NameTable")
HEALTH: Final = TypeUrl(f"{PREFIX}istio.v1.HealthInformation")
PROXY_CONFIG: Final = TypeUrl(f"{PREFIX}istio.mesh.v1alpha1.ProxyConfig")
WORKLOAD: Final = TypeUrl(f"{PREFIX}istio.workload.Workload")
ADDRESS: Final = TypeUrl(f"{PREFIX}istio.workload.Address")

PUSH_ORDER: Final = (CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, EXTENSION_CONFIG)
"""Make before break: clusters before who names them (Envoy docs, eventual consistency)."""

FULL_STATE: Final = frozenset({CLUSTER, LISTENER})
"""In the state-of-the-world variant, a response of these types lists all that there is."""

SHORT: Final = {
    CLUSTER: "CDS",
    ENDPOINT: "EDS",
    LISTENER: "LDS",
    ROUTE: "RDS",
    SECRET: "SDS",
    EXTENSION_CONFIG: "ECDS",
    NAME_TABLE: "NDS",
    PROXY_CONFIG: "PCDS",
    HEALTH: "HEALTH",
    BOOTSTRAP: "BDS",
    WORKLOAD: "WDS",
    ADDRESS: "WDS",
}

_ADS: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService"
STREAM_AGGREGATED: Final = f"{_ADS}/StreamAggregatedResources"
DELTA_AGGREGATED: Final = f"{_ADS}/DeltaAggregatedResources"


def short_name(type_url: str) -> str:
    """The usual three letters, or the message's own name."""
    return SHORT.get(TypeUrl(type_url)) or type_url.rpartition(".")[2]
