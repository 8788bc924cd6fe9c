# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("300ms", 0.3),
        ("1h30m", 5400),
        ("-1.5h", -5400),
        ("0", 0),
        ("1us", 1e-6),
        (".5s", 0.5),
    ],
)
def test_parse(text: str, seconds: float) -> None:
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "1d", "1h-3m", "5S", "--1s"])
def test_what_go_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (86400, "24h0m0s"),
        (90, "1m30s"),
        (0.25, "250ms"),
        (0, "0s"),
        (1e-6, "1µs"),
        (1.5, "1.5s"),
        (-2, "-2s"),
    ],
)
def test_render_as_go(seconds: float, text: str) -> None:
    assert durations.render(seconds) == text


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_round_trip(micros: int) -> None:
    assert durations.parse(durations.render(micros / 1e6)) == pytest.approx(micros / 1e6)
