# SPDX-License-Identifier: Apache-2.0
"""What Envoy's plain-text statistics say. Pure. Source: spec/agent.md 3.5, 9.2, Appendix C."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

NO_DATA = -1
"""A body without a byte: Envoy has nothing to say any more."""

_WORKER = "worker_"
_INTERNAL = "listener.envoy_internal_"
_SUFFIX = ".downstream_cx_active"


def values(text: str, wanted: Iterable[str]) -> dict[str, int]:
    """The unsigned values of the wanted statistics that ``text`` has; a line belongs to the name it begins with.

    Raises ValueError for a wanted line that is not ``name: integer``.
    """
    names = tuple(wanted)
    found: dict[str, int] = {}
    for line in text.splitlines():
        name = next((each for each in names if line.startswith(each)), None)
        if name is not None:
            found[name] = _value(line)
    return found


def _value(line: str) -> int:
    parts = line.split(":")
    if len(parts) != 2:
        raise ValueError(f"envoy stat {line!r} missing separator")
    try:
        value = int(parts[1].strip())
    except ValueError:
        value = -1
    if value < 0:
        raise ValueError(f"failed parsing envoy stat {line!r}: not an unsigned integer")
    return value


def own_listeners(ports: Iterable[int]) -> frozenset[str]:
    """Statistics of listeners that do not carry traffic of the application. The peer knows only IPv4 wildcards."""
    listeners = [f"listener.0.0.0.0_{port}" for port in ports]
    listeners += ["listener.admin", "listener.admin.main_thread"]
    return frozenset(f"{name}{_SUFFIX}" for name in listeners)


def active_connections(text: str, ignored: frozenset[str]) -> int:
    """Connections that still end at a listener of the application; NO_DATA for an empty text."""
    if not text:
        return NO_DATA
    return sum(count for name, count in _counts(text) if _counts_for_drain(name, ignored))


def _counts(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == 2 and parts[1].strip().isdecimal():
            yield parts[0], int(parts[1])


def _counts_for_drain(name: str, ignored: frozenset[str]) -> bool:
    return (
        name.startswith("listener.")
        and _WORKER not in name
        and not name.startswith(_INTERNAL)
        and name not in ignored
    )
