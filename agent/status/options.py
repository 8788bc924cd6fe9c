# SPDX-License-Identifier: Apache-2.0
"""What the status server needs to know: one frozen branch of the agent's settings. Pure. Source: spec/agent.md 9."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.status.probers import HealthProbe, Prober
from agent.status.prometheus import ScrapeOptions
from mesh import ports


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """From where and how the application is called."""

    host: str = "localhost"
    """INSTANCE_IP, or ``localhost``."""
    source: str = "127.0.0.6"
    """``::6`` where the workload has only IPv6: capture lets this address pass to the application."""
    http2: bool = True
    """ISTIO_ENABLE_HTTP2_PROBING: offer HTTP/2 on TLS."""
    keepalive: bool = False
    """ENABLE_PROBE_KEEPALIVE_CONNECTIONS: HTTP probes of the kubelet share a connection from one to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOptions:
    """The whole branch."""

    port: int = ports.AGENT_STATUS
    """ProxyConfig statusPort; 0: no server."""
    host: str = ""
    """Empty is every address of the machine."""
    profiling: bool = True
    """--profiling: pages under /debug/pprof/ for this machine."""
    probe_envoy: bool = True
    """False with DISABLE_ENVOY."""
    grpc_bootstrap: str = ""
    """The proxyless bootstrap that must be there before we are ready; empty: none."""
    metrics_local_only: bool = False
    """METRICS_LOCALHOST_ACCESS_ONLY."""
    scrape: ScrapeOptions = field(default_factory=ScrapeOptions)
    probers: Mapping[str, Prober] = field(default_factory=dict)
    """ISTIO_KUBE_APP_PROBERS."""
    app: CallOptions = field(default_factory=CallOptions)
    """For the probes of the kubelet."""
    health: HealthProbe | None = None
    """ProxyConfig readinessProbe, which the control plane is told of."""
    health_app: CallOptions = field(default_factory=CallOptions)
    """For that probe."""
    notify_socket: str = ""
    """NOTIFY_SOCKET: the service manager that wants to know how we are; empty: none."""
    watchdog: float = 0.0
    """WATCHDOG_USEC in seconds: it wants to hear from us this often; 0: it does not."""
