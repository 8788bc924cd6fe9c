# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from random import Random

import pytest

from mesh.backoff import Backoff


def test_grows_to_the_cap_and_starts_over() -> None:
    backoff = Backoff(initial=1, factor=2, jitter=0, cap=5)
    rng = Random(1)
    assert [backoff.delay(rng) for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.delay(rng) == 1


def test_jitter_stays_within_its_fraction() -> None:
    rng = Random(2)
    delays = [Backoff(initial=10, jitter=0.5).delay(rng) for _ in range(500)]
    assert min(delays) >= 5
    assert max(delays) <= 15
    assert max(delays) - min(delays) > 5
    assert sum(delays) / 500 == pytest.approx(10, rel=0.1)
