# SPDX-License-Identifier: Apache-2.0
"""Dialogues with the machine: what happened, what is to be done. Source: spec/agent.md 3.5; peer: pkg/envoy/agent.go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.lifecycle import (
    Command,
    Count,
    Counted,
    Drain,
    DrainAsked,
    EnvoyExited,
    EnvoyStarted,
    Event,
    Exit,
    Expired,
    Kill,
    Lifecycle,
    Limit,
    Quit,
    Start,
    State,
    Stop,
    Wake,
    Woke,
)
from agent.shutdown import LifecycleOptions
from mesh.errors import ExitCode

TERM = Stop("received signal: terminated")
DIED = EnvoyExited(-9)
OVER = Exit(ExitCode.OK)


def machine(**options: Any) -> Lifecycle:
    return Lifecycle(LifecycleOptions(**options))


def running(**options: Any) -> Lifecycle:
    return play(machine(**options), (EnvoyStarted(), []))


def play(life: Lifecycle, *dialogue: tuple[Event, Sequence[Command]]) -> Lifecycle:
    said = [(event, list(life.on(event))) for event, _ in dialogue]
    assert said == [(event, list(wanted)) for event, wanted in dialogue]
    return life


def test_a_signal_drains_waits_and_kills() -> None:
    play(
        running(termination_drain=7.0),
        (TERM, [Drain(), Wake(7.0)]),
        (Woke(), [Kill()]),
        (DIED, [OVER]),
    )


def test_an_envoy_that_ends_by_itself_ends_the_wait() -> None:
    play(running(), (TERM, [Drain(), Wake(5.0)]), (EnvoyExited(0), [OVER]), (Woke(), []))


def test_only_the_first_signal_counts() -> None:
    play(running(), (TERM, [Drain(), Wake(5.0)]), (TERM, []), (Woke(), [Kill()]), (TERM, []))


@pytest.mark.parametrize("status", [0, 1, -9, -11])
def test_however_envoy_ends_the_agent_ends_well(status: int) -> None:
    play(running(), (EnvoyExited(status), [OVER]))


def test_no_envoy_to_wait_for() -> None:
    for life in (machine(), Lifecycle(LifecycleOptions(), with_envoy=False)):
        play(life, (TERM, [OVER]))


def test_quit_kills_at_once() -> None:
    play(running(), (Quit(), [Kill(), OVER]))


def test_a_drain_beforehand_spares_the_later_one() -> None:
    play(running(), (DrainAsked(), [Drain(skip_exit=True)]), (TERM, [Kill(), OVER]))


def test_a_drain_without_envoy_does_nothing() -> None:
    play(Lifecycle(LifecycleOptions(), with_envoy=False), (DrainAsked(), []), (TERM, [OVER]))


def test_connections_are_waited_for() -> None:
    play(
        running(exit_on_zero_connections=True, minimum_drain=3.0),
        (TERM, [Drain(), Wake(3.0)]),
        (Woke(), [Wake(1.0)]),
        (Woke(), [Count()]),
        (Counted(2), [Wake(1.0)]),
        (Woke(), [Count()]),
        (Counted(0), [Kill()]),
        (DIED, [OVER]),
    )


def test_nothing_shortens_the_minimum() -> None:
    play(
        running(exit_on_zero_connections=True),
        (TERM, [Drain(), Wake(5.0)]),
        (EnvoyExited(0), []),
        (Woke(), [OVER]),
    )


def counting(**options: Any) -> Lifecycle:
    life = running(exit_on_zero_connections=True, **options)
    for event in (TERM, Woke()):
        life.on(event)
    assert life.state is State.COUNTING
    return life


def test_four_faults_in_a_row_are_forgiven() -> None:
    life = counting()
    faults: list[tuple[Event, list[Command]]] = [(Counted(None), [Wake(1.0)])] * 4
    play(life, *faults, (Counted(1), [Wake(1.0)]), *faults, (Counted(None), [Kill()]))


def test_an_envoy_without_a_word_is_not_waited_for() -> None:
    play(counting(), (Counted(-1), [Kill()]))


def test_envoy_ends_while_it_is_counted() -> None:
    play(counting(), (EnvoyExited(0), [OVER]), (Counted(3), []))


# ---- ours: a delay, a deadline ----


def test_a_delay_comes_before_the_drain() -> None:
    life = running(drain_delay=2.0)
    play(life, (TERM, [Wake(2.0)]))
    assert not life.stopping, "ready all the while"
    play(life, (Woke(), [Drain(), Wake(5.0)]))
    assert life.stopping


def test_chance_takes_its_part_of_the_jitter() -> None:
    options = LifecycleOptions(drain_delay=2.0, drain_jitter=4.0)
    life = Lifecycle(options, chance=0.25)
    play(life, (EnvoyStarted(), []), (TERM, [Wake(3.0)]))


def test_nothing_else_cuts_the_delay_short_but_quit() -> None:
    play(running(drain_delay=2.0), (TERM, [Wake(2.0)]), (TERM, []), (Quit(), [Kill(), OVER]))


def test_a_drain_in_the_delay_is_not_done_twice() -> None:
    play(
        running(drain_delay=2.0),
        (TERM, [Wake(2.0)]),
        (DrainAsked(), [Drain(skip_exit=True)]),
        (Woke(), [Kill(), OVER]),
    )


def test_a_deadline_bounds_the_wait_for_connections() -> None:
    play(
        running(exit_on_zero_connections=True, deadline=20.0),
        (TERM, [Limit(19.0), Drain(), Wake(5.0)]),
        (Woke(), [Wake(1.0)]),
        (Woke(), [Count()]),
        (Counted(4), [Wake(1.0)]),
        (Expired(), [Kill()]),
        (DIED, [OVER]),
    )


def test_a_deadline_reaches_into_the_delay() -> None:
    play(
        running(drain_delay=30.0, deadline=10.0),
        (TERM, [Limit(9.0), Wake(4.0)]),
        (Woke(), [Drain(), Wake(5.0)]),
        (Expired(), [Kill()]),
        (Woke(), []),
    )


def test_a_deadline_after_the_end_of_envoy() -> None:
    play(
        running(exit_on_zero_connections=True, deadline=4.0),
        (TERM, [Limit(3.2), Drain(), Wake(3.2)]),
        (EnvoyExited(0), []),
        (Expired(), [OVER]),
    )


# ---- ours: restarts ----


def test_deaths_within_the_budget_are_forgiven() -> None:
    play(
        running(restarts=2, restart_backoff=1.0),
        (EnvoyExited(-11, at=10.0), [Wake(1.0)]),
        (Woke(), [Start()]),
        (EnvoyStarted(), []),
        (EnvoyExited(-11, at=20.0), [Wake(2.0)]),
        (Woke(), [Start()]),
        (EnvoyExited(1, at=23.0), [Exit(ExitCode.FAILED)]),
    )


def test_old_deaths_are_forgotten() -> None:
    life = running(restarts=1, restart_window=60.0, restart_backoff=1.0)
    for at in (0.0, 60.0, 120.0):
        play(
            life, (EnvoyExited(-11, at=at), [Wake(1.0)]), (Woke(), [Start()]), (EnvoyStarted(), [])
        )
    assert life.state is State.RUNNING


def test_the_backoff_has_an_end() -> None:
    life = running(restarts=10, restart_backoff=8.0)
    for wait in (8.0, 16.0, 30.0, 30.0):
        play(life, (EnvoyExited(1), [Wake(wait)]), (Woke(), [Start()]), (EnvoyStarted(), []))


def test_what_cannot_run_is_not_tried_again() -> None:
    play(machine(restarts=3), (EnvoyExited(127, hopeless=True), [Exit(ExitCode.FAILED)]))
    play(machine(), (EnvoyExited(127, hopeless=True), [OVER]))


def test_the_end_does_not_wait_for_a_restart() -> None:
    play(running(restarts=3), (EnvoyExited(1), [Wake(1.0)]), (TERM, [OVER]))


def test_a_death_while_draining_is_no_reason_to_restart() -> None:
    play(running(restarts=3), (TERM, [Drain(), Wake(5.0)]), (EnvoyExited(1), [OVER]))
    play(running(restarts=3), (DrainAsked(), [Drain(skip_exit=True)]), (EnvoyExited(1), [OVER]))


EVENTS = st.sampled_from(
    [
        *(EnvoyStarted(), TERM, Quit(), DrainAsked(), Woke(), Expired()),
        *(Counted(0), Counted(3), Counted(None), EnvoyExited(0), EnvoyExited(-9, at=5.0)),
    ]
)
OPTIONS = st.builds(
    LifecycleOptions,
    exit_on_zero_connections=st.booleans(),
    drain_delay=st.sampled_from([0.0, 2.0]),
    deadline=st.sampled_from([0.0, 10.0]),
    restarts=st.integers(0, 2),
)


@given(OPTIONS, st.lists(EVENTS, max_size=30), st.booleans())
def test_whatever_happens_it_ends_once_and_kills_at_most_once(
    options: LifecycleOptions, events: list[Event], with_envoy: bool
) -> None:
    life = Lifecycle(options, with_envoy=with_envoy)
    said = [command for event in events for command in life.on(event)]
    assert sum(isinstance(command, Exit) for command in said) == (life.state is State.DONE)
    assert sum(isinstance(command, Kill) for command in said) <= 1
    if life.state is State.DONE:
        assert isinstance(said[-1], Exit)
