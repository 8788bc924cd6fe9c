# SPDX-License-Identifier: Apache-2.0
"""``--explain``: walks one packet through the planned rules as the kernel would, and says which rule decides and why.

The packet opens a connection (the state that decides where it goes). Pure; agrees with the kernel by test. Packets:

    tcp out 10.0.0.5:5432 uid 1000           what the app sends; gid, from ADDRESS:PORT and via INTERFACE may follow
    udp out 10.96.0.10:53 uid 1000 gid 1000
    tcp in 10.1.1.7:8080 from 10.1.1.9       what comes to the pod; via INTERFACE may follow (default eth0)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from iptables import rules as r
from iptables.config import CaptureConfig
from iptables.plan import plan
from iptables.rules import Family, Rule, Table
from mesh.errors import BadSetting

LOOPBACK = "lo"
OUTSIDE = "eth0"
_PATHS = {
    "out": (r.OUTPUT, (Table.RAW, Table.MANGLE, Table.NAT)),
    "in": (r.PREROUTING, (Table.RAW, Table.MANGLE, Table.NAT)),
}


class Packet(NamedTuple):
    """The first packet of a connection."""

    protocol: str
    direction: str
    destination: str
    port: int
    source: str = ""
    source_port: int = 40000
    interface: str = ""
    uid: int = 0
    gid: int = 0
    mark: int = 0

    @property
    def family(self) -> Family:
        return Family.V6 if ":" in self.destination else Family.V4

    @property
    def through(self) -> str:
        """The interface it leaves or comes by."""
        if self.interface:
            return self.interface
        local = ipaddress.ip_address(self.destination).is_loopback
        return LOOPBACK if local and self.direction == "out" else OUTSIDE


class Decision(NamedTuple):
    """What happens: ``verdict`` is a target's name, RETURN when nothing took the packet."""

    verdict: str
    rule: Rule | None
    port: str = ""
    """Where it is redirected to."""
    mark: int = 0
    passed: tuple[Rule, ...] = ()
    """Rules that matched on the way, the deciding one included."""


def explain(config: CaptureConfig, text: str) -> str:
    """The decision in words. BadSetting when the packet cannot be understood."""
    packet = parse(text)
    decision = decide(config, packet)
    lines = [f"{text}: {outcome(decision)}"]
    for rule in decision.passed:
        deciding = "=>" if rule is decision.rule else "  "
        lines.append(f"{deciding} {rule.table} {rule.chain} {rule.text}")
        lines.append(f"     {rule.why}")
    if not config.ipv6 and packet.family is Family.V6:
        lines.append(
            "   IPv6 is not captured: the host's address is an IPv4 one (see --dual-stack)"
        )
    elif decision.rule is None:
        lines.append("   no rule takes it")
    return "\n".join(lines)


def outcome(decision: Decision) -> str:
    """One phrase."""
    match decision.verdict:
        case "REDIRECT":
            return f"captured, goes to port {decision.port}"
        case "TPROXY":
            return f"captured with its address kept, goes to port {decision.port}"
        case "DROP":
            return "dropped"
        case _:
            return "not captured"


def parse(text: str) -> Packet:
    """From ``tcp out ADDRESS:PORT [uid N] [gid N] [from ADDRESS[:PORT]] [via INTERFACE] [mark N]``."""
    words = text.split()
    try:
        protocol, direction, target = words[:3]
        if protocol not in ("tcp", "udp") or direction not in _PATHS:
            raise ValueError("it starts with tcp or udp, then in or out")
        address, port = _endpoint(target)
        packet = Packet(protocol, direction, address, port)
        rest = iter(words[3:])
        for word in rest:
            packet = _with(packet, word, next(rest))
    except (ValueError, StopIteration, RuntimeError) as error:
        example = "such as 'tcp out 10.0.0.5:5432 uid 1000'"
        raise BadSetting("--explain", text, f"not a packet ({error}), {example}") from error
    return packet


def _with(packet: Packet, word: str, value: str) -> Packet:
    match word:
        case "uid":
            return packet._replace(uid=int(value))
        case "gid":
            return packet._replace(gid=int(value))
        case "mark":
            return packet._replace(mark=int(value, 0))
        case "via":
            return packet._replace(interface=value)
        case "from":
            address, port = _endpoint(
                value if "]:" in value or value.count(":") == 1 else f"[{value}]:40000"
            )
            return packet._replace(source=address, source_port=port)
        case _:
            raise ValueError(f"{word} means nothing here")


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return str(ipaddress.ip_address(host.strip("[]"))), int(port)


def decide(config: CaptureConfig, packet: Packet) -> Decision:
    """Table after table, as the kernel does; the first that redirects, takes or drops the packet ends it."""
    walk = _Walk(plan(config).of(packet.family), packet)
    verdict = walk.tables(*_PATHS[packet.direction])
    if verdict is None and packet.direction == "out" and packet.through == LOOPBACK:
        verdict = walk.again(packet._replace(direction="in", interface=LOOPBACK))
    if verdict is None:
        return Decision("RETURN", walk.last_return, mark=walk.mark, passed=tuple(walk.passed))
    return Decision(verdict, walk.last, walk.to_port, walk.mark, tuple(walk.passed))


class _Walk:
    """One packet under way; the mark is all that changes about it."""

    def __init__(self, rules: Sequence[Rule], packet: Packet) -> None:
        self._chains = _ordered(rules)
        self._packet = packet
        self.mark = packet.mark
        self.passed: list[Rule] = []
        self.last: Rule | None = None
        self.last_return: Rule | None = None
        self.to_port = ""

    def tables(self, chain: str, tables: Sequence[str]) -> str | None:
        """The first verdict that ends the way; None when the packet just goes on."""
        for table in tables:
            verdict = self.chain(table, chain)
            if verdict in ("REDIRECT", "TPROXY", "DROP"):
                return verdict
        return None

    def again(self, packet: Packet) -> str | None:
        """What leaves by lo comes in by lo, marks and all; addresses are translated once, on the way out."""
        self._packet = packet
        return self.tables(r.PREROUTING, (Table.RAW, Table.MANGLE))

    def chain(self, table: str, name: str) -> str | None:
        """The verdict within a chain; None when it returned."""
        for rule in self._chains.get((table, name), ()):
            if not self._matches(rule):
                continue
            self.passed.append(rule)
            target, options = _target(rule)
            match target:
                case "RETURN":
                    self.last_return = (
                        rule if table == Table.NAT or self.last_return is None else self.last_return
                    )
                    return None
                case "ACCEPT" | "DROP" | "REDIRECT" | "TPROXY":
                    self.last = rule
                    self.to_port = (
                        options[1] if target == "REDIRECT" else options[-1] if options else ""
                    )
                    return target
                case "MARK":
                    self.mark = int(options[1], 0)
                case "CONNMARK" | "CT":
                    continue
                case _:
                    if (verdict := self.chain(table, target)) is not None:
                        return verdict
        return None

    def _matches(self, rule: Rule) -> bool:
        return all(self._holds(*condition) for condition in conditions(rule))

    def _holds(self, option: str, value: str, negated: bool) -> bool:
        return self._fact(option, value) != negated

    def _fact(self, option: str, value: str) -> bool:
        packet = self._packet
        match option:
            case "-p":
                return packet.protocol == value
            case "-i" | "-o":
                return option == ("-i" if packet.direction == "in" else "-o") and _same_interface(
                    packet.through, value
                )
            case "-d":
                return _within(packet.destination, value)
            case "-s":
                return bool(packet.source) and _within(packet.source, value)
            case "--dport" | "--dports":
                return any(_in_ports(packet.port, part) for part in value.split(","))
            case "--sport":
                return _in_ports(packet.source_port, value)
            case "--uid-owner":
                return _in_ids(packet.uid, value)
            case "--gid-owner":
                return _in_ids(packet.gid, value)
            case "--mark":
                return self.mark == int(value, 0)
            case "--ctstate":
                return "NEW" in value.split(",")
            case _:
                raise ValueError(f"BUG: no meaning for {option}")


def conditions(rule: Rule) -> Iterator[tuple[str, str, bool]]:
    """What must hold before the target: option, value, whether it is negated. A connection's mark is 0 at first."""
    words = iter(rule.match[: rule.match.index("-j")])
    module = ""
    negated = False
    for word in words:
        if word == "!":
            negated = True
            continue
        value = next(words)
        if word == "-m":
            module = value
            continue
        if module == "connmark":
            yield "--ctstate", "ESTABLISHED", negated
        else:
            yield word, value, negated
        negated = False


def _ordered(rules: Sequence[Rule]) -> dict[tuple[str, str], list[Rule]]:
    """Each chain as the kernel has it once all rules are added and inserted."""
    result: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        chain = result.setdefault((rule.table, rule.chain), [])
        chain.insert(len(chain) if rule.position is None else rule.position - 1, rule)
    return result


def _target(rule: Rule) -> tuple[str, tuple[str, ...]]:
    at = rule.match.index("-j")
    return rule.match[at + 1], rule.match[at + 2 :]


def _within(address: str, cidr: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_interface(cidr).network


def _in_ports(port: int, text: str) -> bool:
    first, _, last = text.partition(":")
    return first.isdigit() and int(first) <= port <= int(last or first)


def _in_ids(number: int, text: str) -> bool:
    first, _, last = text.partition("-")
    return first.isdigit() and int(first) <= number <= int(last or first)


def _same_interface(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern
