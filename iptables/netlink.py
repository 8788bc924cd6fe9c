# SPDX-License-Identifier: Apache-2.0
"""Addresses, routes and routing rules, asked of the kernel itself: no ``ip`` program is needed. Only opens netlink.

Encoding and decoding are plain functions of bytes. Source: rtnetlink(7); what is set: spec/agent.md 10.4 step 6.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

from mesh.errors import CaptureFailed

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10
_NETLINK_ROUTE, _SOCK_RAW, _AF_NETLINK, _SOCK_CLOEXEC = 0, 3, 16, 0o2000000

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP, _CREATE, _EXCLUSIVE = 0x1, 0x4, 0x300, 0x400, 0x200
_INTERRUPTED = 0x10

_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_OIF, _RTA_TABLE = 4, 15
_FRA_FWMARK, _FRA_TABLE = 10, 15
_RT_SCOPE_HOST, _RTN_LOCAL, _RTPROT_STATIC, _ACTION_TO_TABLE = 254, 2, 4, 1
_MAX_SHORT_TABLE = 255
_LOOPBACK_INDEX = 1
_DUMP_TRIES = 5
_TIMEOUT = 5


class Message(NamedTuple):
    """One request: kind, flags, the kind's fixed part and its attributes."""

    kind: int
    flags: int
    body: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """A netlink attribute, padded to four bytes."""
    padding = -len(value) % 4
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(padding)


def loopback_address(address: bytes, prefix: int, *, add: bool) -> Message:
    """``address`` on lo, scope host left to the kernel."""
    family = AF_INET6 if len(address) > 4 else AF_INET
    body = _ADDRESS.pack(family, prefix, 0, 0, _LOOPBACK_INDEX)
    body += attribute(_IFA_LOCAL, address) + attribute(_IFA_ADDRESS, address)
    return Message(RTM_NEWADDR if add else RTM_DELADDR, _flags(add=add), body)


def mark_rule(family: int, mark: int, table: int, *, add: bool) -> Message:
    """``ip rule fwmark <mark> lookup <table>``."""
    body = _ROUTE.pack(family, 0, 0, 0, _short(table), 0, 0, _ACTION_TO_TABLE, 0)
    body += attribute(_FRA_FWMARK, struct.pack("=I", mark))
    body += attribute(_FRA_TABLE, struct.pack("=I", table))
    return Message(RTM_NEWRULE if add else RTM_DELRULE, _flags(add=add), body)


def local_route(family: int, table: int, *, add: bool) -> Message:
    """``ip route local default dev lo table <table>``: everything is for this host."""
    body = _ROUTE.pack(
        family, 0, 0, 0, _short(table), _RTPROT_STATIC, _RT_SCOPE_HOST, _RTN_LOCAL, 0
    )
    body += attribute(_RTA_OIF, struct.pack("=I", _LOOPBACK_INDEX))
    body += attribute(_RTA_TABLE, struct.pack("=I", table))
    return Message(RTM_NEWROUTE if add else RTM_DELROUTE, _flags(add=add), body)


def _flags(*, add: bool) -> int:
    return _REQUEST | _ACK | (_CREATE | _EXCLUSIVE if add else 0)


def _short(table: int) -> int:
    return table if table <= _MAX_SHORT_TABLE else 0


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, flags and body of each message in a datagram."""
    while len(data) >= _HEADER.size:
        length, kind, flags, _, _ = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            return
        yield kind, flags, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def attributes(data: bytes) -> dict[int, bytes]:
    """Attribute kinds to values."""
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
    return found


def address_of(body: bytes) -> bytes:
    """The interface's own address in an address message: with a peer, the local one."""
    found = attributes(body[_ADDRESS.size :])
    return found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS, b""))


def mark_and_table(body: bytes) -> tuple[int, int]:
    """What a routing rule's message looks for, and where it leads; 0 for none."""
    found = attributes(body[_ROUTE.size :])
    numbers = (found.get(kind, bytes(4)) for kind in (_FRA_FWMARK, _FRA_TABLE))
    mark, table = (struct.unpack("=I", raw)[0] for raw in numbers)
    return mark, table


def addresses() -> list[bytes]:
    """All addresses of this network namespace, in the kernel's order. CaptureFailed when it does not say."""
    return [address_of(body) for body in _listed(RTM_GETADDR, RTM_NEWADDR, bytes([AF_UNSPEC]))]


def rules(family: int) -> list[tuple[int, int]]:
    """Mark and table of all routing rules. The kernel itself would add the same rule again and again."""
    header = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
    return [mark_and_table(body) for body in _listed(RTM_GETRULE, RTM_NEWRULE, header)]


def _listed(ask: int, answer: int, body: bytes) -> list[bytes]:
    for _ in range(_DUMP_TRIES):
        found, interrupted = _dump(Message(ask, _REQUEST | _DUMP, body))
        if not interrupted:
            break
    return [body for kind, body in found if kind == answer]


def send(message: Message, *, accept: tuple[int, ...] = ()) -> bool:
    """Ask for a change; whether it changed anything, rather than met an accepted error.

    CaptureFailed with the kernel's reason for any other.
    """
    code = 0
    with _socket() as channel:
        channel.send(_packed(message))
        for kind, _, body in messages(channel.recv(65536)):
            code = -struct.unpack_from("=i", body)[0] if kind == _ERROR else 0
            if code and code not in accept:
                raise CaptureFailed(
                    f"route or address not set: {errno.errorcode.get(code, str(code))}",
                    hint="grant the NET_ADMIN capability; TPROXY needs policy routing in the kernel",
                )
    return code == 0


def _dump(message: Message) -> tuple[list[tuple[int, bytes]], bool]:
    found: list[tuple[int, bytes]] = []
    interrupted = False
    with _socket() as channel:
        channel.send(_packed(message))
        while True:
            for kind, flags, body in messages(channel.recv(65536)):
                interrupted = interrupted or bool(flags & _INTERRUPTED)
                if kind == _DONE:
                    return found, interrupted
                if kind == _ERROR:
                    raise CaptureFailed("the kernel does not list its addresses and routes")
                found.append((kind, body))


def _packed(message: Message) -> bytes:
    length = _HEADER.size + len(message.body)
    return _HEADER.pack(length, message.kind, message.flags, 1, 0) + message.body


def _socket() -> _Channel:
    return _Channel()


class _Channel:
    """A netlink socket. The C module is used as it is: ``socket`` costs 3 ms of the start-up budget."""

    def __init__(self) -> None:
        import _socket as raw

        self._raw = raw.socket(_AF_NETLINK, _SOCK_RAW | _SOCK_CLOEXEC, _NETLINK_ROUTE)
        self._raw.settimeout(_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    def send(self, data: bytes) -> None:
        self._raw.send(data)

    def recv(self, size: int) -> bytes:
        return bytes(self._raw.recv(size))
