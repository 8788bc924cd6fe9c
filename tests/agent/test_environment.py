# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.environment import Environment

Read = Callable[[Environment], object]


def test_what_is_absent_has_its_default_and_is_no_fault() -> None:
    env = Environment({})
    assert env.text("A") == ""
    assert env.flag("B", default=True) is True
    assert env.maybe("C") is None
    assert (env.integer("D", 3), env.port("E", 80), env.number("F", 0.5)) == (3, 80, 0.5)
    assert (env.duration("G", 5.0), env.span("H", 2.0), env.count("I", 1)) == (5.0, 2.0, 1)
    assert env.choice("J", "a", ("a", "b")) == "a"
    assert env.tolerated == []
    assert env.asked == {
        "A": "",
        "B": True,
        "D": 3,
        "E": 80,
        "F": 0.5,
        "G": 5.0,
        "H": 2.0,
        "I": 1,
        "J": "a",
    }


def test_empty_is_not_absent() -> None:
    env = Environment({"A": "", "B": ""})
    assert env.text("A", "default") == ""
    assert env.flag("B", default=True) is True
    assert [fault.name for fault in env.tolerated] == ["B"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("t", True), ("TRUE", True), ("0", False), ("False", False), ("f", False)],
)
def test_booleans_are_gos(text: str, value: bool) -> None:
    assert Environment({"A": text}).flag("A", default=not value) is value
    assert Environment({"A": text}).maybe("A") is value


@pytest.mark.parametrize(
    ("text", "read", "value"),
    [
        ("yes", lambda env: env.flag("A", default=False), False),
        ("1.5", lambda env: env.integer("A", 7), 7),
        ("70000", lambda env: env.port("A", 80), 80),
        ("-1", lambda env: env.port("A", 80), 80),
        ("a lot", lambda env: env.number("A", 0.5), 0.5),
        ("5", lambda env: env.duration("A", 3.0), 3.0),
        ("-5s", lambda env: env.span("A", 3.0), 3.0),
        ("-1", lambda env: env.count("A", 2), 2),
        ("c", lambda env: env.choice("A", "a", ("a", "b")), "a"),
    ],
)
def test_what_cannot_be_read_is_remembered_with_the_default(
    text: str, read: Read, value: object
) -> None:
    env = Environment({"A": text})
    assert read(env) == value
    (fault,) = env.tolerated
    assert (fault.name, fault.value) == ("A", text)
    assert fault.hint == f"the default is used: {value}"


@pytest.mark.parametrize(
    ("text", "read", "value"),
    [
        ("-3", lambda env: env.integer("A", 7), -3),
        ("1m30s", lambda env: env.duration("A", 0.0), 90.0),
        ("300ms", lambda env: env.span("A", 0.0), 0.3),
        ("4", lambda env: env.count("A", 0), 4),
        ("b", lambda env: env.choice("A", "a", ("a", "b")), "b"),
        ("0.75", lambda env: env.number("A", 0.0), 0.75),
    ],
)
def test_what_can_be_read(text: str, read: Read, value: object) -> None:
    env = Environment({"A": text})
    assert read(env) == value
    assert env.tolerated == []


@given(st.text(st.characters(exclude_characters="\0")))
def test_no_text_is_too_strange(text: str) -> None:
    env = Environment({"A": text})
    for read in (env.integer, env.port, env.count):
        assert isinstance(read("A", 1), int)
    assert env.span("A", 1.0) >= 0
    assert isinstance(env.flag("A", default=True), bool)
