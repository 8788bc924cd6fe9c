# SPDX-License-Identifier: Apache-2.0
"""Which IP family the static listeners and clusters speak. Pure. Source: spec/agent.md 2.5, last paragraphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from mesh.errors import BootstrapFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Addresses to bind and dial; the additional ones are empty but on dual stack."""

    loopback: str
    wildcard: str
    lookup: str
    """Name of Envoy's DnsLookupFamily."""
    additional_loopback: str = ""
    additional_wildcard: str = ""


V4 = Family(loopback="127.0.0.1", wildcard="0.0.0.0", lookup="V4_ONLY")
V6 = Family(loopback="::1", wildcard="::", lookup="V6_ONLY")


def family_of(addresses: Sequence[str], *, dual_stack: bool) -> Family:
    """The family of a proxy that has ``addresses``, its own first; none at all counts as IPv4."""
    parsed = [_parsed(address) for address in addresses]
    versions = {each.version for each in parsed if each is not None}
    if versions == {6}:
        return V6
    if not dual_stack or versions != {4, 6}:
        return V4
    first = parsed[0]
    if first is None:
        raise BootstrapFailed(f"{addresses[0]!r} is not an IP address", field="instance_ips")
    main, other = (V4, V6) if first.version == 4 else (V6, V4)
    return Family(
        loopback=main.loopback,
        wildcard=main.wildcard,
        lookup="ALL",
        additional_loopback=other.loopback,
        additional_wildcard=other.wildcard,
    )


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None
