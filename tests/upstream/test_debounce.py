# SPDX-License-Identifier: Apache-2.0
"""When a burst of events becomes one push."""

from __future__ import annotations

from upstream.config import Key, Kind
from upstream.debounce import Debounce
from upstream.queue import PushRequest, Reason, request


def wish(name: str, now: float) -> PushRequest:
    return request([Key(Kind.SIDECAR, "n", name)], Reason.CONFIG, now=now)


def test_one_event() -> None:
    debounce = Debounce(after=0.1, longest=10)
    assert debounce.due() is None
    debounce.add(wish("a", 5.0), now=5.0)
    assert debounce.due() == 5.1
    assert debounce.take(now=5.05) is None
    settled = debounce.take(now=5.2)
    assert settled is not None
    assert (settled.events, settled.request.since) == (1, 5.0)
    assert round(settled.quiet, 3) == 0.2
    assert debounce.take(now=6.0) is None


def test_burst_is_merged_until_it_is_quiet() -> None:
    debounce = Debounce(after=0.1, longest=10)
    for tick in range(5):
        debounce.add(wish(str(tick), tick * 0.08), now=tick * 0.08)
        assert debounce.take(now=tick * 0.08 + 0.07) is None
    settled = debounce.take(now=0.43)
    assert settled is not None
    assert settled.events == 5
    assert len(settled.request.changed or ()) == 5


def test_endless_burst_is_pushed_in_the_end() -> None:
    debounce = Debounce(after=0.1, longest=1)
    now = 0.0
    while debounce.take(now=now) is None:
        assert now < 1.2
        debounce.add(wish("a", now), now=now)
        now += 0.05
    assert now >= 1
