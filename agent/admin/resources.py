# SPDX-License-Identifier: Apache-2.0
"""What a process uses of this machine, from /proc: nothing is imported for it (ADR 0014). Effects only."""

from __future__ import annotations

import contextlib
import os

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def usage(pid: int | None) -> dict[str, float]:
    """Memory, processor time, age, threads and descriptors; empty for a process that is not there."""
    if not pid:
        return {}
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            # after the name, which may hold anything: state is field 3
            fields = stat.read().rpartition(")")[2].split()
        with open("/proc/uptime", encoding="ascii") as uptime:
            now = float(uptime.read().split()[0])
    except OSError:
        return {}
    used: dict[str, float] = {
        "residentBytes": int(fields[21]) * _PAGE,
        "processorSeconds": round((int(fields[11]) + int(fields[12])) / _TICKS, 2),
        "ageSeconds": round(now - int(fields[19]) / _TICKS, 1),
        "threads": int(fields[17]),
    }
    with contextlib.suppress(OSError):  # another user's
        used["descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
    return used
