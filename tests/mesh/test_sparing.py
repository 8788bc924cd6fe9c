# SPDX-License-Identifier: Apache-2.0
"""Lines that strangers cause: told at first, then now and then, and never uncounted."""

from __future__ import annotations

from mesh.sparing import BURST, EVERY, Sparing


def test_after_a_burst_lines_are_spared_and_counted() -> None:
    sparing = Sparing()
    assert [sparing.count(0.0) for _ in range(BURST)] == [0] * BURST
    assert [sparing.count(0.0) for _ in range(1000)] == [None] * 1000
    assert sparing.count(EVERY) == 1000
    assert sparing.count(EVERY) is None


def test_a_flood_of_an_hour_is_told_once_in_a_while() -> None:
    sparing = Sparing()
    answers = [sparing.count(second / 10) for second in range(36_000)]
    told = [untold for untold in answers if untold is not None]
    assert len(told) <= BURST + 3600 / EVERY + 1
    assert sum(told) + len(told) >= 36_000 - EVERY * 10


def test_silence_gives_the_burst_back_and_no_more() -> None:
    sparing = Sparing()
    for _ in range(100):
        sparing.count(0.0)
    answers = [sparing.count(1e6) for _ in range(2 * BURST)]
    assert sum(untold is not None for untold in answers) == BURST
