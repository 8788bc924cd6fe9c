# SPDX-License-Identifier: Apache-2.0
"""What the kernel holds, read from ``nft list chains``: names only, which every version of nft prints alike. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from iptables.nft_rules import NftTable
from iptables.rules import OUR_CHAINS


class Found(NamedTuple):
    """Our tables with their chains; and whether there are chains of the iptables kind as well."""

    ours: Mapping[str, tuple[str, ...]] = {}
    iptables: bool = False


def parse(text: str) -> Found:
    """From the listing of all families: ``table FAMILY NAME {``, then ``chain NAME {`` for each."""
    ours: dict[str, list[str]] = {}
    iptables = False
    family = table = ""
    for words in (line.split() for line in text.splitlines()):
        match words:
            case ["table", family, table, "{"]:
                if family == "inet" and table in set(NftTable):
                    ours[table] = []
            case ["chain", name, "{"] if family == "inet" and table in ours:
                ours[table].append(name)
            case ["chain", name, "{"] if family in ("ip", "ip6") and name in OUR_CHAINS:
                iptables = True
    return Found({name: tuple(chains) for name, chains in ours.items()}, iptables)
