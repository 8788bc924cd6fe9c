# SPDX-License-Identifier: Apache-2.0
"""The agent's own metrics that belong to no other part: scrapes, start, process. Text format 0.0.4.

A metric appears after its first recording, as the peer's do. Source: spec/agent.md 11.1.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass, field

PREFIX = "istio_agent_"
OURS = "pilothouse_"


@dataclass(slots=True)
class OwnMetrics:
    """Recorded by the status server, rendered at each scrape."""

    scrapes: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    """Parts of merged scrapes that were left out, by type."""
    startup_seconds: float | None = None
    up: dict[tuple[str, str], bool] = field(default_factory=dict)
    """Whether each source (type, target) answered the last scrape."""
    families_dropped: int = 0
    """Families, or parts of them, left out because another source has them."""

    def failed(self, kind: str) -> None:
        """A part of type envoy, application or agent did not come."""
        self.failures[kind] = self.failures.get(kind, 0) + 1

    def render(self) -> str:
        lines = _process()
        if self.startup_seconds is not None:
            lines += _one("startup_duration_seconds", "gauge", self.startup_seconds)
        if self.scrapes:
            lines += _one("scrapes_total", "counter", self.scrapes)
        if self.failures:
            lines.append(f"# TYPE {PREFIX}scrape_failures_total counter")
            lines += [
                f'{PREFIX}scrape_failures_total{{type="{kind}"}} {count}'
                for kind, count in sorted(self.failures.items())
            ]
        if self.up:
            lines.append(f"# TYPE {OURS}scrape_source_up gauge")
            lines += [
                f'{OURS}scrape_source_up{{source="{kind}",target="{_escaped(target)}"}} {int(up)}'
                for (kind, target), up in sorted(self.up.items())
            ]
        if self.families_dropped:
            name = f"{OURS}scrape_families_dropped_total"
            lines += [f"# TYPE {name} counter", f"{name} {self.families_dropped}"]
        return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _one(name: str, kind: str, value: float) -> list[str]:
    return [f"# TYPE {PREFIX}{name} {kind}", f"{PREFIX}{name} {value!r}"]


def _process() -> list[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    lines = _one("process_cpu_seconds_total", "counter", usage.ru_utime + usage.ru_stime)
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            virtual, resident = (int(each) for each in statm.read().split()[:2])
        descriptors = len(os.listdir("/proc/self/fd"))
    except OSError:
        return lines
    page = resource.getpagesize()
    lines += _one("process_open_fds", "gauge", descriptors)
    for name, pages in (("virtual", virtual), ("resident", resident)):
        metric = f"{PREFIX}process_{name}_memory_bytes"
        lines += [f"# TYPE {metric} gauge", f"{metric} {pages * page}"]
    return lines
