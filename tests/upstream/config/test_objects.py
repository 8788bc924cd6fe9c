# SPDX-License-Identifier: Apache-2.0
"""What makes an object the same, in which order objects count, and how a fault reads."""

from __future__ import annotations

from upstream.config import Fault, Key, Kind, Object, Severity


def thing(name: str, namespace: str = "a", created: str = "", line: int = 0) -> Object[str]:
    return Object(
        kind=Kind.SIDECAR, name=name, namespace=namespace, spec="s", created=created, line=line
    )


def test_a_key_says_where_the_object_is() -> None:
    assert thing("x").key == Key(Kind.SIDECAR, "a", "x")
    assert str(thing("x").key) == "Sidecar/a/x"


def test_where_it_stands_in_a_file_does_not_matter() -> None:
    assert thing("x", line=1) == thing("x", line=9)
    assert thing("x") != thing("x", created="2024-01-01T00:00:00Z")


def test_oldest_first_then_name_then_namespace() -> None:
    old = thing("z", created="2020-01-01T00:00:00Z")
    young = thing("a", created="2024-01-01T00:00:00Z")
    mixed = [young, thing("b", "b"), thing("b", "a"), old, thing("a", "z")]
    ordered = sorted(mixed, key=lambda one: one.order)
    assert [(one.name, one.namespace) for one in ordered] == [
        ("a", "z"),
        ("b", "a"),
        ("b", "b"),
        ("z", "a"),
        ("a", "a"),
    ]


def test_a_fault_reads_like_a_compilers() -> None:
    fault = Fault(
        source="f.yaml",
        line=3,
        object="Sidecar/a/x",
        field="spec.egress",
        reason="bad",
        hint="mend",
    )
    assert str(fault) == "f.yaml:3: Sidecar/a/x spec.egress: bad (mend)"
    assert fault.fatal
    warning = Fault(source="f", line=1, object="o", field="", reason="r", severity=Severity.WARNING)
    assert (str(warning), warning.fatal) == ("f:1: o: r", False)
