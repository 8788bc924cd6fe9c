# SPDX-License-Identifier: Apache-2.0
"""Counters under the peer's names, and their text form. Pure.

Source: spec/upstream.md 3.10; Prometheus text format 0.0.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Metric(StrEnum):
    """What is counted as it happens."""

    PUSHES = "pilot_xds_pushes"
    REJECTS = "pilot_total_xds_rejects"
    EXPIRED_NONCES = "pilot_xds_expired_nonce"
    INTERNAL_ERRORS = "pilot_total_xds_internal_errors"
    WRITE_TIMEOUTS = "pilot_xds_write_timeout"
    INBOUND_UPDATES = "pilot_inbound_updates"
    PUSH_TRIGGERS = "pilot_push_triggers"


class Sample(NamedTuple):
    """One line of the text form."""

    name: str
    kind: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Metrics:
    """All counters of the process."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Metric, tuple[tuple[str, str], ...]]] = Counter()

    def add(self, metric: Metric, amount: int = 1, /, **labels: str) -> None:
        """Count something that happened. Labels must come from a small fixed set."""
        self._counts[metric, tuple(sorted(labels.items()))] += amount

    def value(self, metric: Metric, /, **labels: str) -> int:
        return self._counts[metric, tuple(sorted(labels.items()))]

    def samples(self) -> list[Sample]:
        return [
            Sample(metric.value, "counter", labels, count)
            for (metric, labels), count in self._counts.items()
        ]


def gauge(name: str, value: float, **labels: str) -> Sample:
    """Something measured now."""
    return Sample(name, "gauge", tuple(sorted(labels.items())), value)


def counter(name: str, value: float, **labels: str) -> Sample:
    """Something counted elsewhere."""
    return Sample(name, "counter", tuple(sorted(labels.items())), value)


def render(samples: Iterable[Sample]) -> str:
    """Grouped by name with a TYPE line each."""
    lines: list[str] = []
    said: set[str] = set()
    for sample in sorted(samples):
        if sample.name not in said:
            said.add(sample.name)
            lines.append(f"# TYPE {sample.name} {sample.kind}")
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels)
        lines.append(f"{sample.name}{f'{{{labels}}}' if labels else ''} {sample.value:g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
