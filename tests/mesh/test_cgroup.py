# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from mesh.cgroup import Cgroup, concurrency, heap_limit


def tree(root: Path, membership: str, **files: str) -> Cgroup:
    """A machine whose process has ``membership``; file names with ``|`` for ``/``."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("|", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Cgroup(root)


def test_v2_the_smallest_on_the_way_counts(tmp_path: Path) -> None:
    group = tree(
        tmp_path,
        "0::/pod/container\n",
        **{
            "pod|container|cpu.max": "max 100000\n",
            "pod|cpu.max": "150000 100000\n",
            "pod|container|memory.max": "268435456\n",
            "pod|memory.max": "max\n",
            "pod|container|memory.events.local": "low 0\noom 2\noom_kill 1\n",
        },
    )
    assert group.cpus() == 1.5
    assert group.memory() == 256 << 20
    assert group.oom_kills() == 1


def test_v1(tmp_path: Path) -> None:
    group = tree(
        tmp_path,
        "4:memory:/pod\n3:cpu,cpuacct:/pod\n0::/\n",
        **{
            "cpu|pod|cpu.cfs_quota_us": "200000\n",
            "cpu|pod|cpu.cfs_period_us": "100000\n",
            "memory|pod|memory.limit_in_bytes": "134217728\n",
            "memory|memory.limit_in_bytes": "9223372036854771712\n",
            "memory|pod|memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        },
    )
    assert group.cpus() == 2.0
    assert group.memory() == 128 << 20
    assert group.oom_kills() == 3


def test_no_limit(tmp_path: Path) -> None:
    group = tree(
        tmp_path,
        "3:cpu:/\n2:memory:/\n0::/\n",
        **{
            "cpu|cpu.cfs_quota_us": "-1\n",
            "cpu|cpu.cfs_period_us": "100000\n",
            "memory|memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert (group.cpus(), group.memory(), group.oom_kills()) == (None, None, 0)


def test_nothing_there(tmp_path: Path) -> None:
    group = Cgroup(tmp_path)
    assert (group.cpus(), group.memory(), group.oom_kills()) == (None, None, 0)


def test_this_machine_is_readable() -> None:
    group = Cgroup()
    assert group.oom_kills() >= 0
    assert group.cpus() is None or group.cpus() > 0  # type: ignore[operator]  # asked twice


@pytest.mark.parametrize(
    ("cpus", "threads"), [(None, 0), (0.1, 1), (1.0, 1), (1.5, 2), (4.0, 4), (8.0, 0), (64.0, 0)]
)
def test_concurrency(cpus: float | None, threads: int) -> None:
    assert concurrency(cpus, 8) == threads


@pytest.mark.parametrize(
    ("memory", "heap"), [(64 << 20, 32 << 20), (512 << 20, 448 << 20), (1000 << 20, 900 << 20)]
)
def test_envoy_does_not_get_all_of_it(memory: int, heap: int) -> None:
    assert heap_limit(memory) == heap
