# SPDX-License-Identifier: Apache-2.0
"""The packet that ``--explain`` is asked about: the first of a connection, as a value and from words. Pure.

tcp out 10.0.0.5:5432 uid 1000           what the app sends; gid, from ADDRESS:PORT and via INTERFACE may follow
udp out 10.96.0.10:53 uid 1000 gid 1000
tcp in 10.1.1.7:8080 from 10.1.1.9       what comes to the pod; via INTERFACE may follow (default eth0)
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from iptables.rules import Family
from mesh.errors import BadSetting

LOOPBACK = "lo"
OUTSIDE = "eth0"
DIRECTIONS = ("out", "in")
MAX_PORT = 65535


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


def parse(text: str) -> Packet:
    """From ``tcp out ADDRESS:PORT [uid N] [gid N] [from ADDRESS[:PORT]] [via INTERFACE] [mark N]``."""
    words = text.split()
    try:
        protocol, direction, target = words[:3]
        if protocol not in ("tcp", "udp") or direction not in DIRECTIONS:
            raise ValueError("it starts with tcp or udp, then in or out")
        address, port = _endpoint(target)
        packet = Packet(protocol, direction, address, port)
        rest = iter(words[3:])
        for word in rest:
            packet = _with(packet, word, next(rest, ""))
    except ValueError as error:
        example = "such as 'tcp out 10.0.0.5:5432 uid 1000'"
        raise BadSetting("--explain", text, f"not a packet ({error}), {example}") from error
    return packet


def _with(packet: Packet, word: str, value: str) -> Packet:
    if not value:
        raise ValueError(f"nothing follows {word}")
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
            has_port = "]:" in value or value.count(":") == 1
            address, port = _endpoint(value if has_port else f"[{value}]:40000")
            return packet._replace(source=address, source_port=port)
        case _:
            raise ValueError(f"{word} means nothing here")


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > MAX_PORT:
        raise ValueError(f"{port!r} is no port")
    return str(ipaddress.ip_address(host.strip("[]"))), int(port)
