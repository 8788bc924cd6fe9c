# SPDX-License-Identifier: Apache-2.0
"""Words and host facts become the configuration; all faults at once. Pure. Source: spec/agent.md 10.1.

A fault is what the peer or the kernel would refuse. What is legal but does nothing, or overlaps, is a warning.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from iptables import config
from iptables.config import ALL, CaptureConfig, OwnerGroups, Ranges, RunOptions
from iptables.flags import Words
from mesh import ports
from mesh.errors import BadSetting

MAX_GROUPS = 64
"""Of included owner groups: they share one rule, and the kernel limits a rule's matches."""
MAX_INTERFACE = 15
LOOPBACK_MASKS = range(8, 33)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
_OWNER = re.compile(r"(\d+)(?:-(\d+))?")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|\d+")
_INTERFACE = re.compile(r"[^\s/:\"]+")
_V4_BITS, _V6_BITS, _MAX_U32, _MAX_PORT = 32, 128, 0xFFFFFFFF, 0xFFFF


class Syntax(NamedTuple):
    """How a tool writes what the settings pass on to it as it is."""

    tool: str
    between: str
    """The ends of a port range."""
    wildcard: str
    """Ends an interface's name that stands for all that begin so."""


IPTABLES = Syntax("iptables", ":", "+")
NFT = Syntax("nft", "-", "*")


class HostFacts(NamedTuple):
    """What the machine says; read by ``host``."""

    addresses: tuple[str, ...] = ()
    """Of all interfaces, in the kernel's order."""
    nameservers: tuple[str, ...] = ()
    nameservers_fault: str = ""
    """Why resolv.conf could not be read."""
    envoy_uid: str | None = None
    """Id of the user ENVOY_USER names; None when there is no such user."""


class Settings(NamedTuple):
    """Either usable (no faults) or not."""

    config: CaptureConfig
    run: RunOptions
    faults: tuple[BadSetting, ...]
    warnings: tuple[BadSetting, ...]


def build(words: Words, env: Mapping[str, str], host: HostFacts) -> Settings:
    """The whole configuration of a run."""
    reader = _Reader(words, env)
    run = reader.run_options()
    capture = reader.capture(host)
    return Settings(
        capture,
        run,
        (*words.faults, *reader.faults),
        (*words.warnings, *reader.warnings, *_idle(capture, run, words)),
    )


def items(text: str) -> tuple[str, ...]:
    """A comma separated list; empty items do not count."""
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


class _Reader:
    """Turns words into values and gathers what is wrong with them."""

    def __init__(self, words: Words, env: Mapping[str, str]) -> None:
        self.words = words
        self.env = env
        self.syntax = NFT if words.switch("native-nftables") else IPTABLES
        self.faults: list[BadSetting] = []
        self.warnings: list[BadSetting] = []

    def run_options(self) -> RunOptions:
        words = self.words
        binary = words.text("force-iptables-binary")
        if binary not in ("", "legacy", "nft"):
            self._fault(
                "FORCE_IPTABLES_BINARY",
                binary,
                f'invalid FORCE_IPTABLES_BINARY value "{binary}"',
                "set it to legacy or nft, or leave it empty",
            )
        return RunOptions(
            dry_run=words.switch("dry-run"),
            dry_run_file=self.env.get("DRY_RUN_FILE_PATH", ""),
            skip_rule_apply=words.switch("skip-rule-apply"),
            run_validation=words.switch("run-validation"),
            probe_port=int(words.values["iptables-probe-port"]),
            probe_timeout=float(words.values["probe-timeout"]),
            reconcile=words.switch("reconcile"),
            cleanup_only=words.switch("cleanup-only"),
            force_apply=words.switch("force-apply"),
            native_nftables=words.switch("native-nftables"),
            force_binary=binary,
            network_namespace=words.text("network-namespace"),
            cni_mode=words.switch("cni-mode"),
            guard=words.switch("guard"),
            rollback=words.switch("rollback"),
            comments=self._comments(),
            explain=words.text("explain"),
        )

    def _comments(self) -> bool:
        if "rule-comments" in self.words.given:
            return self.words.switch("rule-comments")
        return self.env.get("PILOT_COMPAT") != "strict"

    def capture(self, host: HostFacts) -> CaptureConfig:
        words = self.words
        host_ip, ipv6 = self._host_ip(host)
        servers = self._nameservers(host)
        dns_all = words.switch("capture-all-dns")
        dns = words.switch("redirect-dns")
        if dns and not dns_all and not servers.v4 and not servers.v6:
            self._warn(
                "--redirect-dns", "true", "no DNS servers in resolv.conf, nothing to redirect"
            )
            dns = False
        uids = self._owners("proxy-uid") or (host.envoy_uid or str(ports.PROXY_UID),)
        return CaptureConfig(
            proxy_port=self._port("envoy-port"),
            inbound_capture_port=self._port("inbound-capture-port"),
            inbound_tunnel_port=self._port("inbound-tunnel-port"),
            proxy_uids=uids,
            proxy_gids=self._owners("proxy-gid") or uids,
            mode=self._mode(),
            tproxy_mark=self._number("istio-inbound-tproxy-mark"),
            tproxy_route_table=self._number("istio-inbound-tproxy-route-table"),
            inbound_ports=self._inbound_ports(),
            inbound_ports_exclude=self._ports("istio-local-exclude-ports"),
            outbound_ports=self._ports("istio-outbound-ports"),
            outbound_ports_exclude=self._ports("istio-local-outbound-ports-exclude"),
            outbound=self._ranges("istio-service-cidr"),
            outbound_exclude=self._excluded_ranges(),
            owner_groups=self._owner_groups(),
            exclude_interfaces=self._interfaces("istio-exclude-interfaces"),
            virtual_interfaces=self._interfaces("kube-virt-interfaces"),
            loopback_v4=self._loopback(),
            drop_invalid=words.switch("drop-invalid"),
            dns=dns,
            dns_all=dns_all,
            dns_servers_v4=servers.v4,
            dns_servers_v6=servers.v6,
            ipv6=ipv6,
            dual_stack=words.switch("dual-stack"),
            host_ip=host_ip,
        )

    def _fault(self, name: str, value: str, why: str, hint: str = "") -> None:
        self.faults.append(BadSetting(name, value, why, hint=hint))

    def _warn(self, name: str, value: str, why: str) -> None:
        self.warnings.append(BadSetting(name, value, why))

    def _host_ip(self, host: HostFacts) -> tuple[str, bool]:
        """The first usable address, and whether IPv6 is captured.

        It is when that address is an IPv6 one; with dual stack, when any is.
        """
        usable = [
            address for address in map(ipaddress.ip_address, host.addresses) if is_global(address)
        ]
        if not usable:
            self._fault(
                "host addresses",
                ", ".join(host.addresses),
                "no valid local IP address found",
                "give an interface an address before capture is set up",
            )
            return "127.0.0.1", False
        candidates = usable if self.words.switch("dual-stack") else usable[:1]
        return str(usable[0]), any(address.version == 6 for address in candidates)

    def _nameservers(self, host: HostFacts) -> Ranges:
        if not self.words.switch("redirect-dns") or self.words.switch("capture-all-dns"):
            return Ranges()
        if host.nameservers_fault:
            self._fault("/etc/resolv.conf", "", host.nameservers_fault)
        v4 = tuple(server for server in host.nameservers if ":" not in server)
        v6 = tuple(server for server in host.nameservers if ":" in server)
        return Ranges(v4=v4, v6=v6)

    def _mode(self) -> str:
        mode = self.words.text("istio-inbound-interception-mode")
        if mode not in ("", config.REDIRECT, config.TPROXY):
            self._warn("--istio-inbound-interception-mode", mode, "not TPROXY, so REDIRECT")
        return config.TPROXY if mode == config.TPROXY else config.REDIRECT

    def _port(self, name: str) -> str:
        text = self.words.text(name)
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= 65535):
            self._fault(f"--{name}", text, "not a port from 1 to 65535")
        return text

    def _ports(self, name: str) -> tuple[str, ...]:
        ports_ = items(self.words.text(name))
        for port in ports_:
            if why := port_fault(port, self.syntax):
                self._fault(f"--{name}", port, why)
        return ports_

    def _inbound_ports(self) -> tuple[str, ...]:
        text = self.words.text("istio-inbound-ports")
        return (ALL,) if text == ALL else self._ports("istio-inbound-ports")

    def _owners(self, name: str) -> tuple[str, ...]:
        owners = items(self.words.text(name))
        for owner in owners:
            if why := owner_fault(owner):
                self._fault(f"--{name}", owner, why)
        return owners

    def _number(self, name: str) -> str:
        text = self.words.text(name)
        if (
            not _NUMBER.fullmatch(text)
            or int(text, 0 if text[:2] in ("0x", "0X") else 10) > _MAX_U32
        ):
            self._fault(f"--{name}", text, "not a number of 32 bits")
        return text

    def _interfaces(self, name: str) -> tuple[str, ...]:
        names = items(self.words.text(name))
        for each in names:
            if why := interface_fault(each, self.syntax):
                self._fault(f"--{name}", each, why)
        return names

    def _ranges(self, name: str) -> Ranges:
        text = self.words.text(name)
        if text == ALL:
            return Ranges(everything=True)
        return self._families(f"--{name}", items(text))

    def _families(self, name: str, texts: Iterable[str]) -> Ranges:
        found: dict[int, list[str]] = {4: [], 6: []}
        loopback = False
        for text in texts:
            try:
                interface = parse_prefix(text)
            except ValueError as error:
                self._fault(name, text, str(error), "write it as address/length")
                continue
            found[interface.version].append(f"{interface.ip}/{interface.network.prefixlen}")
            loopback = loopback or interface.ip.is_loopback
        return Ranges(v4=tuple(found[4]), v6=tuple(found[6]), loopback=loopback)

    def _excluded_ranges(self) -> Ranges:
        ranges = self._ranges("istio-service-exclude-cidr")
        if ranges.everything:
            self._fault(
                "--istio-service-exclude-cidr", ALL, "cannot be *: nothing would be captured"
            )
        return ranges

    def _loopback(self) -> str:
        name = "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"
        text = self.env.get(name, CaptureConfig().loopback_v4)
        if why := loopback_fault(text):
            self._fault(name, text, why)
        return text

    def _owner_groups(self) -> OwnerGroups:
        include = self.env.get("ISTIO_OUTBOUND_OWNER_GROUPS", ALL)
        exclude = self.env.get("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "")
        if why := owner_groups_fault(include):
            self._fault("ISTIO_OUTBOUND_OWNER_GROUPS", include, why)
        if include == ALL:
            groups = OwnerGroups(exclude=True, names=items(exclude))
        else:
            groups = OwnerGroups(exclude=False, names=items(include))
            if exclude:
                self._warn(
                    "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE",
                    exclude,
                    "not used: groups are included by name",
                )
        for group in groups.names:
            if why := owner_fault(group):
                self._fault("ISTIO_OUTBOUND_OWNER_GROUPS", group, why)
        return groups


def is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """An address that others can reach: neither loopback nor link-local."""
    multicast = address.is_multicast
    return not (address.is_loopback or address.is_link_local or multicast)


def port_fault(text: str, syntax: Syntax) -> str:
    """Why the tool would not take it as a port: a number, a range or a service's name."""
    if text == ALL:
        return "* stands alone"
    first, between, last = text.partition(syntax.between)
    numbers = [first, last] if between else [first]
    if all(number.isascii() and number.isdigit() for number in numbers):
        in_order = int(numbers[0]) <= int(numbers[-1]) <= _MAX_PORT
        return "" if in_order else "ports are 0 to 65535, the lower one first"
    if _NAME.fullmatch(text):
        return ""
    return f"not a port; {syntax.tool} writes a range as 80{syntax.between}90"


def interface_fault(text: str, syntax: Syntax) -> str:
    """Why no interface can have that name, or the tool would not see the wildcard that is meant."""
    if len(text) > MAX_INTERFACE or not _INTERFACE.fullmatch(text):
        return "not an interface's name of up to 15 characters"
    if syntax is NFT and text[-1] == IPTABLES.wildcard:
        return f"nft writes all interfaces that begin so as {text[:-1]}{NFT.wildcard}"
    return ""


def owner_fault(text: str) -> str:
    """Why iptables would not take it as a user or group: an id, ``first-last`` or a name."""
    if match := _OWNER.fullmatch(text):
        first, last = int(match[1]), int(match[2] or match[1])
        return "" if first <= last < _MAX_U32 else "ids have 32 bits, the lower one first"
    return "" if _NAME.fullmatch(text) else "neither an id nor a name"


def owner_groups_fault(include: str) -> str:
    """Why the included owner groups are too many."""
    names = items(include)
    if include == ALL or len(names) <= MAX_GROUPS:
        return ""
    return (
        "number of owner groups whose outgoing traffic should be redirected to Envoy cannot exceed "
        f"{MAX_GROUPS}, got {len(names)}: [{' '.join(names)}]"
    )


def loopback_fault(text: str) -> str:
    """Why the text is not an IPv4 loopback range."""
    try:
        prefix = parse_prefix(text)
    except ValueError as error:
        return f"failed to parse CIDR {text}: {error}"
    if prefix.version != 4 or not prefix.ip.is_loopback:
        return f"expected IPv4 loopback CIDR, found {text}"
    if prefix.network.prefixlen not in LOOPBACK_MASKS:
        return (
            f"expected CIDR {text} to have mask in range [8, 32]; found {prefix.network.prefixlen}"
        )
    return ""


def parse_prefix(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """``address/length`` with host bits kept. ValueError in the peer's words."""
    address, slash, length = text.rpartition("/")
    if not slash:
        raise ValueError(f"netip.ParsePrefix(\"{text}\"): no '/'")
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(f'netip.ParsePrefix("{text}"): unable to parse IP') from None
    if "%" in address:
        raise ValueError(f'netip.ParsePrefix("{text}"): IPv6 zones cannot be present in a prefix')
    bits = _V4_BITS if ip.version == 4 else _V6_BITS
    if not (length.isascii() and length.isdigit()) or (length[0] == "0" and length != "0"):
        raise ValueError(f'netip.ParsePrefix("{text}"): bad bits after slash: "{length}"')
    if int(length) > bits:
        raise ValueError(f'netip.ParsePrefix("{text}"): prefix length out of range')
    return ipaddress.ip_interface(text)


def _idle(capture: CaptureConfig, run: RunOptions, words: Words) -> list[BadSetting]:
    """Legal settings that do nothing, or that say two things about the same traffic: one warning each."""
    checks = (
        (
            bool(capture.inbound_ports_exclude) and not capture.all_inbound,
            "istio-local-exclude-ports",
            "used only when all inbound ports are captured",
        ),
        (
            bool(set(capture.outbound_ports) & set(capture.outbound_ports_exclude)),
            "istio-outbound-ports",
            "also excluded, and the exclusion comes first",
        ),
        (
            capture.outbound.everything and bool(capture.outbound_ports),
            "istio-outbound-ports",
            "all outbound traffic is captured already",
        ),
        (
            _overlap(capture.outbound, capture.outbound_exclude),
            "istio-service-cidr",
            "also excluded, and the exclusion comes first",
        ),
        (
            not capture.ipv6 and bool(capture.outbound.v6 or capture.outbound_exclude.v6),
            "istio-service-cidr",
            "IPv6 ranges are not captured: the host has no IPv6 address first",
        ),
        (
            capture.dns_all and not words.switch("redirect-dns"),
            "capture-all-dns",
            "used only with --redirect-dns",
        ),
        (
            capture.dns and not (capture.dns_active_v4 or (capture.ipv6 and capture.dns_active_v6)),
            "redirect-dns",
            "the DNS servers have IPv6 addresses, and IPv6 is not captured",
        ),
        (
            run.guard and run.native_nftables,
            "guard",
            "not needed with --native-nftables: all rules take effect at once",
        ),
        (
            run.reconcile and run.native_nftables,
            "reconcile",
            "not needed with --native-nftables: tables are replaced whole",
        ),
        (
            run.rollback and not run.run_validation,
            "rollback",
            "used only with --run-validation",
        ),
    )
    return [
        BadSetting(f"--{name}", str(words.values[name]), why) for idle, name, why in checks if idle
    ]


def _overlap(one: Ranges, other: Ranges) -> bool:
    """Whether an included range lies within an excluded one."""
    inside = [ipaddress.ip_interface(text).network for text in (*one.v4, *one.v6)]
    around = [ipaddress.ip_interface(text).network for text in (*other.v4, *other.v6)]
    return any(
        a.version == b.version and a.overlaps(b) and a.prefixlen >= b.prefixlen
        for a in inside
        for b in around
    )
