# SPDX-License-Identifier: Apache-2.0
"""When the CA is asked, as dialogues with two clocks."""

from __future__ import annotations

from random import Random

import pytest

from sdsserver.schedule import ASKED, Instant, Life, Schedule

YEAR = 365 * 86400.0


class Clocks:
    """A schedule with a certificate of an hour, renewed after half of it, and the two clocks."""

    def __init__(self) -> None:
        self.schedule = Schedule(grace=0.5, jitter=0.0, rng=Random(1))
        self.wall, self.mono = 1_000_000.0, 50.0
        self.schedule.jumped(self.at)
        self.schedule.issued(self.at)
        self.schedule.adopted(self.life(3600))

    @property
    def at(self) -> Instant:
        return Instant(self.wall, self.mono)

    def life(self, seconds: float, *, ahead: float = 0.0) -> Life:
        """Of a certificate that is issued now, by a CA whose clock is ahead of ours."""
        begins = self.wall + ahead
        return self.schedule.life(self.at, born=self.wall, begins=begins, dies=begins + seconds)

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds

    def due(self, *, asked: bool = False) -> bool:
        return self.schedule.is_due(self.at, asked=asked)


def test_at_first_the_ca_is_asked_at_once() -> None:
    schedule = Schedule(grace=0.5, jitter=0.0, rng=Random(1))
    assert schedule.is_due(Instant(0.0, 0.0), asked=False)
    assert schedule.rest(Instant(0.0, 0.0), asked=False) == 0.0


def test_half_of_the_life_is_waited_in_steps_of_five_seconds() -> None:
    clocks = Clocks()
    clocks.wait(1790)
    assert not clocks.due()
    assert clocks.schedule.rest(clocks.at, asked=False) == 5.0
    clocks.wait(8)
    assert clocks.schedule.rest(clocks.at, asked=False) == 2.0
    clocks.wait(2)
    assert clocks.due()


def test_failures_are_fewer_and_fewer_but_fit_what_is_left_of_the_life() -> None:
    clocks = Clocks()
    clocks.wait(1800)
    delays = [clocks.schedule.failed(clocks.at, dies=clocks.wall + 1800) for _ in range(20)]
    assert delays[0] < 1.0
    assert 20 < delays[-1] <= 90
    assert clocks.schedule.failed(clocks.at, dies=clocks.wall + 8) == 2.0
    assert clocks.schedule.failed(clocks.at, dies=clocks.wall + 1) == 1.0
    assert clocks.schedule.failed(clocks.at, dies=None) > 20


def test_who_asks_is_answered_sooner_than_the_backoff_but_not_at_once() -> None:
    clocks = Clocks()
    for _ in range(20):
        clocks.schedule.failed(clocks.at, dies=None)
    assert not clocks.due(asked=True)
    assert clocks.schedule.rest(clocks.at, asked=True) == ASKED
    clocks.wait(ASKED)
    assert clocks.due(asked=True)
    assert not clocks.due()


def test_a_success_ends_the_backoff() -> None:
    clocks = Clocks()
    for _ in range(20):
        clocks.schedule.failed(clocks.at, dies=None)
    clocks.schedule.issued(clocks.at)
    assert clocks.due(asked=True)
    assert clocks.schedule.failed(clocks.at, dies=None) < 1.0


@pytest.mark.parametrize("jump", [YEAR, -YEAR, 60.0, -60.0])
def test_a_jump_is_noticed_once_and_nothing_is_put_off_after_it(jump: float) -> None:
    clocks = Clocks()
    for _ in range(20):
        clocks.schedule.failed(clocks.at, dies=None)
    clocks.wall += jump
    clocks.wait(5)
    assert clocks.schedule.jumped(clocks.at) == pytest.approx(jump)
    assert clocks.schedule.jumped(clocks.at) == 0.0
    assert clocks.due(asked=True)


def test_small_steps_of_the_clock_are_no_jump() -> None:
    clocks = Clocks()
    clocks.wall += 3.0
    assert clocks.schedule.jumped(clocks.at) == 0.0


def test_a_clock_before_the_birth_of_the_certificate_makes_it_due() -> None:
    clocks = Clocks()
    clocks.wait(2)
    assert not clocks.due()
    clocks.wall -= 60
    assert clocks.due()


def test_a_certificate_put_aside_is_due_when_it_begins() -> None:
    clocks = Clocks()
    clocks.schedule.put_off(clocks.at, clocks.wall + 600)
    clocks.wait(599)
    assert not clocks.due()
    clocks.wait(1)
    assert clocks.due()


@pytest.mark.parametrize("back", [60.0, 1200.0])
def test_a_clock_that_was_set_back_puts_nothing_off(back: float) -> None:
    clocks = Clocks()
    clocks.wait(1500)
    clocks.wall -= back
    clocks.wait(299)
    assert not clocks.due()
    assert clocks.schedule.rest(clocks.at, asked=False) == 1.0
    clocks.wait(1)
    assert clocks.due()


@pytest.mark.parametrize("ahead", [600.0, 3 * 3600.0, YEAR])
def test_a_clock_that_is_behind_puts_nothing_off(ahead: float) -> None:
    clocks = Clocks()
    clocks.schedule.adopted(clocks.life(3600, ahead=ahead))
    assert clocks.schedule.due == clocks.wall + 1800
    clocks.wait(1799)
    assert not clocks.due()
    clocks.wait(1)
    assert clocks.due()


def test_what_is_served_lasts_as_long_as_it_truly_lives() -> None:
    clocks = Clocks()
    clocks.wait(1500)
    clocks.wall -= 1200  # 2100 s of life are left
    assert clocks.schedule.lasts(clocks.at, clocks.wall + 2099)
    assert not clocks.schedule.lasts(clocks.at, clocks.wall + 2100)


def test_a_clock_set_back_is_known_once_the_next_certificate_waits() -> None:
    clocks = Clocks()
    clocks.wait(2)
    clocks.wall -= 60
    assert clocks.due()
    clocks.schedule.put_off(clocks.at, clocks.wall + 30)
    clocks.wait(29)
    assert not clocks.due()
    clocks.wait(1)
    assert clocks.due()


def test_failures_fit_the_true_life_where_the_clock_is_behind() -> None:
    clocks = Clocks()
    for _ in range(20):
        clocks.schedule.failed(clocks.at, dies=None)
    clocks.schedule.adopted(clocks.life(3600, ahead=YEAR))
    dies = clocks.wall + YEAR + 3600
    clocks.wait(3592)
    assert clocks.schedule.failed(clocks.at, dies=dies) == 2.0
    clocks.wait(60)  # over, whatever our clock says: nothing is won by haste
    assert clocks.schedule.failed(clocks.at, dies=dies) > 20
