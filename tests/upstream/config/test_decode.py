# SPDX-License-Identifier: Apache-2.0
"""From YAML nodes to dataclasses, and what is said of values of another type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar

import pytest
import yaml

from upstream.config.decode import Decoder
from upstream.config.objects import Severity


class Color(StrEnum):
    RED = "RED"
    BLUE = "BLUE"


@dataclass(frozen=True, kw_only=True)
class Inner:
    number: int = 7


@dataclass(frozen=True, kw_only=True)
class Outer:
    UNSERVED: ClassVar[frozenset[str]] = frozenset({"later"})

    name: str = ""
    on_off: bool | None = None
    share: float = 0.0
    wait_for: timedelta | None = None
    color: Color = Color.RED
    items: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    from_: str = ""
    odd: str = field(default="", metadata={"yaml": "oddName"})


def node(text: str) -> yaml.Node:
    found = yaml.compose(text)
    assert found is not None
    return found


def read(text: str) -> tuple[Any, list[tuple[int, str, str]]]:
    """The value and what is wrong: line, field, reason."""
    decoder = Decoder("x.yaml", "Thing/x")
    found = decoder.record(Outer, node(text), "spec")
    return found, [(one.line, one.field, one.reason) for one in decoder.faults]


def test_every_type() -> None:
    found, wrong = read(
        "{name: a, onOff: true, share: 1.5, waitFor: 1m2s, color: BLUE, items: [{number: 1}, {}],"
        " byName: {a: {number: 2}}, from: b, oddName: c}"
    )
    assert wrong == []
    assert found == Outer(
        name="a",
        on_off=True,
        share=1.5,
        wait_for=timedelta(seconds=62),
        color=Color.BLUE,
        items=(Inner(number=1), Inner()),
        by_name={"a": Inner(number=2)},
        from_="b",
        odd="c",
    )


def test_protobufs_own_spelling() -> None:
    assert read("{on_off: false, wait_for: 1s}")[0] == Outer(
        on_off=False, wait_for=timedelta(seconds=1)
    )


def test_null_is_the_default_and_large_numbers_may_be_quoted() -> None:
    assert read("{name: null, items: [{number: '5'}]}")[0] == Outer(items=(Inner(number=5),))


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("{name: 1.10}", "spec.name", "is not a string"),
        ("{name: [a]}", "spec.name", "must be a string"),
        ("{onOff: 1}", "spec.onOff", "is not true or false"),
        ("{share: much}", "spec.share", "is not a number"),
        ("{waitFor: 5}", "spec.waitFor", "5"),
        ("{color: GREEN}", "spec.color", "is not known"),
        ("{items: {}}", "spec.items", "must be a list"),
        ("{items: [{number: x}]}", "spec.items[0].number", "is not a whole number"),
        ("{byName: []}", "spec.byName", "must be a mapping"),
        ("{byName: {a: 1}}", "spec.byName[a]", "must be a mapping"),
        ("[]", "spec", "must be a mapping"),
    ],
)
def test_wrong_type(text: str, where: str, says: str) -> None:
    ((line, path, reason),) = read(text)[1]
    assert (line, path) == (1, where)
    assert says in reason


def test_all_faults_with_their_lines() -> None:
    found, wrong = read("name: ok\nonOff: maybe\nshare: 1\ncolor: NONE\n")
    assert [(line, path) for line, path, _ in wrong] == [(2, "spec.onOff"), (4, "spec.color")]
    assert (found.name, found.share) == ("ok", 1.0)


@pytest.mark.parametrize(
    ("key", "reason", "hint"),
    [
        ("later", "is not acted on yet", ""),
        ("colour", "unknown field, it has no effect", "did you mean 'color'?"),
        ("zzzzz", "unknown field, it has no effect", "one of byName"),
    ],
)
def test_fields_without_effect_are_warned_about(key: str, reason: str, hint: str) -> None:
    decoder = Decoder("x.yaml", "Thing/x")
    assert decoder.record(Outer, node(f"{{name: a, {key}: 1}}"), "") == Outer(name="a")
    (fault,) = decoder.faults
    assert (fault.severity, fault.reason) == (Severity.WARNING, reason)
    assert fault.hint.startswith(hint)
