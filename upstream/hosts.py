# SPDX-License-Identifier: Apache-2.0
"""How Istio compares host names and completes short ones. Pure. Source: istio pkg/config/host, spec 6.4, 21.2."""

from __future__ import annotations

from collections.abc import Iterable

DOMAIN = "cluster.local"


def full_host(host: str, namespace: str, domain: str = DOMAIN) -> str:
    """A name without dots is a service of the object's own namespace; anything else stays."""
    if "." in host or host.startswith("*"):
        return host
    return f"{host}.{namespace}.svc.{domain}"


def subset_of(host: str, pattern: str) -> bool:
    """Whether every name that ``host`` stands for is one of ``pattern``'s."""
    if not pattern.startswith("*"):
        return host == pattern
    tail = pattern[1:]
    if host.startswith("*"):
        return host[1:].endswith(tail)
    return host.endswith(tail)


def overlap(one: str, other: str) -> bool:
    """Whether some name is both's."""
    return subset_of(one, other) or subset_of(other, one)


def most_specific(host: str, patterns: Iterable[str]) -> str | None:
    """The pattern that fits ``host`` best: itself, else the longest wildcard."""
    fitting = [pattern for pattern in patterns if subset_of(host, pattern)]
    return min(fitting, key=lambda one: (one.startswith("*"), -len(one), one), default=None)
