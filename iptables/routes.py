# SPDX-License-Identifier: Apache-2.0
"""Addresses and routes that go with the rules, either backend's. Says which; ``netlink`` sets them.

TPROXY hands packets for any address to a local socket, so what carries the mark is routed to this host. With IPv6 the
proxy sends to the app from ::6, which lo must own (127.0.0.6 it owns anyway). Source: spec/agent.md 10.4 step 6.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from iptables import netlink
from iptables.config import CaptureConfig
from iptables.netlink import AF_INET, AF_INET6, RTM_DELRULE, RTM_NEWRULE, Message
from mesh.errors import CaptureFailed

PASSTHROUGH_V6 = bytes(15) + b"\x06"
_THERE = (errno.EEXIST,)
_NOT_THERE = (errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def messages(config: CaptureConfig, *, add: bool) -> Iterator[Message]:
    """What to tell the kernel so that the configuration's routes are there, or no more."""
    if config.ipv6:
        yield netlink.loopback_address(PASSTHROUGH_V6, 128, add=add)
    if not (config.tproxy and config.inbound):
        return
    mark, table = number(config.tproxy_mark), number(config.tproxy_route_table)
    for family in (AF_INET, AF_INET6) if config.ipv6 else (AF_INET,):
        yield netlink.mark_rule(family, mark, table, add=add)
        yield netlink.local_route(family, table, add=add)


def number(text: str) -> int:
    """Decimal, or hexadecimal with 0x."""
    return int(text, 16 if text[:2] in ("0x", "0X") else 10)


def add(config: CaptureConfig) -> list[Message]:
    """Idempotent: what is there already is fine. Returns what takes out again that which was not there.

    CaptureFailed when the kernel refuses; then nothing of it stays.
    """
    undo: list[Message] = []
    try:
        for message, opposite in zip(
            messages(config, add=True), messages(config, add=False), strict=True
        ):
            there = message.kind == RTM_NEWRULE and _rules_like(config, message)
            if not there and netlink.send(message, accept=_THERE):
                undo.append(opposite)
    except CaptureFailed:
        take_back(undo)
        raise
    return undo


def take_back(undo: list[Message]) -> None:
    """What ``add`` returned, last first."""
    for message in reversed(undo):
        netlink.send(message, accept=_NOT_THERE)


def remove(config: CaptureConfig) -> None:
    """Idempotent as well."""
    for message in messages(config, add=False):
        times = _rules_like(config, message) if message.kind == RTM_DELRULE else 1
        for _ in range(times):
            netlink.send(message, accept=_NOT_THERE)


def _rules_like(config: CaptureConfig, message: Message) -> int:
    """How many rules there are already of the message's kind and family."""
    wanted = (number(config.tproxy_mark), number(config.tproxy_route_table))
    return netlink.rules(message.body[0]).count(wanted)
