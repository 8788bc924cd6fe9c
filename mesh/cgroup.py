# SPDX-License-Identifier: Apache-2.0
"""What this process's control group allows and counted: v2, else v1. Reads /proc and /sys; what is absent is no error.

A limit is the smallest on the way to the root, for an outer group binds an inner one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
_NO_LIMIT_V1 = 1 << 60
"""v1 says 'none' as a very large number of bytes."""
_OTHERS = 64 << 20
"""Bytes for the agent, and for stacks and code of Envoy."""


class Cgroup:
    """The groups of one process, found once. ``root`` is where /proc and /sys are."""

    def __init__(self, root: Path = ROOT) -> None:
        self._base = root / "sys/fs/cgroup"
        self._paths = _memberships(root / "proc/self/cgroup")

    def cpus(self) -> float | None:
        """How many CPUs' time may be used; None is all."""
        v2 = [_quota(text.split()) for text in self._texts("", "cpu.max")]
        v1 = [
            _quota([quota, period])
            for quota, period in zip(
                self._texts("cpu", "cpu.cfs_quota_us"),
                self._texts("cpu", "cpu.cfs_period_us"),
                strict=False,
            )
        ]
        return min((each for each in v2 + v1 if each is not None), default=None)

    def memory(self) -> int | None:
        """Bytes that may be used; None is all."""
        texts = [
            *self._texts("", "memory.max"),
            *self._texts("memory", "memory.limit_in_bytes"),
        ]
        numbers = (int(text) for text in texts if text.isdecimal())
        return min((number for number in numbers if number < _NO_LIMIT_V1), default=None)

    def oom_kills(self) -> int:
        """How many processes of this group the kernel has killed for memory; 0 where it is not counted."""
        for controller, name in (("", "memory.events.local"), ("memory", "memory.oom_control")):
            for text in self._texts(controller, name):
                for line in text.splitlines():
                    word, _, count = line.partition(" ")
                    if word == "oom_kill" and count.strip().isdecimal():
                        return int(count)
        return 0

    def _texts(self, controller: str, name: str) -> Iterator[str]:
        """The file in the own group and in each above it, inner first; absent ones are left out."""
        path = self._paths.get(controller)
        if path is None:
            return
        base = self._base / controller if controller else self._base
        for each in (path, *path.parents):
            with contextlib.suppress(OSError, ValueError):
                yield (base / each.relative_to("/") / name).read_text().strip()


def concurrency(cpus: float | None, cores: int) -> int:
    """Worker threads for that many CPUs of a machine with ``cores``, at least one; 0 where nothing is limited."""
    return 0 if cpus is None or cpus >= cores else max(1, math.ceil(cpus))


def heap_limit(memory: int) -> int:
    """Bytes of Envoy's heap in a group that may use ``memory``: the agent and what is no heap need theirs."""
    return memory - min(max(_OTHERS, memory // 10), memory // 2)


def _memberships(file: Path) -> dict[str, PurePosixPath]:
    """Controller to path; v2 under the empty name."""
    found: dict[str, PurePosixPath] = {}
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            for controller in controllers.split(","):
                found[controller] = PurePosixPath(path or "/")
    return found


def _quota(words: list[str]) -> float | None:
    """``quota period``; ``max`` and ``-1`` are none."""
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return None
    quota, period = map(int, words)
    return quota / period if quota and period else None
