# SPDX-License-Identifier: Apache-2.0
"""Principals under every trust domain that a policy's one may stand for. Pure.

Source: spec/upstream.md 4.4, 7.8; istio pilot/pkg/security/trustdomain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from upstream.config import MeshConfig

OURS = "cluster.local"
"""In a policy it points to the mesh's own trust domain, whatever that is called."""


def in_all_domains(principals: Sequence[str], mesh: MeshConfig) -> list[str]:
    """A principal of our trust domain is one of each of its aliases too."""
    found: dict[str, None] = {}
    for principal in principals:
        found |= dict.fromkeys(_spread(principal, mesh))
    return list(found)


def _spread(principal: str, mesh: MeshConfig) -> Iterator[str]:
    domain, _, rest = principal.partition("/")
    ours = (mesh.trust_domain, *mesh.trust_domain_aliases)
    known = domain == OURS or any(_same(domain, one) for one in ours)
    # peer: what is not domain/ns/namespace/sa/account names no trust domain.
    if principal.count("/") != 4 or domain == "*" or not known:
        yield principal
        return
    for one in ours:
        fits = domain.startswith("*") and one.endswith(domain[1:])
        yield principal if fits else f"{one}/{rest}"


def _same(domain: str, ours: str) -> bool:
    """Whether a domain, wildcards at either end, is ours."""
    if domain.startswith("*"):
        return ours.endswith(domain[1:])
    if domain.endswith("*"):
        return ours.startswith(domain[:-1])
    return domain == ours
