# SPDX-License-Identifier: Apache-2.0
"""Wishes that become one."""

from __future__ import annotations

from upstream.config import Key, Kind
from upstream.queue import Reason, Slot, request

A, B = (Key(Kind.VIRTUAL_SERVICE, "demo", name) for name in "ab")


def test_merge_covers_both() -> None:
    one = request([A], Reason.CONFIG, now=2.0)
    two = request([B], Reason.CONFIG, now=1.0, forced=True)
    both = one.merge(two)
    assert both.changed == frozenset({A, B})
    assert (both.since, both.forced, both.reasons) == (1.0, True, {"config": 2})
    assert both.why == "VirtualService/demo/a and 1 more"


def test_unknown_swallows_known() -> None:
    known, unknown = request([A], Reason.CONFIG, now=1.0), request(None, Reason.GLOBAL, now=2.0)
    assert known.merge(unknown).changed is None
    assert unknown.merge(known).changed is None
    assert unknown.merge(known).why == "config:1,global:1"


def test_slot_holds_one() -> None:
    slot = Slot()
    assert (bool(slot), slot.take()) == (False, None)
    slot.put(request([A], Reason.CONFIG, now=1.0))
    slot.put(request([B], Reason.CONFIG, now=2.0))
    assert slot
    wish = slot.take()
    assert wish is not None
    assert wish.changed == frozenset({A, B})
    assert slot.take() is None
