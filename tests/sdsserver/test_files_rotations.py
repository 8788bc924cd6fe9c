# SPDX-License-Identifier: Apache-2.0
"""Many rotations of each kind that is met in the field: every one reaches an SDS client, the time to each is printed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from mesh.inotify import Inotify
from tests.support.needs import REPO
from tests.support.rotations import KINDS, MOUNTED, POLL, UNSEEN, rotate_often

FEW, MANY = 3, 100
TIMES = [FEW, pytest.param(MANY, marks=pytest.mark.long)]


def report(kind: str, took: list[float], times: int, *, target: float = 2.0) -> None:
    assert len(took) == times
    each = " ".join(f"{seconds * 1000:.0f}" for seconds in took)
    slowest = max(took) * 1000
    print(
        f"{kind}: {times} rotations, slowest {slowest:.0f} ms (target {target * 1000:.0f}): {each}"
    )


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_kernel_tells_of_each(short_tmp: Path, kind: str, times: int) -> None:
    """Without a poll: a rotation that is not noticed would never be served."""
    report(kind, await rotate_often(short_tmp / "volume", KINDS[kind], times, poll=0.0), times)


@pytest.mark.root
@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("kind", MOUNTED)
async def test_mounts_are_noticed(short_tmp: Path, kind: str, times: int) -> None:
    words = ["unshare", "--mount", sys.executable, "-m", "tests.support.rotations"]
    child = await asyncio.create_subprocess_exec(
        *words, short_tmp / "volume", kind, str(times), stdout=asyncio.subprocess.PIPE, cwd=REPO
    )
    out, _ = await child.communicate()
    assert child.returncode == 0
    report(kind, json.loads(out.splitlines()[-1]), times)


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("kind", [*KINDS, *UNSEEN])
async def test_the_poll_finds_each(
    short_tmp: Path, kind: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No inotify at all, or a change that it does not tell; the poll is compressed from 5 s."""

    def refuse(self: Inotify) -> None:
        raise OSError(24, "Too many open files")

    if kind in KINDS:
        monkeypatch.setattr(Inotify, "__init__", refuse)
    rotate = (KINDS | UNSEEN)[kind]
    took = await rotate_often(short_tmp / "volume", rotate, times, poll=POLL)
    report(f"{kind}, polled each {POLL} s", took, times, target=30.0 * POLL / 5.0)
