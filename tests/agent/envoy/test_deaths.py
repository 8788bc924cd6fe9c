# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.envoy.deaths import death_of, exit_phrase


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (0, "exit status 0"),
        (1, "exit status 1"),
        (-9, "signal: killed"),
        (-11, "signal: segmentation fault"),
        (-15, "signal: terminated"),
        (-40, "signal: signal 40"),
    ],
)
def test_phrases(status: int, phrase: str) -> None:
    assert exit_phrase(status) == phrase


def test_each_death_is_told_apart() -> None:
    stories = {
        "by itself": death_of(0, was_ready=True, asked=False),
        "by us": death_of(-9, was_ready=True, asked=True),
        "at start": death_of(1, was_ready=False, asked=False),
        "later": death_of(1, was_ready=True, asked=False),
        "crash": death_of(-11, was_ready=True, asked=False),
        "kernel": death_of(-9, was_ready=True, asked=False, oom_kills=1),
        "somebody": death_of(-9, was_ready=True, asked=False),
    }
    assert len(set(stories.values())) == len(stories)
    assert {name for name, story in stories.items() if story.normal} == {"by itself", "by us"}
    assert stories["kernel"].event == "envoy killed by the kernel"
    assert all(story.hint for story in stories.values() if not story.normal)


@given(st.integers(-64, 255), st.booleans(), st.booleans(), st.integers(0, 3))
def test_every_end_has_a_story(status: int, was_ready: bool, asked: bool, kills: int) -> None:
    death = death_of(status, was_ready=was_ready, asked=asked, oom_kills=kills)
    assert death.why == exit_phrase(status)
