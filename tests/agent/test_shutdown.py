# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.shutdown import LifecycleOptions, explained, phases, plan, told

SECONDS = st.floats(0, 1000, allow_nan=False)


def test_without_a_deadline_the_plan_is_the_peers() -> None:
    made = plan(LifecycleOptions(termination_drain=7.0))
    assert (made.delay, made.drain, made.count, made.total) == (0.0, 7.0, 0.0, 7.0)


def test_waiting_for_connections_has_no_bound_of_its_own() -> None:
    made = plan(LifecycleOptions(exit_on_zero_connections=True, minimum_drain=3.0))
    assert (made.drain, made.count, made.limit, made.total) == (3.0, None, None, None)


def test_connections_get_what_a_deadline_leaves() -> None:
    given_ = LifecycleOptions(exit_on_zero_connections=True, minimum_drain=5.0, deadline=30.0)
    made = plan(given_)
    assert (made.drain, made.count, made.reserve) == (5.0, 24.0, 1.0)


@pytest.mark.parametrize(("deadline", "delay", "drain"), [(20, 3, 5), (8, 2, 5), (5, 0, 4)])
def test_the_delay_gives_way_before_the_drain(deadline: int, delay: int, drain: int) -> None:
    options = LifecycleOptions(drain_delay=3.0, deadline=deadline)
    made = plan(options)
    assert (made.delay, made.drain) == (delay, drain)


@given(SECONDS, SECONDS, SECONDS, SECONDS, st.floats(0.01, 1000), st.booleans(), st.floats(0, 1))
def test_phases_never_exceed_the_deadline(
    termination: float,
    minimum: float,
    delay: float,
    jitter: float,
    deadline: float,
    counting: bool,
    chance: float,
) -> None:
    options = LifecycleOptions(
        termination_drain=termination,
        minimum_drain=minimum,
        exit_on_zero_connections=counting,
        drain_delay=delay,
        drain_jitter=jitter,
        deadline=deadline,
    )
    lengths = [phase.seconds for phase in phases(plan(options, chance=chance))]
    assert all(length is not None and length > 0 for length in lengths)
    assert sum(filter(None, lengths)) <= deadline * (1 + 1e-9)


def test_the_plan_in_words() -> None:
    text = explained(LifecycleOptions(drain_delay=2.0, deadline=10.0))
    assert [line.split()[:3] for line in text.splitlines()] == [
        ["delay", "2.0", "s"],
        ["drain", "5.0", "s"],
        ["kill", "1.0", "s"],
        ["total", "8.0", "s"],
    ]
    unbound = explained(LifecycleOptions(exit_on_zero_connections=True))
    assert unbound.splitlines()[-1].split()[:3] == ["total", "no", "bound"]


def test_the_plan_as_facts() -> None:
    made = plan(LifecycleOptions(exit_on_zero_connections=True, minimum_drain=3.0))
    assert told(made) == {"drain": "3.0 s", "connections": "no bound", "total": "no bound"}
