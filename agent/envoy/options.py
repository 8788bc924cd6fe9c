# SPDX-License-Identifier: Apache-2.0
"""What the Envoy room needs to know: frozen branches of the agent's settings. Pure. Source: spec/agent.md 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """As whom and with what environment."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """The whole environment of the child."""
    uid: int | None = None
    """User and group to become; None stays."""
    one_log: bool = False
    """PILOT_ENVOY_LOG=agent: Envoy's lines are written by the agent, in its form; else it writes them itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminOptions:
    """Where the admin port is, and what counts as traffic."""

    port: int
    host: str = "127.0.0.1"
    """``::1`` where the proxy has only IPv6 addresses."""
    inbound_only: bool = True
    """Sidecars drain inbound listeners only; gateways drain all."""
    own_ports: tuple[int, ...] = ()
    """Listeners of ours, whose connections do not hold the end up."""
