# SPDX-License-Identifier: Apache-2.0
"""What a semantic check yields. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

LABEL = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9])?")


class Problem(NamedTuple):
    """A field of the specification, what is wrong with it, what to try."""

    path: str
    reason: str
    hint: str = ""


Check = Callable[[Any], Iterable[Problem]]


def host_problems(path: str, host: str, *, wildcard: bool = True) -> Iterator[Problem]:
    """Faults of a DNS name, with a leading ``*`` where that is allowed."""
    if not host:
        yield Problem(path, "missing")
        return
    if host == "*" and wildcard:
        return
    rest = host.removeprefix("*.") if wildcard else host
    if wildcard and rest.startswith("*"):
        rest = rest[1:].lstrip("-")
    labels = rest.removesuffix(".").split(".")
    if len(host) > 255 or not all(LABEL.fullmatch(label) for label in labels):
        yield Problem(
            path, f"{host!r} is not a host name", "such as reviews.default.svc.cluster.local"
        )


def port_problems(path: str, number: int) -> Iterator[Problem]:
    """Faults of a port number."""
    if not 1 <= number <= 65535:
        yield Problem(path, f"{number} is not a port", "1 to 65535")


def is_ip(text: str) -> bool:
    """Whether ``text`` is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_network(text: str) -> bool:
    """Whether ``text`` is an IP address or a CIDR."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
