# SPDX-License-Identifier: Apache-2.0
"""Flags as the peer's library reads them. Source: spec/agent.md 1.1."""

from __future__ import annotations

import pytest

from agent.flags import Kind, parse
from mesh.errors import BadSetting

KNOWN = {"text": Kind.TEXT, "list": Kind.LIST, "number": Kind.NUMBER, "switch": Kind.SWITCH}


def test_values_after_a_space_or_an_equals_sign() -> None:
    parsed = parse(["--text", "a", "first", "--number=0x10", "--list=x", "--list", "y"], KNOWN)
    assert (parsed.text("text"), parsed.number("number", 0)) == ("a", 16)
    assert parsed.lists == {"list": ["x", "y"]}
    assert parsed.arguments == ["first"]


def test_a_switch_takes_its_value_only_after_an_equals_sign() -> None:
    parsed = parse(["--switch", "false"], KNOWN)
    assert parsed.switch("switch", default=False) is True
    assert parsed.arguments == ["false"]
    assert parse(["--switch=false"], KNOWN).switch("switch", default=True) is False


def test_what_is_absent_has_its_default() -> None:
    parsed = parse([], KNOWN)
    assert (parsed.text("text", "a"), parsed.number("number", 3)) == ("a", 3)
    assert parsed.switch("switch", default=True) is True


def test_two_dashes_end_the_flags() -> None:
    assert parse(["--", "--text", "a"], KNOWN).arguments == ["--text", "a"]


def test_unknown_flags_are_faults_or_take_the_next_word_along() -> None:
    with pytest.raises(BadSetting, match="strange"):
        parse(["--strange", "x"], KNOWN)
    parsed = parse(["--strange", "x", "--odd", "--text", "a", "b"], KNOWN, tolerant=True)
    assert parsed.arguments == ["b"]
    assert parsed.text("text") == "a"
    assert any("strange" in each for each in parsed.unknown)


@pytest.mark.parametrize("words", [["--number", "many"], ["--switch=maybe"], ["--text"]])
def test_bad_and_missing_values(words: list[str]) -> None:
    with pytest.raises(BadSetting):
        parse(words, KNOWN)
