# SPDX-License-Identifier: Apache-2.0
"""A rule of the nft kind as a value, and the tables of ours that it may stand in. Pure. Source: spec/agent.md 10.8.

The tables belong to the family inet: what names no address holds for IPv4 and IPv6 alike.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class NftTable(StrEnum):
    """Our tables, in the order in which a transaction has them."""

    NAT = "istio-proxy-nat"
    MANGLE = "istio-proxy-mangle"
    RAW = "istio-proxy-raw"


PREROUTING = "prerouting"
OUTPUT = "output"
INBOUND = "istio-inbound"
REDIRECT = "istio-redirect"
IN_REDIRECT = "istio-in-redirect"
OUT = "istio-output"
OUT_DNS = "istio-output-dns"
DIVERT = "istio-divert"
TPROXY = "istio-tproxy"
DROP = "istio-drop"

CHAINS: dict[str, tuple[str, ...]] = {
    NftTable.NAT: (PREROUTING, OUTPUT, INBOUND, REDIRECT, IN_REDIRECT, OUT, OUT_DNS),
    NftTable.MANGLE: (PREROUTING, OUTPUT, DIVERT, TPROXY, INBOUND, DROP),
    NftTable.RAW: (PREROUTING, OUTPUT, INBOUND, OUT_DNS),
}
"""The chains that a table may have, in the order in which they are made."""
HOOKS = {
    (NftTable.NAT, PREROUTING): "type nat hook prerouting priority -100",
    (NftTable.NAT, OUTPUT): "type nat hook output priority -100",
    (NftTable.MANGLE, PREROUTING): "type filter hook prerouting priority -150",
    # Of type route: a changed mark makes the kernel look for the packet's way again.
    (NftTable.MANGLE, OUTPUT): "type route hook output priority -150",
    (NftTable.RAW, PREROUTING): "type filter hook prerouting priority -300",
    (NftTable.RAW, OUTPUT): "type filter hook output priority -300",
}
MAX_COMMENT = 128
"""Bytes of a rule's comment that the kernel keeps for nft."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9/_.-]*\*?")


class NftRule(NamedTuple):
    """One rule of one chain. ``position`` is None for an appended rule, from 0 for an inserted one."""

    table: str
    chain: str
    text: str
    """Conditions and statements as nft writes them."""
    why: str = ""
    """Why the rule is there; its comment."""
    position: int | None = None


def interface(name: str) -> str:
    """An interface's name as nft reads it: in quotes when it is not a plain word."""
    return name if _PLAIN.fullmatch(name) else f'"{name}"'
