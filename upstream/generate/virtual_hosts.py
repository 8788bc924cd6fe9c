# SPDX-License-Identifier: Apache-2.0
"""Which names a virtual host answers to, and that no name has two hosts. Pure. Source: spec/upstream.md 7.4, 21.1."""

from __future__ import annotations

from collections.abc import Iterable

from upstream.generate.view import View
from upstream.registry import Service


def domains_of(service: Service, view: View) -> tuple[list[str], list[str]]:
    """All names of a service as the proxy's workload may write them, and the short ones among them."""
    host = service.hostname
    short = short_names(host, view.proxy.domain)
    names = [host, f"{host}.", *short]
    names += [
        _bracketed(one.address)
        for one in view.registry.by_host.get(host, ())
        if one.namespace == service.namespace and one.has_address
    ]
    return names, short


def short_names(host: str, domain: str) -> list[str]:
    """A resolver's search path backwards: what is left of ``host`` without the part shared with ``domain``."""
    parts, own = host.split("."), domain.split(".")
    shared = 0
    while shared < min(len(parts), len(own)) and parts[-1 - shared] == own[-1 - shared]:
        shared += 1
    if shared == 0 or shared == len(parts) or host.startswith("*"):
        return []
    unique, common = parts[:-shared], parts[-shared:]
    name = ".".join(unique)
    if len(own) > 1 and own[1] == "svc" and shared == len(own):
        return [name, f"{name}.{common[0]}.svc", f"{name}.{common[0]}"]
    if len(unique) == 2:
        return [name, f"{name}.{common[0]}"]
    return [name]


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def with_port(domains: Iterable[str], port: int) -> list[str]:
    """Names as an explicit proxy sees them: with their port, and bare where that means port 80.

    istiod gives the same names but strips the request's port before it compares, so that behind it only port 80
    matches; ours are compared with the port (see ``routes.EXPLICIT``).
    """
    names = [f"{domain}:{port}" for domain in domains]
    return [*domains, *names] if port == 80 else names


class Domains:
    """The names already given away in one route configuration."""

    __slots__ = ("_known", "_taken")

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self._taken: set[str] = set()

    def take(self, domains: Iterable[str], short: Iterable[str] = ()) -> list[str]:
        """Those of ``domains`` that are free. A shortened name never hides a host that is really called so."""
        shortened = frozenset(short)
        mine = []
        for domain in domains:
            lowered = domain.lower()
            if lowered in self._taken or (domain in shortened and domain in self._known):
                continue
            self._taken.add(lowered)
            mine.append(domain)
        return mine
