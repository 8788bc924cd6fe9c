# SPDX-License-Identifier: Apache-2.0
"""The rules that a configuration means, in the order in which they are given to the kernel. Pure.

Read it as a packet's path. Where several settings meet, the order decides: a packet leaves at the first rule that
returns or jumps away. Order is also part of the contract (the peer's golden files), so new lines go where the packet
meets them, never at the end because it is convenient. Source: spec/agent.md 10.2; numbers in comments are its steps.
"""

from __future__ import annotations

from collections.abc import Iterator

from iptables import reasons
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
        _insert(Table.FILTER, chain, 1, f"-p {protocol} -j DROP", why=reasons.CHANGING)
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
                why = reasons.excluded("interface", name)
                yield _append(table, r.PREROUTING, f"-i {name} -j RETURN", why=why)
                yield _append(table, r.OUTPUT, f"-o {name} -j RETURN", why=why)
        for name in self.config.virtual_interfaces:
            why = reasons.not_inbound(name)
            yield _insert(Table.NAT, r.PREROUTING, 1, f"-i {name} -j RETURN", why=why)

    # 3

    def invalid_packets(self) -> Iterator[Rule]:
        if self.config.drop_invalid:
            why = reasons.INVALID
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
            why=reasons.HBONE,
        )
        yield _append(
            Table.NAT,
            r.REDIRECT,
            f"-p tcp -j REDIRECT --to-ports {config.proxy_port}",
            why=reasons.TO_OUTBOUND,
        )
        yield _append(
            Table.NAT,
            r.IN_REDIRECT,
            f"-p tcp -j REDIRECT --to-ports {config.inbound_capture_port}",
            why=reasons.TO_INBOUND,
        )

    # 7: into the pod

    def inbound(self) -> Iterator[Rule]:
        config = self.config
        if not config.inbound:
            return
        table = Table.MANGLE if config.tproxy else Table.NAT
        if config.tproxy:
            yield from self._tproxy_targets()
        yield _append(table, r.PREROUTING, "-p tcp -j ISTIO_INBOUND", why=reasons.LOOK_INBOUND)
        if config.all_inbound:
            for port in config.inbound_ports_exclude:
                yield _append(
                    table,
                    r.INBOUND,
                    f"-p tcp --dport {port} -j RETURN",
                    why=reasons.excluded("inbound port", port),
                )
            yield from self._captured_in("", reasons.ALL_INBOUND)
            return
        for port in config.inbound_ports:
            yield from self._captured_in(f"--dport {port}", reasons.captured("inbound port", port))

    def _tproxy_targets(self) -> Iterator[Rule]:
        mark, port = self.config.tproxy_mark, self.config.inbound_capture_port
        known = reasons.KNOWN
        yield _append(Table.MANGLE, r.DIVERT, f"-j MARK --set-mark {mark}", why=known)
        yield _append(Table.MANGLE, r.DIVERT, "-j ACCEPT", why=known)
        yield _append(
            Table.MANGLE,
            r.TPROXY,
            f"! -d {self.loopback} -p tcp -j TPROXY --tproxy-mark {mark}/{ALL_BITS} --on-port {port}",
            why=reasons.TO_INBOUND_TPROXY,
        )

    def _captured_in(self, ports: str, why: str) -> Iterator[Rule]:
        if not self.config.tproxy:
            yield _append(Table.NAT, r.INBOUND, f"-p tcp {ports} -j ISTIO_IN_REDIRECT", why=why)
            return
        yield _append(
            Table.MANGLE,
            r.INBOUND,
            f"-p tcp {ports} -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT",
            why=reasons.already(why),
        )
        yield _append(Table.MANGLE, r.INBOUND, f"-p tcp {ports} -j ISTIO_TPROXY", why=why)

    # 8 to 13: out of the pod, by port and owner

    def outbound(self) -> Iterator[Rule]:
        yield _append(Table.NAT, r.OUTPUT, "-j ISTIO_OUTPUT", why=reasons.LOOK_OUTBOUND)
        for port in self.config.outbound_ports_exclude:
            why = reasons.excluded("outbound port", port)
            yield self._out(f"-p tcp --dport {port} -j RETURN", why)
            yield self._out(f"-p udp --dport {port} -j RETURN", why)
        yield self._out(
            f"-o lo -s {self.family.passthrough} -j RETURN",
            reasons.PASSTHROUGH,
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
            reasons.OWN_POD,
        )
        if not config.outbound.loopback:
            dns = "-p tcp ! --dport 53" if config.dns else ""
            yield self._out(f"-o lo {dns} {not_proxy} -j RETURN", reasons.ITSELF)
        yield self._out(f"{is_proxy} -j RETURN", reasons.NO_LOOP)

    def _owner_groups(self) -> Iterator[Rule]:
        groups = self.config.owner_groups
        if groups.exclude:
            for name in groups.names:
                yield self._out(
                    f"-m owner --gid-owner {name} -j RETURN", reasons.excluded("owner group", name)
                )
            return
        others = " ".join(f"-m owner ! --gid-owner {name}" for name in groups.names)
        yield self._out(f"{others} -j RETURN", reasons.ONLY_GROUPS)

    # 14: name resolution

    def dns(self) -> Iterator[Rule]:
        if not self.config.dns:
            return
        yield _append(Table.RAW, r.OUTPUT, "-j ISTIO_OUTPUT_DNS", why=reasons.DNS_ZONES)
        if self.dns_here:
            yield self._out("-j ISTIO_OUTPUT_DNS", reasons.LOOK_DNS)
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
                    why=reasons.TO_RESOLVER,
                )

    def _owner_zones(self) -> Iterator[Rule]:
        owners = [f"--uid-owner {uid}" for uid in self.config.proxy_uids]
        owners += [f"--gid-owner {gid}" for gid in self.config.proxy_gids]
        for owner in owners:
            yield self._zone(
                r.OUT_DNS,
                f"--dport 53 -m owner {owner}",
                OWN_ZONE,
                reasons.OWN_QUERIES,
            )
            yield self._zone(
                r.OUT_DNS,
                f"--sport {DNS_PORT} -m owner {owner}",
                APP_ZONE,
                reasons.OWN_ANSWERS,
            )

    def _query_zones(self) -> Iterator[Rule]:
        if not self.dns_here:
            return
        why_jump = reasons.DNS_ANSWERS
        yield _append(Table.RAW, r.PREROUTING, "-j ISTIO_INBOUND", why=why_jump)
        asked, answered = reasons.APP_QUERIES, reasons.SERVER_ANSWERS
        if self.config.dns_all:
            yield self._zone(r.OUT_DNS, "--dport 53", APP_ZONE, asked)
            yield self._zone(r.INBOUND, "--sport 53", OWN_ZONE, answered)
            return
        for server in self.servers:
            address = f"{server}{self.family.host_mask}"
            yield self._zone(r.OUT_DNS, f"--dport 53 -d {address}", APP_ZONE, asked)
            yield self._zone(r.INBOUND, f"--sport 53 -s {address}", OWN_ZONE, answered)

    def _zone(self, chain: str, match: str, zone: str, why: str) -> Rule:
        return _append(Table.RAW, chain, f"-p udp {match} -j CT --zone {zone}", why=why)

    # 15 to 18: out of the pod, by destination

    def destinations(self) -> Iterator[Rule]:
        yield self._out(f"-d {self.loopback} -j RETURN", reasons.LOOPBACK)
        for cidr in self.excluded:
            yield self._out(f"-d {cidr} -j RETURN", reasons.excluded("outbound range", cidr))
        for port in self.config.outbound_ports:
            yield self._out(
                f"-p tcp --dport {port} -j ISTIO_REDIRECT", reasons.captured("outbound port", port)
            )
        if self.config.outbound.everything:
            yield self._out("-j ISTIO_REDIRECT", reasons.ALL_OUTBOUND)
            yield from self._virtual("", "all")
        for cidr in self.included:
            yield from self._virtual(f"-d {cidr} ", cidr)
            yield self._out(
                f"-d {cidr} -j ISTIO_REDIRECT", reasons.captured("outbound range", cidr)
            )

    def _virtual(self, destination: str, what: str) -> Iterator[Rule]:
        for name in self.config.virtual_interfaces:
            yield _insert(
                Table.NAT,
                r.PREROUTING,
                1,
                f"-i {name} {destination}-j ISTIO_REDIRECT",
                why=reasons.outbound_of(name, what),
            )

    # 19: marks that keep TPROXY connections together

    def marks(self) -> Iterator[Rule]:
        mark, mangle = self.config.tproxy_mark, Table.MANGLE
        yield _append(
            mangle,
            r.PREROUTING,
            f"-p tcp -m mark --mark {mark} -j CONNMARK --save-mark",
            why=reasons.REMEMBERED,
        )
        yield _append(
            mangle,
            r.OUTPUT,
            f"-p tcp -o lo -m mark --mark {mark} -j RETURN",
            why=reasons.CARRIES_MARK,
        )
        owners = [f"--uid-owner {uid}" for uid in self.config.proxy_uids]
        owners += [f"--gid-owner {gid}" for gid in self.config.proxy_gids]
        for owner in owners:
            yield _append(
                mangle,
                r.OUTPUT,
                f"! -d {self.loopback} -p tcp -o lo -m owner {owner} -j MARK --set-mark {OUTBOUND_MARK}",
                why=reasons.MARKED_OWN_POD,
            )
        yield _append(
            mangle,
            r.OUTPUT,
            f"-p tcp -m connmark --mark {mark} -j CONNMARK --restore-mark",
            why=reasons.BACK_TO_PROXY,
        )
        yield _insert(
            mangle,
            r.INBOUND,
            1,
            f"-p tcp -m mark --mark {mark} -j RETURN",
            why=reasons.TAKEN,
        )
        yield _insert(
            mangle,
            r.INBOUND,
            2,
            f"-p tcp -s {self.family.passthrough} -i lo -j RETURN",
            why=reasons.PASSTHROUGH,
        )
        yield _insert(
            mangle,
            r.INBOUND,
            3,
            f"-p tcp -i lo -m mark ! --mark {OUTBOUND_MARK} -j RETURN",
            why=reasons.ITSELF,
        )
