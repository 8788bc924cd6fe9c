# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from agent.readiness import Readiness


def test_done_when_nothing_is_pending() -> None:
    ready = Readiness(("a", "b"), started=10.0)
    assert list(ready.pending) == ["a", "b"]
    ready.mark("b", 10.25)
    assert list(ready.pending) == ["a"]
    assert ready.status() == {"a": None, "b": 0.25}
    ready.mark("a", 11.0)
    ready.mark("b", 99.0)  # once is enough
    assert ready.done
    assert ready.status() == {"a": 1.0, "b": 0.25}


def test_a_name_that_nobody_announced() -> None:
    with pytest.raises(KeyError):
        Readiness(("a",), started=0.0).mark("c", 1.0)
