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
    core_limits: tuple[int, int] | None = None
    """Soft and hard limit of its core dumps, in bytes; None leaves what the agent has."""
    one_log: bool = False
    """PILOT_ENVOY_LOG=agent: Envoy's lines are written by the agent, in its form; else it writes them itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HotRestartOptions:
    """Whether one Envoy can hand over to the next, and where they meet. Off, as with the peer, unless asked for."""

    enabled: bool = False
    """PILOT_HOT_RESTART: known when the first Envoy starts, for only then it can be followed."""
    socket: str = ""
    """Path that Envoy makes its own sockets' names from, ``<configPath>/HOT``."""
    parent_shutdown: float = 60.0
    """PILOT_HOT_RESTART_PARENT_SHUTDOWN, seconds: so long the old one stays after the new one has taken over."""
    patience: float = 60.0
    """PILOT_UPGRADE_TIMEOUT, seconds: for a new Envoy to become fit, and again to become live."""
    xds_socket: str = ""
    """The relay's, where the next Envoy asks whether it may go on."""
    admin_socket: str = ""
    """Admin socket of an Envoy that only rehearses."""


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
