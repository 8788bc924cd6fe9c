# SPDX-License-Identifier: Apache-2.0
"""The addresses of this machine's interfaces, asked of the kernel. Effects only; no third party, for memory's sake.

IPv4 through SIOCGIFCONF, IPv6 through /proc/net/if_inet6. Loopback, link-local and multicast are left out, as are
interfaces that are down. Source: spec/agent.md 1.2.
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import socket
import struct

_SIOCGIFCONF = 0x8912
_SIOCGIFFLAGS = 0x8913
_UP, _LOOPBACK = 0x1, 0x8
_ROW = 40
_ROOM = 256 * _ROW

Found = tuple[tuple[str, str], ...]


def usable_addresses() -> Found:
    """(interface, address), IPv4 before IPv6; nothing where the kernel does not say."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        found = [*_ipv4(sock), *_ipv6()]
        up = {name for name in {name for name, _ in found} if _is_usable(sock, name)}
    return tuple((name, address) for name, address in found if name in up and _is_routable(address))


def _ipv4(sock: socket.socket) -> list[tuple[str, str]]:
    buffer = array.array("B", bytes(_ROOM))
    address, _ = buffer.buffer_info()
    request = struct.pack("iL", _ROOM, address)
    try:
        length = struct.unpack("iL", fcntl.ioctl(sock.fileno(), _SIOCGIFCONF, request))[0]
    except OSError:
        return []
    data = buffer.tobytes()
    rows = (data[at : at + _ROW] for at in range(0, length, _ROW))
    return [(_name(row[:16]), socket.inet_ntoa(row[20:24])) for row in rows]


def _ipv6() -> list[tuple[str, str]]:
    try:
        with open("/proc/net/if_inet6", encoding="ascii") as table:
            rows = [line.split() for line in table]
    except OSError:
        return []
    return [(row[5], str(ipaddress.IPv6Address(int(row[0], 16)))) for row in rows]


def _name(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="replace").partition(":")[0]


def _is_usable(sock: socket.socket, name: str) -> bool:
    try:
        row = fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, struct.pack("16sH22x", name.encode(), 0))
    except OSError:
        return False
    flags = struct.unpack_from("H", row, 16)[0]
    return bool(flags & _UP) and not flags & _LOOPBACK


def _is_routable(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return not (address.is_loopback or address.is_link_local or address.is_multicast)
