# SPDX-License-Identifier: Apache-2.0
"""What is to be captured: every setting of a run, parsed and checked. Pure values. Source: spec/agent.md 10.1.

``CaptureConfig`` decides the rules (both backends plan from it); ``RunOptions`` decides how they are applied.
Numbers that are only printed into rules stay text, as they were given; lists have no empty items.
"""

from __future__ import annotations

from typing import NamedTuple

from mesh import ports

REDIRECT = "REDIRECT"
TPROXY = "TPROXY"
ALL = "*"

OUTBOUND_MARK = "1338"
"""Set on what the proxy sends to its own pod, so that TPROXY takes it in again."""
DNS_PORT = str(ports.DNS)
"""Where the agent's resolver listens; not configurable in the peer either."""


class Ranges(NamedTuple):
    """Address ranges by family, as they were written (host bits kept); or everything."""

    everything: bool = False
    v4: tuple[str, ...] = ()
    v6: tuple[str, ...] = ()
    loopback: bool = False
    """Some range's address is a loopback one: calls to oneself are wanted in the proxy."""

    @property
    def empty(self) -> bool:
        return not (self.everything or self.v4 or self.v6)


class OwnerGroups(NamedTuple):
    """Whose outbound traffic is captured, by group name or id: everyone but ``names``, or only they."""

    exclude: bool = True
    names: tuple[str, ...] = ()


class CaptureConfig(NamedTuple):
    """Everything that the rules depend on, the host's facts included."""

    proxy_port: str = str(ports.OUTBOUND_CAPTURE)
    inbound_capture_port: str = str(ports.INBOUND_CAPTURE)
    inbound_tunnel_port: str = str(ports.HBONE)
    proxy_uids: tuple[str, ...] = (str(ports.PROXY_UID),)
    proxy_gids: tuple[str, ...] = (str(ports.PROXY_UID),)
    mode: str = REDIRECT
    """REDIRECT or TPROXY, of inbound traffic; outbound is always redirected."""
    tproxy_mark: str = "1337"
    tproxy_route_table: str = "133"
    inbound_ports: tuple[str, ...] = ()
    """Ports, or just ``*`` for all, or nothing for no inbound capture."""
    inbound_ports_exclude: tuple[str, ...] = ()
    """Only with all inbound ports."""
    outbound_ports: tuple[str, ...] = ()
    """Captured whatever their address."""
    outbound_ports_exclude: tuple[str, ...] = ()
    outbound: Ranges = Ranges()
    outbound_exclude: Ranges = Ranges()
    owner_groups: OwnerGroups = OwnerGroups()
    exclude_interfaces: tuple[str, ...] = ()
    virtual_interfaces: tuple[str, ...] = ()
    """What comes in from these (virtual machines, containers in the pod) counts as outbound."""
    loopback_v4: str = "127.0.0.1/32"
    drop_invalid: bool = False
    dns: bool = False
    """Redirect DNS; already off when there is no server to redirect from and not all are asked for."""
    dns_all: bool = False
    """To any server, not only those of resolv.conf."""
    dns_servers_v4: tuple[str, ...] = ()
    dns_servers_v6: tuple[str, ...] = ()
    ipv6: bool = False
    """IPv6 rules and routes as well; inferred from the host's addresses."""
    dual_stack: bool = False
    host_ip: str = "127.0.0.1"

    @property
    def tproxy(self) -> bool:
        return self.mode == TPROXY

    @property
    def all_inbound(self) -> bool:
        return self.inbound_ports == (ALL,)

    @property
    def inbound(self) -> bool:
        return bool(self.inbound_ports)

    @property
    def dns_active_v4(self) -> bool:
        return self.dns and (self.dns_all or bool(self.dns_servers_v4))

    @property
    def dns_active_v6(self) -> bool:
        return self.dns and (self.dns_all or bool(self.dns_servers_v6))


class RunOptions(NamedTuple):
    """How the rules are brought to the kernel, and what happens then."""

    dry_run: bool = False
    dry_run_file: str = ""
    skip_rule_apply: bool = False
    run_validation: bool = False
    probe_port: int = ports.CAPTURE_PROBE
    probe_timeout: float = 5.0
    reconcile: bool = False
    cleanup_only: bool = False
    force_apply: bool = False
    native_nftables: bool = False
    force_binary: str = ""
    """``legacy`` or ``nft``; empty: whichever of them works."""
    network_namespace: str = ""
    """Path of the pod's namespace file; empty: this process's own."""
    cni_mode: bool = False
    """The host's files with the pod's network namespace."""
    guard: bool = False
    """Ours: drop all traffic from before the first change until after the last."""
    rollback: bool = False
    """Ours: a probe that is not captured takes the rules out again."""
    comments: bool = True
    """Ours: nft rules carry their reason as a comment."""
    explain: str = ""
    """Ours: a packet; print the rule that decides about it instead of applying anything."""
