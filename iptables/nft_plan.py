# SPDX-License-Identifier: Apache-2.0
"""The rules that a configuration means for ``--native-nftables``, in the order in which they are given to nft. Pure.

The packet's path is ``plan``'s; here both families share their tables, so a rule that names no address stands once,
and one that does has a twin for IPv6. Order is part of the contract here too (the peer's golden files). Source:
spec/agent.md 10.8; numbers in comments are its steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from iptables import nft_rules as n
from iptables import reasons
from iptables.config import DNS_PORT, OUTBOUND_MARK, CaptureConfig
from iptables.nft_rules import NftRule, NftTable, interface
from iptables.plan import APP_ZONE, OWN_ZONE
from iptables.rules import Family

TCP = "meta l4proto tcp"
NAT, MANGLE, RAW = NftTable.NAT, NftTable.MANGLE, NftTable.RAW


def plan(config: CaptureConfig) -> tuple[NftRule, ...]:
    """All rules. Those that name IPv6 addresses are left out when IPv6 is not captured."""
    return tuple(_rules(_Path(config)))


def _rules(path: _Path) -> Iterator[NftRule]:
    yield from path.interfaces()
    yield from path.invalid_packets()
    yield from path.targets()
    yield from path.inbound()
    yield from path.outbound()
    yield from path.dns()
    yield from path.destinations()
    if path.config.tproxy:
        yield from path.marks()


class _Side(NamedTuple):
    """What differs between the families: the word for an address, and addresses."""

    word: str
    family: Family
    loopback: str
    servers: tuple[str, ...]
    included: tuple[str, ...]
    excluded: tuple[str, ...]

    def host(self, server: str) -> str:
        return f"{server}{self.family.host_mask}"


def _sides(config: CaptureConfig) -> tuple[_Side, ...]:
    outbound, excluded = config.outbound, config.outbound_exclude
    v4 = _Side("ip", Family.V4, config.loopback_v4, config.dns_servers_v4, outbound.v4, excluded.v4)
    v6 = _Side("ip6", Family.V6, "::1/128", config.dns_servers_v6, outbound.v6, excluded.v6)
    return (v4, v6) if config.ipv6 else (v4,)


def _out(text: str, why: str) -> NftRule:
    return NftRule(NAT, n.OUT, text, why)


class _Path:
    """A method for each stretch of the way."""

    def __init__(self, config: CaptureConfig) -> None:
        self.config = config
        self.sides = _sides(config)
        self.owners = [("skuid", uid) for uid in config.proxy_uids]
        self.owners += [("skgid", gid) for gid in config.proxy_gids]

    # 1, 2: by interface, before everything else

    def interfaces(self) -> Iterator[NftRule]:
        for table in (NAT, MANGLE) if self.config.tproxy else (NAT,):
            for name in self.config.exclude_interfaces:
                why, quoted = reasons.excluded("interface", name), interface(name)
                yield NftRule(table, n.PREROUTING, f"iifname {quoted} counter return", why)
                yield NftRule(table, n.OUTPUT, f"oifname {quoted} counter return", why)
        for name in self.config.virtual_interfaces:
            text = f"iifname {interface(name)} counter return"
            yield NftRule(NAT, n.PREROUTING, text, reasons.not_inbound(name), position=0)

    # 3

    def invalid_packets(self) -> Iterator[NftRule]:
        if self.config.drop_invalid:
            text = f"{TCP} ct state invalid counter jump {n.DROP}"
            yield NftRule(MANGLE, n.PREROUTING, text, reasons.INVALID)
            yield NftRule(MANGLE, n.DROP, "counter drop", reasons.INVALID)

    # 4 to 6: where captured traffic goes

    def targets(self) -> Iterator[NftRule]:
        config = self.config
        tunnel = f"{TCP} tcp dport {config.inbound_tunnel_port} counter return"
        outbound = f"{TCP} counter redirect to :{config.proxy_port}"
        inbound = f"{TCP} counter redirect to :{config.inbound_capture_port}"
        yield NftRule(NAT, n.INBOUND, tunnel, reasons.HBONE)
        yield NftRule(NAT, n.REDIRECT, outbound, reasons.TO_OUTBOUND)
        yield NftRule(NAT, n.IN_REDIRECT, inbound, reasons.TO_INBOUND)

    # 7: into the pod

    def inbound(self) -> Iterator[NftRule]:
        config = self.config
        if not config.inbound:
            return
        table = MANGLE if config.tproxy else NAT
        if config.tproxy:
            yield from self._tproxy_targets()
        look = f"{TCP} counter jump {n.INBOUND}"
        yield NftRule(table, n.PREROUTING, look, reasons.LOOK_INBOUND)
        if config.all_inbound:
            for port in config.inbound_ports_exclude:
                text = f"{TCP} tcp dport {port} counter return"
                yield NftRule(table, n.INBOUND, text, reasons.excluded("inbound port", port))
            yield from self._captured_in("", reasons.ALL_INBOUND)
            return
        for port in config.inbound_ports:
            yield from self._captured_in(
                f"tcp dport {port} ", reasons.captured("inbound port", port)
            )

    def _tproxy_targets(self) -> Iterator[NftRule]:
        mark, port = self.config.tproxy_mark, self.config.inbound_capture_port
        yield NftRule(MANGLE, n.DIVERT, f"counter meta mark set {mark}", reasons.KNOWN)
        yield NftRule(MANGLE, n.DIVERT, "counter accept", reasons.KNOWN)
        for side in self.sides:
            text = (
                f"{TCP} {side.word} daddr != {side.loopback} "
                f"tproxy {side.word} to :{port} meta mark set {mark} counter accept"
            )
            yield NftRule(MANGLE, n.TPROXY, text, reasons.TO_INBOUND_TPROXY)

    def _captured_in(self, ports: str, why: str) -> Iterator[NftRule]:
        if not self.config.tproxy:
            yield NftRule(NAT, n.INBOUND, f"{TCP} {ports}counter jump {n.IN_REDIRECT}", why)
            return
        known = f"{TCP} ct state related,established {ports}counter jump {n.DIVERT}"
        yield NftRule(MANGLE, n.INBOUND, known, reasons.already(why))
        yield NftRule(MANGLE, n.INBOUND, f"{TCP} {ports}counter jump {n.TPROXY}", why)

    # 8 to 13: out of the pod, by port and owner

    def outbound(self) -> Iterator[NftRule]:
        yield NftRule(NAT, n.OUTPUT, f"counter jump {n.OUT}", reasons.LOOK_OUTBOUND)
        for port in self.config.outbound_ports_exclude:
            why = reasons.excluded("outbound port", port)
            yield _out(f"tcp dport {port} counter return", why)
            yield _out(f"udp dport {port} counter return", why)
        for side in self.sides:
            source = f"{side.word} saddr {side.family.passthrough}"
            yield _out(f"oifname lo {source} counter return", reasons.PASSTHROUGH)
        for kind, owner in self.owners:
            yield from self._proxy_owned(kind, owner)
        yield from self._owner_groups()

    def _proxy_owned(self, kind: str, owner: str) -> Iterator[NftRule]:
        config = self.config
        tunnel = config.inbound_tunnel_port
        # The peer excludes DNS by uid only.
        ports = f"{{ 53, {tunnel} }}" if config.dns and kind == "skuid" else tunnel
        for side in self.sides:
            own_pod = f"{side.word} daddr != {side.loopback} tcp dport != {ports} {kind} {owner}"
            yield _out(f"oifname lo {TCP} {own_pod} counter jump {n.IN_REDIRECT}", reasons.OWN_POD)
        if not config.outbound.loopback:
            dns = f"{TCP} tcp dport != 53 " if config.dns else ""
            yield _out(f"oifname lo {dns}{kind} != {owner} counter return", reasons.ITSELF)
        yield _out(f"{kind} {owner} counter return", reasons.NO_LOOP)

    def _owner_groups(self) -> Iterator[NftRule]:
        groups = self.config.owner_groups
        if groups.exclude:
            for name in groups.names:
                yield _out(f"skgid {name} counter return", reasons.excluded("owner group", name))
            return
        others = "".join(f"skgid != {name} " for name in groups.names)
        yield _out(f"{others}counter return", reasons.ONLY_GROUPS)

    # 14: name resolution

    def dns(self) -> Iterator[NftRule]:
        config = self.config
        if not config.dns:
            return
        yield NftRule(RAW, n.OUTPUT, f"counter jump {n.OUT_DNS}", reasons.DNS_ZONES)
        # The peer jumps for IPv6 servers without IPv6 capture too: to a chain that it does not make, which nft refuses.
        redirected = config.dns_all or any(side.servers for side in self.sides)
        if redirected:
            yield _out(f"counter jump {n.OUT_DNS}", reasons.LOOK_DNS)
            yield from self._dns_redirects()
        yield from self._owner_zones()
        if redirected:
            yield from self._query_zones()

    def _dns_redirects(self) -> Iterator[NftRule]:
        servers = [f"{s.word} daddr {s.host(each)} " for s in self.sides for each in s.servers]
        for protocol, any_server in (("tcp", f"{TCP} "), ("udp", "")):
            for destination in [any_server] if self.config.dns_all else servers:
                text = f"{destination}{protocol} dport 53 counter redirect to :{DNS_PORT}"
                yield NftRule(NAT, n.OUT_DNS, text, reasons.TO_RESOLVER)

    def _owner_zones(self) -> Iterator[NftRule]:
        for kind, owner in self.owners:
            of = f"meta {kind} {owner}"
            yield _zone(n.OUT_DNS, f"udp dport 53 {of}", OWN_ZONE, reasons.OWN_QUERIES)
            yield _zone(n.OUT_DNS, f"udp sport {DNS_PORT} {of}", APP_ZONE, reasons.OWN_ANSWERS)

    def _query_zones(self) -> Iterator[NftRule]:
        yield NftRule(RAW, n.PREROUTING, f"counter jump {n.INBOUND}", reasons.DNS_ANSWERS)
        asked, answered = reasons.APP_QUERIES, reasons.SERVER_ANSWERS
        if self.config.dns_all:
            yield _zone(n.OUT_DNS, "udp dport 53", APP_ZONE, asked)
            yield _zone(n.INBOUND, "udp sport 53", OWN_ZONE, answered)
            return
        for side in self.sides:
            for server in map(side.host, side.servers):
                yield _zone(n.OUT_DNS, f"udp dport 53 {side.word} daddr {server}", APP_ZONE, asked)
                yield _zone(
                    n.INBOUND, f"udp sport 53 {side.word} saddr {server}", OWN_ZONE, answered
                )

    # 15 to 18: out of the pod, by destination

    def destinations(self) -> Iterator[NftRule]:
        for side in self.sides:
            yield _out(f"{side.word} daddr {side.loopback} counter return", reasons.LOOPBACK)
        for side in self.sides:
            for cidr in side.excluded:
                why = reasons.excluded("outbound range", cidr)
                yield _out(f"{side.word} daddr {cidr} counter return", why)
        for port in self.config.outbound_ports:
            why = reasons.captured("outbound port", port)
            yield _out(f"tcp dport {port} counter jump {n.REDIRECT}", why)
        if self.config.outbound.everything:
            yield _out(f"counter jump {n.REDIRECT}", reasons.ALL_OUTBOUND)
            yield from self._virtual("", "all")
        for side in self.sides:
            for cidr in side.included:
                to = f"{side.word} daddr {cidr} "
                yield from self._virtual(to, cidr)
                why = reasons.captured("outbound range", cidr)
                yield _out(f"{to}counter jump {n.REDIRECT}", why)

    def _virtual(self, destination: str, what: str) -> Iterator[NftRule]:
        for name in self.config.virtual_interfaces:
            text = f"iifname {interface(name)} {destination}counter jump {n.REDIRECT}"
            yield NftRule(NAT, n.PREROUTING, text, reasons.outbound_of(name, what), position=0)

    # 19: marks that keep TPROXY connections together

    def marks(self) -> Iterator[NftRule]:
        marked = f"{TCP} mark {self.config.tproxy_mark}"
        save = f"{marked} counter ct mark set mark"
        yield NftRule(MANGLE, n.PREROUTING, save, reasons.REMEMBERED)
        carries = f"oifname lo {marked} counter return"
        yield NftRule(MANGLE, n.OUTPUT, carries, reasons.CARRIES_MARK)
        for kind, owner in self.owners:
            for side in self.sides:
                own_pod = f"{side.word} daddr != {side.loopback} {kind} {owner}"
                text = f"oifname lo {TCP} {own_pod} counter meta mark set {OUTBOUND_MARK}"
                yield NftRule(MANGLE, n.OUTPUT, text, reasons.MARKED_OWN_POD)
        back = f"{TCP} ct mark {self.config.tproxy_mark} counter meta mark set ct mark"
        yield NftRule(MANGLE, n.OUTPUT, back, reasons.BACK_TO_PROXY)
        yield self._first(0, f"{marked} counter return", reasons.TAKEN)
        for side in self.sides:
            source = f"{side.word} saddr {side.family.passthrough}"
            yield self._first(1, f"iifname lo {TCP} {source} counter return", reasons.PASSTHROUGH)
        itself = f"iifname lo {TCP} mark != {OUTBOUND_MARK} counter return"
        yield self._first(2, itself, reasons.ITSELF)

    def _first(self, index: int, text: str, why: str) -> NftRule:
        return NftRule(MANGLE, n.INBOUND, text, why, index)


def _zone(chain: str, match: str, zone: str, why: str) -> NftRule:
    return NftRule(RAW, chain, f"{match} counter ct zone set {zone}", why)
