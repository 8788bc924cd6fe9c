# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from random import Random

import pytest

from sdsserver.rotation import RECHECK, next_look, renew_at, rotation_delay


@pytest.mark.parametrize(
    ("grace", "minutes"), [(0.5, 30), (0.25, 45), (0.75, 15), (1.0, 0), (0.0, 60), (7.0, 0)]
)
def test_without_jitter_the_grace_ratio_alone_decides(grace: float, minutes: float) -> None:
    delay = rotation_delay(100.0, born=100.0, dies=3700.0, grace=grace, jitter=0.0, rng=Random(1))
    assert delay == minutes * 60


def test_lifetime_counts_from_when_it_was_received() -> None:
    born, dies = 1800.0, 5400.0
    assert rotation_delay(0.0, born=born, dies=dies, grace=0.25, jitter=0.0, rng=Random(1)) == 4500


def test_an_expired_certificate_is_due_now() -> None:
    assert rotation_delay(10.0, born=1.0, dies=2.0, grace=0.5, jitter=0.0, rng=Random(1)) == 0.0


def test_jitter_goes_both_ways_and_never_past_the_lifetime() -> None:
    drawn = [renew_at(0.0, 100.0, grace=0.5, jitter=0.9, rng=Random(seed)) for seed in range(300)]
    assert min(drawn) == 0.0
    assert max(drawn) == 100.0
    assert len(set(drawn)) > 50


def test_the_clock_is_looked_at_again_after_a_while_at_most() -> None:
    assert next_look(0.0, 1e9) == RECHECK
    assert next_look(0.0, 2.0) == 2.0
    assert next_look(0.0, float("-inf")) == 0.0
