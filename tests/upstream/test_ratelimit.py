# SPDX-License-Identifier: Apache-2.0
"""Turns handed out at a steady rate."""

from __future__ import annotations

import pytest

from upstream.ratelimit import Bucket, by_processors


def test_turns() -> None:
    bucket = Bucket(2.0)
    assert [bucket.reserve(10.0) for _ in range(4)] == [0.0, 0.5, 1.0, None]
    assert bucket.reserve(10.6) == pytest.approx(0.9)
    assert bucket.reserve(100.0) == 0.0


@pytest.mark.parametrize(("count", "rate"), [(1, 20), (4, 35), (64, 100)])
def test_by_processors(count: int, rate: int) -> None:
    assert by_processors(count) == rate
