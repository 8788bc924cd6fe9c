# SPDX-License-Identifier: Apache-2.0
"""The rules that a configuration means, in the order in which they are given to the kernel. Pure.

Read it as a packet's path. Where several settings meet, the order decides: a packet leaves at the first rule that
returns or jumps away. Order is also part of the contract (the peer's golden files), so new lines go where the packet
meets them, never at the end because it is convenient. Source: spec/agent.md 10.2; numbers in comments are its steps.
"""

from __future__ import annotations

from collections.abc import Iterator

from iptables import rules as r
from iptables.config import DNS_PORT, OUTBOUND_MARK, CaptureConfig
from iptables.rules import Family, Plan, Rule, Table

ALL_BITS = "0xffffffff"
OWN_ZONE, APP_ZONE = "1", "2"
"""Connection tracking zones that keep the resolver's own queries and the app's apart: both may use the same ports."""


def plan(config: CaptureConfig) -> Plan:
    """Rules of both families; none of IPv6 when it is not captured."""
    v4 = tuple(_family(config, Family.V4))
    return Plan(v4, tuple(_family(config, Family.V6)) if config.ipv6 else ())


def guard_rules() -> tuple[Rule, ...]:
    """While rules are being changed nothing passes half-captured: all TCP and UDP is dropped."""
    return tuple(
        _insert(Table.FILTER, chain, 1, f"-p {protocol} -j DROP", why="rules are being changed")
        for chain in (r.INPUT, r.FORWARD, r.OUTPUT)
        for protocol in ("tcp", "udp")
    )


def _family(config: CaptureConfig, family: Family) -> Iterator[Rule]:
    path = _Path(config, family)
    yield from path.interfaces()
    yield from path.invalid_packets()
    yield from path.targets()
    yield from path.inbound()
    yield from path.outbound()
    yield from path.dns()
    yield from path.destinations()
    if config.tproxy:
        yield from path.marks()


def _append(table: str, chain: str, match: str, *, why: str) -> Rule:
    return Rule(table, chain, tuple(match.split()), why)


def _insert(table: str, chain: str, position: int, match: str, *, why: str) -> Rule:
    return Rule(table, chain, tuple(match.split()), why, position)


class _Path:
    """One family's rules, a method for each stretch of the way."""

    def __init__(self, config: CaptureConfig, family: Family) -> None:
        self.config = config
        self.family = family
        v4 = family is Family.V4
        self.loopback = config.loopback_v4 if v4 else "::1/128"
        self.included = config.outbound.v4 if v4 else config.outbound.v6
        self.excluded = config.outbound_exclude.v4 if v4 else config.outbound_exclude.v6
        self.servers = config.dns_servers_v4 if v4 else config.dns_servers_v6
        self.dns_here = config.dns_active_v4 if v4 else config.dns_active_v6

    # 1, 2: by interface, before everything else

    def interfaces(self) -> Iterator[Rule]:
        tables = (Table.NAT, Table.MANGLE) if self.config.tproxy else (Table.NAT,)
        for table in tables:
            for name in self.config.exclude_interfaces:
                why = f"interface {name} is excluded"
                yield _append(table, r.PREROUTING, f"-i {name} -j RETURN", why=why)
                yield _append(table, r.OUTPUT, f"-o {name} -j RETURN", why=why)
        for name in self.config.virtual_interfaces:
            why = f"what comes from {name} is outbound traffic, not for this pod's inbound capture"
            yield _insert(Table.NAT, r.PREROUTING, 1, f"-i {name} -j RETURN", why=why)

    # 3

    def invalid_packets(self) -> Iterator[Rule]:
        if self.config.drop_invalid:
            why = "packets out of any connection would reach the app unproxied and be answered by a reset"
            yield _append(
                Table.MANGLE,
                r.PREROUTING,
                "-m conntrack --ctstate INVALID -j ISTIO_DROP",
                why=why,
            )
            yield _append(Table.MANGLE, r.DROP, "-j DROP", why=why)

    # 4 to 6: where captured traffic goes

    def targets(self) -> Iterator[Rule]:
        config = self.config
        yield _append(
            Table.NAT,
            r.INBOUND,
            f"-p tcp --dport {config.inbound_tunnel_port} -j RETURN",
            why="HBONE already speaks to the proxy",
        )
        yield _append(
            Table.NAT,
            r.REDIRECT,
            f"-p tcp -j REDIRECT --to-ports {config.proxy_port}",
            why="outbound traffic goes to the proxy",
        )
        yield _append(
            Table.NAT,
            r.IN_REDIRECT,
            f"-p tcp -j REDIRECT --to-ports {config.inbound_capture_port}",
            why="inbound traffic goes to the proxy",
        )

    # 7: into the pod

    def inbound(self) -> Iterator[Rule]:
        config = self.config
        if not config.inbound:
            return
        table = Table.MANGLE if config.tproxy else Table.NAT
        if config.tproxy:
            yield from self._tproxy_targets()
        yield _append(
            table, r.PREROUTING, "-p tcp -j ISTIO_INBOUND", why="inbound TCP is looked at"
        )
        if config.all_inbound:
            for port in config.inbound_ports_exclude:
                yield _append(
                    table,
                    r.INBOUND,
                    f"-p tcp --dport {port} -j RETURN",
                    why=f"inbound port {port} is excluded",
                )
            yield from self._captured_in("", "all inbound ports are captured")
            return
        for port in config.inbound_ports:
            yield from self._captured_in(f"--dport {port}", f"inbound port {port} is captured")

    def _tproxy_targets(self) -> Iterator[Rule]:
        mark, port = self.config.tproxy_mark, self.config.inbound_capture_port
        known = "a known connection: the mark routes it to the proxy's socket"
        yield _append(Table.MANGLE, r.DIVERT, f"-j MARK --set-mark {mark}", why=known)
        yield _append(Table.MANGLE, r.DIVERT, "-j ACCEPT", why=known)
        yield _append(
            Table.MANGLE,
            r.TPROXY,
            f"! -d {self.loopback} -p tcp -j TPROXY --tproxy-mark {mark}/{ALL_BITS} --on-port {port}",
            why="inbound traffic goes to the proxy with both addresses kept",
        )

    def _captured_in(self, ports: str, why: str) -> Iterator[Rule]:
        if not self.config.tproxy:
            yield _append(Table.NAT, r.INBOUND, f"-p tcp {ports} -j ISTIO_IN_REDIRECT", why=why)
            return
        yield _append(
            Table.MANGLE,
            r.INBOUND,
            f"-p tcp {ports} -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT",
            why=f"{why}; this connection was already",
        )
        yield _append(Table.MANGLE, r.INBOUND, f"-p tcp {ports} -j ISTIO_TPROXY", why=why)

    # 8 to 13: out of the pod, by port and owner

    def outbound(self) -> Iterator[Rule]:
        yield _append(Table.NAT, r.OUTPUT, "-j ISTIO_OUTPUT", why="outbound traffic is looked at")
        for port in self.config.outbound_ports_exclude:
            why = f"outbound port {port} is excluded"
            yield self._out(f"-p tcp --dport {port} -j RETURN", why)
            yield self._out(f"-p udp --dport {port} -j RETURN", why)
        yield self._out(
            f"-o lo -s {self.family.passthrough} -j RETURN",
            "the proxy hands inbound traffic to the app",
        )
        for uid in self.config.proxy_uids:
            yield from self._proxy_owned("uid", uid)
        for gid in self.config.proxy_gids:
            yield from self._proxy_owned("gid", gid)
        yield from self._owner_groups()

    def _out(self, match: str, why: str) -> Rule:
        return _append(Table.NAT, r.OUT, match, why=why)

    def _proxy_owned(self, kind: str, owner: str) -> Iterator[Rule]:
        config = self.config
        is_proxy, not_proxy = (
            f"-m owner --{kind}-owner {owner}",
            f"-m owner ! --{kind}-owner {owner}",
        )
        tunnel = config.inbound_tunnel_port
        # The peer excludes DNS by uid only.
        ports = (
            f"-m multiport ! --dports 53,{tunnel}"
            if config.dns and kind == "uid"
            else f"! --dport {tunnel}"
        )
        yield self._out(
            f"-o lo ! -d {self.loopback} -p tcp {ports} {is_proxy} -j ISTIO_IN_REDIRECT",
            "the proxy calls its own pod by its service's address: that is inbound traffic again",
        )
        if not config.outbound.loopback:
            dns = "-p tcp ! --dport 53" if config.dns else ""
            yield self._out(
                f"-o lo {dns} {not_proxy} -j RETURN", "the app talks to itself, past the proxy"
            )
        yield self._out(f"{is_proxy} -j RETURN", "traffic of the proxy itself must not loop")

    def _owner_groups(self) -> Iterator[Rule]:
        groups = self.config.owner_groups
        if groups.exclude:
            for name in groups.names:
                yield self._out(
                    f"-m owner --gid-owner {name} -j RETURN", f"owner group {name} is excluded"
                )
            return
        others = " ".join(f"-m owner ! --gid-owner {name}" for name in groups.names)
        yield self._out(f"{others} -j RETURN", "only traffic of the named owner groups is captured")

    # 14: name resolution

    def dns(self) -> Iterator[Rule]:
        if not self.config.dns:
            return
        yield _append(
            Table.RAW, r.OUTPUT, "-j ISTIO_OUTPUT_DNS", why="DNS is put into its own zones"
        )
        if self.dns_here:
            yield self._out("-j ISTIO_OUTPUT_DNS", "DNS is looked at")
            yield from self._dns_redirects()
        yield from self._owner_zones()
        yield from self._query_zones()

    def _dns_redirects(self) -> Iterator[Rule]:
        to = [f"-d {server}{self.family.host_mask} " for server in self.servers]
        for protocol, option in (("tcp", "--to-ports"), ("udp", "--to-port")):
            for destination in [""] if self.config.dns_all else to:
                yield _append(
                    Table.NAT,
                    r.OUT_DNS,
                    f"-p {protocol} --dport 53 {destination}-j REDIRECT {option} {DNS_PORT}",
                    why="DNS goes to the agent's resolver",
                )

    def _owner_zones(self) -> Iterator[Rule]:
        owners = [f"--uid-owner {uid}" for uid in self.config.proxy_uids]
        owners += [f"--gid-owner {gid}" for gid in self.config.proxy_gids]
        for owner in owners:
            yield self._zone(
                r.OUT_DNS,
                f"--dport 53 -m owner {owner}",
                OWN_ZONE,
                "the resolver's own queries",
            )
            yield self._zone(
                r.OUT_DNS,
                f"--sport {DNS_PORT} -m owner {owner}",
                APP_ZONE,
                "the resolver's answers to the app",
            )

    def _query_zones(self) -> Iterator[Rule]:
        if not self.dns_here:
            return
        why_jump = "answers of DNS servers are put into their zone"
        yield _append(Table.RAW, r.PREROUTING, "-j ISTIO_INBOUND", why=why_jump)
        asked, answered = "the app's queries", "answers to the resolver's own queries"
        if self.config.dns_all:
            yield self._zone(r.OUT_DNS, "--dport 53", APP_ZONE, asked)
            yield self._zone(r.INBOUND, "--sport 53", OWN_ZONE, answered)
            return
        for server in self.servers:
            address = f"{server}{self.family.host_mask}"
            yield self._zone(r.OUT_DNS, f"--dport 53 -d {address}", APP_ZONE, asked)
            yield self._zone(r.INBOUND, f"--sport 53 -s {address}", OWN_ZONE, answered)

    def _zone(self, chain: str, match: str, zone: str, what: str) -> Rule:
        return _append(
            Table.RAW, chain, f"-p udp {match} -j CT --zone {zone}", why=f"{what} are tracked apart"
        )

    # 15 to 18: out of the pod, by destination

    def destinations(self) -> Iterator[Rule]:
        yield self._out(f"-d {self.loopback} -j RETURN", "loopback addresses stay in the pod")
        for cidr in self.excluded:
            yield self._out(f"-d {cidr} -j RETURN", f"outbound range {cidr} is excluded")
        for port in self.config.outbound_ports:
            yield self._out(
                f"-p tcp --dport {port} -j ISTIO_REDIRECT", f"outbound port {port} is captured"
            )
        if self.config.outbound.everything:
            yield self._out("-j ISTIO_REDIRECT", "all outbound traffic is captured")
            yield from self._virtual("", "all")
        for cidr in self.included:
            yield from self._virtual(f"-d {cidr} ", cidr)
            yield self._out(f"-d {cidr} -j ISTIO_REDIRECT", f"outbound range {cidr} is captured")

    def _virtual(self, destination: str, what: str) -> Iterator[Rule]:
        for name in self.config.virtual_interfaces:
            yield _insert(
                Table.NAT,
                r.PREROUTING,
                1,
                f"-i {name} {destination}-j ISTIO_REDIRECT",
                why=f"outbound traffic of {name} to {what} is captured",
            )

    # 19: marks that keep TPROXY connections together

    def marks(self) -> Iterator[Rule]:
        mark, mangle = self.config.tproxy_mark, Table.MANGLE
        yield _append(
            mangle,
            r.PREROUTING,
            f"-p tcp -m mark --mark {mark} -j CONNMARK --save-mark",
            why="the connection remembers that the proxy took it",
        )
        yield _append(
            mangle,
            r.OUTPUT,
            f"-p tcp -o lo -m mark --mark {mark} -j RETURN",
            why="the proxy's packets to the app already carry the mark",
        )
        owners = [f"--uid-owner {uid}" for uid in self.config.proxy_uids]
        owners += [f"--gid-owner {gid}" for gid in self.config.proxy_gids]
        for owner in owners:
            yield _append(
                mangle,
                r.OUTPUT,
                f"! -d {self.loopback} -p tcp -o lo -m owner {owner} -j MARK --set-mark {OUTBOUND_MARK}",
                why="the proxy calls its own pod: marked so that inbound capture takes it",
            )
        yield _append(
            mangle,
            r.OUTPUT,
            f"-p tcp -m connmark --mark {mark} -j CONNMARK --restore-mark",
            why="the app's answers are routed back to the proxy",
        )
        yield _insert(
            mangle,
            r.INBOUND,
            1,
            f"-p tcp -m mark --mark {mark} -j RETURN",
            why="already taken by the proxy",
        )
        yield _insert(
            mangle,
            r.INBOUND,
            2,
            f"-p tcp -s {self.family.passthrough} -i lo -j RETURN",
            why="the proxy hands inbound traffic to the app",
        )
        yield _insert(
            mangle,
            r.INBOUND,
            3,
            f"-p tcp -i lo -m mark ! --mark {OUTBOUND_MARK} -j RETURN",
            why="the app talks to itself, past the proxy",
        )
