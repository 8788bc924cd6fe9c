# SPDX-License-Identifier: Apache-2.0
"""What the xDS part needs to know: one frozen branch of the agent's settings. Pure.

The agent's settings fill it from env, flags and ProxyConfig; nothing here reads them.
Source: spec/agent.md 4.1, 4.3, 4.6; DESIGN 4.3, 4.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh import paths
from mesh.compliance import TlsPolicy
from wire.h2.limits import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """The last configuration that Envoy acknowledged, for a time without a control plane."""

    enabled: bool = True
    """PILOT_XDS_CACHE; ``off`` keeps the peer's behaviour: no control plane, no configuration."""
    directory: str = ""
    """PILOT_STATE_DIR; empty keeps the store in memory. The file is ``xds.db`` in it."""
    max_age: float = 7 * 24 * 3600.0
    """PILOT_XDS_CACHE_MAX_AGE, seconds: what was acknowledged before is not served."""
    quiet: float = 1.0
    """Seconds without a new acknowledgement before changes are written."""
    patience: float = 1.0
    """Seconds that a new stream of Envoy waits for the control plane before the store answers."""
    node_id: str = ""
    """The store of another node is never served."""
    trust_domain: str = ""
    """Nor that of another trust domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XdsOptions:
    """Between Envoy's socket and the control plane."""

    socket: str = f"{paths.CONFIG_DIR}/{paths.XDS_SOCKET_NAME}"
    """``<configPath>/XDS``."""
    upstream: str
    """discoveryAddress: ``host:port`` or ``unix:/path``."""
    tls: bool = True
    """False with controlPlaneAuthPolicy NONE."""
    roots: str = ""
    """Path of the root certificates; empty trusts the system's (XDS_ROOT_CA=SYSTEM)."""
    server_name: str = ""
    """What TLS asks for and checks: ISTIOD_SAN, or by the rule of 4.3; empty is the host."""
    certificate: str = ""
    """Path of our client certificate; empty: we authenticate with the token."""
    key: str = ""
    """Path of its key."""
    token: str = ""
    """Path of the service account token, read for each stream; empty sends none."""
    headers: tuple[tuple[str, str], ...] = ()
    """XDS_HEADER_*: more stream metadata."""
    cluster_id: str = ""
    """Sent as ``clusterid``, empty too."""
    dial_timeout: float = 5.0
    """Seconds for a connection to the control plane."""
    keepalive_interval: float = 30.0
    keepalive_timeout: float = 10.0
    max_request: int = 4 * MIB
    """ISTIO_GPRC_MAXRECVMSGSIZE: bytes of one request of Envoy."""
    uds_allow: frozenset[int] | None = None
    """PILOT_UDS_ALLOW as uids; None admits everybody (the default for this socket)."""
    proxy_config_updates: bool = False
    """PROXY_CONFIG_XDS_AGENT: subscribe to ProxyConfig (PCDS) for trust anchors."""
    policy: TlsPolicy | None = None
    """COMPLIANCE_POLICY: bounds of the connection to the control plane."""
    name_table: bool = False
    """Subscribe to the name table (NDS): local DNS runs."""
    store: StoreOptions = field(default_factory=StoreOptions)
