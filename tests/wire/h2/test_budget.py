# SPDX-License-Identifier: Apache-2.0
"""The leaky bucket: bursts pass, floods do not, time and useful work give back."""

from __future__ import annotations

from wire.h2.budget import Budget


def test_burst_then_no_more() -> None:
    budget = Budget(burst=3, rate=1)
    assert [budget.spend(0.0) for _ in range(4)] == [True, True, True, False]


def test_time_gives_back() -> None:
    budget = Budget(burst=1, rate=2)
    assert budget.spend(0.0)
    assert not budget.spend(0.1)
    assert budget.spend(1.0)


def test_useful_frames_give_back() -> None:
    budget = Budget(burst=1, rate=0)
    assert all(budget.spend(0.0, earned=1) for _ in range(100))
    assert not budget.spend(0.0)
