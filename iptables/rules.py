# SPDX-License-Identifier: Apache-2.0
"""A rule of the iptables kind as a value, with its reason. Pure. Source: spec/agent.md 10.2, 10.3.

A plan is a tuple of rules per family, in the order in which they are given to the kernel. Native nftables has rules of
its own kind (``nft_rules``) and takes only ``Family`` from here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Family(StrEnum):
    """An address family, with what differs between the two."""

    V4 = "ipv4"
    V6 = "ipv6"

    @property
    def passthrough(self) -> str:
        """The source address of what Envoy sends to the app inside the pod."""
        return "127.0.0.6/32" if self is Family.V4 else "::6/128"

    @property
    def host_mask(self) -> str:
        return "/32" if self is Family.V4 else "/128"


class Table(StrEnum):
    """Tables that capture uses; in the order in which a packet meets them on its way in."""

    RAW = "raw"
    MANGLE = "mangle"
    NAT = "nat"
    FILTER = "filter"


TABLES = tuple(table.value for table in Table)

PREROUTING = "PREROUTING"
INPUT = "INPUT"
FORWARD = "FORWARD"
OUTPUT = "OUTPUT"

INBOUND = "ISTIO_INBOUND"
REDIRECT = "ISTIO_REDIRECT"
IN_REDIRECT = "ISTIO_IN_REDIRECT"
OUT = "ISTIO_OUTPUT"
OUT_DNS = "ISTIO_OUTPUT_DNS"
DIVERT = "ISTIO_DIVERT"
TPROXY = "ISTIO_TPROXY"
DROP = "ISTIO_DROP"

OUR_CHAINS = (INBOUND, REDIRECT, IN_REDIRECT, OUT, OUT_DNS, DIVERT, TPROXY, DROP)

OUR_PREFIX = "ISTIO"
"""Chains with this prefix are ours (iptables)."""
BUILT_IN = frozenset(
    {"INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING", "ACCEPT", "RETURN", "DROP"}
)
"""What the peer counts as already there when it looks for chains to create."""


class Rule(NamedTuple):
    """One rule of one chain. ``position`` is None for an appended rule, from 1 for an inserted one."""

    table: str
    chain: str
    match: tuple[str, ...]
    """Everything after the chain's name, the target included, one word each."""
    why: str = ""
    """Why the rule is there; what ``--explain`` says."""
    position: int | None = None

    @property
    def text(self) -> str:
        return " ".join(self.match)

    @property
    def jump(self) -> str:
        """The target, if the rule ends with it; so the peer finds targets. Else empty."""
        return self.match[-1] if len(self.match) > 1 and self.match[-2] == "-j" else ""


class Plan(NamedTuple):
    """The rules of both families; ``v6`` is empty when IPv6 is not captured."""

    v4: tuple[Rule, ...] = ()
    v6: tuple[Rule, ...] = ()

    def of(self, family: Family) -> tuple[Rule, ...]:
        return self.v4 if family is Family.V4 else self.v6
