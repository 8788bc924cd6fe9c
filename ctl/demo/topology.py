# SPDX-License-Identifier: Apache-2.0
"""What the demo consists of: workloads, addresses, ports, and the Istio YAML that describes them. Pure.

Workloads run in ``INTERCEPTION_MODE: NONE``: a ``Sidecar`` resource gives each its listeners on a loopback
address of its own, so neither root nor iptables is needed; with capture (``captured``) they need none. The YAML
is plain Istio: istiod accepts it unchanged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

NAMESPACE = "demo"
TRUST_DOMAIN = "cluster.local"
HOST = f"reviews.{NAMESPACE}.svc.cluster.local"
SERVICE_PORT = 80
"""The port that clients name; istiod's HTTP_PROXY listeners match no other without a port in the host."""


WORKLOADS = (
    ("client", "client", "v1"),
    ("reviews-v1", "reviews", "v1"),
    ("reviews-v2", "reviews", "v2"),
)
"""Name, service account and version of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One pod's worth: an application, its sidecar, their addresses."""

    name: str
    account: str
    version: str
    address: str
    app_port: int
    inbound_port: int
    outbound_port: int
    admin_port: int
    status_port: int
    envoy_status_port: int
    prometheus_port: int

    @property
    def labels(self) -> dict[str, str]:
        return {"app": self.account, "version": self.version}

    @property
    def spiffe(self) -> str:
        return f"spiffe://{TRUST_DOMAIN}/ns/{NAMESPACE}/sa/{self.account}"

    @property
    def proxy_url(self) -> str:
        """Where this workload's application finds the mesh: an HTTP proxy."""
        return f"http://{self.address}:{self.outbound_port}"


def mesh_yaml() -> str:
    """Mesh config: nothing but the trust domain."""
    return f"trustDomain: {TRUST_DOMAIN}\n"


def sidecar_yaml(workload: Workload) -> str:
    """The listeners of one workload: one in, with mutual TLS; one out, an explicit HTTP proxy."""
    return f"""\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {workload.name}, namespace: {NAMESPACE}}}
spec:
  workloadSelector: {{labels: {{app: {workload.account}, version: {workload.version}}}}}
  ingress:
  - port: {{number: {workload.inbound_port}, protocol: HTTP, name: http}}
    bind: {workload.address}
    captureMode: NONE
    defaultEndpoint: 127.0.0.1:{workload.app_port}
  egress:
  - port: {{number: {workload.outbound_port}, protocol: HTTP_PROXY, name: http-proxy}}
    bind: {workload.address}
    captureMode: NONE
    hosts: ["*/*"]
"""


def service_yaml(reviews: list[Workload], *, address: str = "") -> str:
    """The service ``reviews`` with an endpoint for each of its workloads, and with an address if it has one."""
    own_address = f"\n  addresses: [{address}]" if address else ""
    endpoints = "\n".join(
        f"  - {{address: {w.address}, ports: {{http: {w.inbound_port}}}, "
        f"labels: {{app: {w.account}, version: {w.version}, security.istio.io/tlsMode: istio}}, "
        f"serviceAccount: {w.account}}}"
        for w in reviews
    )
    return f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews, namespace: {NAMESPACE}}}
spec:
  hosts: [{HOST}]{own_address}
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {{number: {SERVICE_PORT}, name: http, protocol: HTTP, targetPort: {reviews[0].inbound_port}}}
  endpoints:
{endpoints}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews, namespace: {NAMESPACE}}}
spec:
  host: {HOST}
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
"""


def canary_yaml(v1: int, v2: int) -> str:
    """Traffic split between the two versions, in percent."""
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews, namespace: {NAMESPACE}}}
spec:
  hosts: [{HOST}]
  http:
  - route:
    - {{destination: {{host: {HOST}, subset: v1}}, weight: {v1}}}
    - {{destination: {{host: {HOST}, subset: v2}}, weight: {v2}}}
    retries: {{attempts: 0}}
"""


def security_yaml() -> str:
    """Mutual TLS everywhere; only the client may read, and only GET."""
    return f"""\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: {NAMESPACE}}}
spec:
  mtls: {{mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: reviews-readers, namespace: {NAMESPACE}}}
spec:
  selector: {{matchLabels: {{app: reviews}}}}
  action: ALLOW
  rules:
  - from:
    - source: {{principals: ["{TRUST_DOMAIN}/ns/{NAMESPACE}/sa/client"]}}
    to:
    - operation: {{methods: [GET]}}
"""


def proxy_config(workload: Workload, *, discovery: str, envoy: str, drain: str) -> dict[str, Any]:
    """The ProxyConfig of one sidecar, as ``PROXY_CONFIG`` takes it."""
    return {
        "discoveryAddress": discovery,
        "binaryPath": envoy,
        "proxyAdminPort": workload.admin_port,
        "statusPort": workload.status_port,
        "terminationDrainDuration": drain,
        "concurrency": 1,
    }


def agent_environment(
    workload: Workload,
    *,
    discovery: str,
    envoy: str,
    drain: str,
    ttl: str,
    state: str,
    identity: str,
    interception: str = "NONE",
) -> dict[str, str]:
    """The environment of one agent: what the injector and the kubelet would set in a pod."""
    config = proxy_config(workload, discovery=discovery, envoy=envoy, drain=drain)
    return {
        "POD_NAME": workload.name,
        "POD_NAMESPACE": NAMESPACE,
        "SERVICE_ACCOUNT": workload.account,
        "INSTANCE_IP": workload.address,
        "TRUST_DOMAIN": TRUST_DOMAIN,
        "ISTIOD_SAN": "istiod.istio-system.svc",
        "PROXY_CONFIG": json.dumps(config),
        "ENVOY_STATUS_PORT": str(workload.envoy_status_port),
        "ENVOY_PROMETHEUS_PORT": str(workload.prometheus_port),
        "ISTIO_META_INTERCEPTION_MODE": interception,
        "ISTIO_META_CLUSTER_ID": "Kubernetes",
        "ISTIO_METAJSON_LABELS": json.dumps(workload.labels),
        "SECRET_TTL": ttl,
        "CLOUD_PLATFORM": "none",
        "PILOT_STATE_DIR": state,
        "PILOT_IDENTITY_DIR": identity,
    }
