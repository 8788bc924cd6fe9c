# SPDX-License-Identifier: Apache-2.0
"""Durations as Go and Kubernetes write them (``300ms``, ``1h30m``), in seconds. Pure. Source: Go time.ParseDuration."""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "μs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[+-]?(?:0|(?:{_PART.pattern})+)")


def parse(text: str) -> float:
    """Seconds in ``text``. Raises ValueError when Go would refuse it (a bare number but 0, spaces, unknown units)."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 300ms, 5s or 1h30m")
    total = sum((Decimal(n) * _UNITS[unit] for n, unit in _PART.findall(text)), Decimal(0))
    return float(-total if text.startswith("-") else total)


def render(seconds: float) -> str:
    """``seconds`` in Go's own form: ``5s``, ``1m30s``, ``250ms``, ``24h0m0s``."""
    nanos = round(Decimal(str(seconds)) * 1_000_000_000)
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    if nanos == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanos < min(size * 1000, 1_000_000_000):
            return f"{sign}{_trim(Decimal(nanos) / size)}{unit}"
    minutes, rest = divmod(nanos, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{_trim(Decimal(rest) / 1_000_000_000)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{tail}"
    return f"{sign}{minutes}m{tail}" if minutes else f"{sign}{tail}"


def _trim(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
