# SPDX-License-Identifier: Apache-2.0
"""What the status server needs to know: one frozen branch of the agent's settings. Pure. Source: spec/agent.md 9."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.status.prometheus import ScrapeOptions
from mesh import ports


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOptions:
    """The whole branch."""

    port: int = ports.AGENT_STATUS
    """ProxyConfig statusPort; 0: no server."""
    host: str = ""
    """Empty is every address of the machine."""
    probe_envoy: bool = True
    """False with DISABLE_ENVOY."""
    grpc_bootstrap: str = ""
    """The proxyless bootstrap that must be there before we are ready; empty: none."""
    metrics_local_only: bool = False
    """METRICS_LOCALHOST_ACCESS_ONLY."""
    scrape: ScrapeOptions = field(default_factory=ScrapeOptions)
