# SPDX-License-Identifier: Apache-2.0
"""The parity page is true: current, each row's place and test name it, and nothing that we read is missing."""

from __future__ import annotations

import argparse

import pytest

from agent import cli
from agent.settings import World, load
from iptables.flags import FLAGS
from tools import parity
from tools.parity import Thing
from upstream.settings import parser

ALL = list(parity.things())
NAMES = {thing.name for thing in ALL}


def test_the_page_is_current() -> None:
    assert parity.PAGE.read_text() == parity.page(), "run make parity"


@pytest.mark.parametrize("thing", ALL, ids=lambda thing: f"{thing.kind}: {thing.name}")
def test_a_row_is_true(thing: Thing) -> None:
    assert parity.faults(thing) == []


def test_no_row_twice() -> None:
    keys = [(thing.kind, thing.name) for thing in ALL]
    assert sorted(set(keys)) == sorted(keys)


def test_a_default_is_somebodys() -> None:
    assert {thing.default for thing in ALL} <= {"peer", "ours"}


def test_every_variable_that_the_agent_reads() -> None:
    effective = load(World(env={}, addresses=(("eth0", "10.0.0.5"),))).effective
    read = {row.name for row in effective if not row.name.startswith("proxyConfig.")}
    assert read - NAMES == set()


def test_every_flag_of_pilot_agent() -> None:
    flags = {*cli.LOGGING, *cli.PROXY, *cli.REQUEST, *cli.WAIT, *cli.VERSION}
    assert {flag for flag in flags if len(flag) > 1} - NAMES == set()
    assert set(cli.COMMANDS) - NAMES == set()


def test_every_flag_of_istio_iptables() -> None:
    assert {flag.name for flag in FLAGS} - NAMES == set()


def test_every_flag_of_the_control_plane() -> None:
    (commands,) = (
        action.choices
        for action in parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    flags = {
        option.removeprefix("--")
        for command in commands.values()
        for action in command._actions
        for option in action.option_strings
        if option.startswith("--")
    }
    assert flags - NAMES == set()


def test_a_row_that_is_not_true_is_found() -> None:
    place, test = "mesh/durations.py", "tests/mesh/test_durations.py"
    assert parity.faults(Thing("x", "parse", place, test)) == []
    assert len(parity.faults(Thing("x", "no such word here", place, test))) == 2
    assert parity.faults(Thing("x", "parse", place, "tests/none.py")) != []
    assert parity.faults(Thing("x", "parse")) != []
