# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import psutil

from agent.admin.resources import usage


def test_ourselves_as_psutil_sees_us() -> None:
    mine, theirs = usage(os.getpid()), psutil.Process()
    assert abs(mine["residentBytes"] - theirs.memory_info().rss) < 20_000_000
    assert mine["threads"] == theirs.num_threads()
    assert abs(mine["descriptors"] - theirs.num_fds()) <= 2
    spent = theirs.cpu_times()
    assert abs(mine["processorSeconds"] - spent.user - spent.system) < 1
    assert mine["ageSeconds"] > 0


def test_nobody() -> None:
    assert usage(None) == {}
    assert usage(2**22 + 1) == {}
