# SPDX-License-Identifier: Apache-2.0
"""What a semantic check yields, and the checks that several kinds share. Pure.

Source: istio pkg/config/validation and pkg/config/labels; spec/upstream.md 8.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from upstream.config import regex
from upstream.config.shared import StringMatch

LABEL = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9])?")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
UNIX = "unix://"
_MILLISECOND = timedelta(milliseconds=1)


class Problem(NamedTuple):
    """A field of the specification, what is wrong with it, what to try."""

    path: str
    reason: str
    hint: str = ""


Check = Callable[[Any], Iterable[Problem]]


def host_problems(path: str, host: str, *, wildcard: bool = True) -> Iterator[Problem]:
    """Faults of a DNS name, with ``*`` as its first label where that is allowed."""
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


def label_problems(path: str, labels: Mapping[str, str]) -> Iterator[Problem]:
    """Faults of the labels that select workloads."""
    for key, value in labels.items():
        if not key:
            yield Problem(path, f"the label of value {value!r} has no name")
        elif "*" in key or "*" in value:
            hint = "name each label in full, or leave the selector out for all workloads"
            yield Problem(f"{path}[{key}]", "has a wildcard, which selectors do not know", hint)


def export_problems(spaces: Sequence[str]) -> Iterator[Problem]:
    """Faults of exportTo."""
    for i, space in enumerate(spaces):
        path = f"exportTo[{i}]"
        if space not in (".", "*", "~") and not DNS_LABEL.fullmatch(space):
            yield Problem(path, f"{space!r} is not a namespace", "a name, '.', '*' or '~'")
        if space in spaces[:i]:
            yield Problem(path, f"{space!r} is listed twice")
    if len(spaces) > 1 and ("*" in spaces or "~" in spaces):
        hint = "'*' and '~' stand alone"
        yield Problem("exportTo", "everyone or no one, and others besides", hint)


def time_problems(path: str, value: timedelta | None) -> Iterator[Problem]:
    """Faults of a time span that must be noticeable."""
    if value is not None and value < _MILLISECOND:
        yield Problem(path, "is shorter than 1ms")


def percent_problems(path: str, value: float) -> Iterator[Problem]:
    """Faults of a percentage."""
    if not 0 <= value <= 100:
        yield Problem(path, f"{value:g} is not within 0 and 100")


def match_problems(path: str, match: StringMatch, *, required: bool) -> Iterator[Problem]:
    """Faults of a comparison; one that is ``required`` must say what to compare with."""
    given = [text for text in (match.exact, match.prefix, match.regex) if text is not None]
    if len(given) > 1:
        yield Problem(path, "is several matches at once", "keep one of exact, prefix, regex")
    if required and not any(given):
        yield Problem(path, "is an empty match", "give exact, prefix or regex")
    if match.regex and match.regex != "*":
        yield from regex_problems(f"{path}.regex", match.regex)


def regex_problems(path: str, pattern: str) -> Iterator[Problem]:
    """Faults of a regular expression."""
    fault = regex.fault_of(pattern)
    if fault:
        hint = "Envoy compiles RE2: github.com/google/re2/wiki/Syntax"
        yield Problem(path, f"{pattern!r} is not a regular expression: {fault}", hint)


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


def is_socket_path(address: str) -> bool:
    """Whether a ``unix://`` address has an absolute path or the name of an abstract socket."""
    return address.removeprefix(UNIX).startswith(("/", "@"))
