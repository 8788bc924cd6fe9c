# SPDX-License-Identifier: Apache-2.0
"""The set of events is closed and whole, and each is a value."""

from __future__ import annotations

import inspect
from typing import get_args

from wire.h2 import events
from wire.h2.frames import ErrorCode


def test_every_event_is_in_the_union() -> None:
    """Otherwise ``assert_never`` at its end would let one through."""
    defined = {
        each
        for _, each in inspect.getmembers(events, inspect.isclass)
        if each.__module__ == events.__name__
    }
    assert set(get_args(events.Event)) == defined


def test_events_are_values() -> None:
    one = events.StreamReset(1, ErrorCode.CANCEL, by_peer=True, why="")
    assert one == events.StreamReset(1, ErrorCode.CANCEL, True, "")
    assert one != events.StreamReset(3, ErrorCode.CANCEL, by_peer=True, why="")
