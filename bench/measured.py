# SPDX-License-Identifier: Apache-2.0
"""What a process has used so far, as the kernel tells it."""

from __future__ import annotations

from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Of all its living threads, by the scheduler's own clock: ticks would be too coarse."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory(pid: int, what: str = "VmRSS") -> float:
    """MiB: ``VmRSS`` now, ``VmHWM`` at its peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith(what))
