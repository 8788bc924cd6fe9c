# SPDX-License-Identifier: Apache-2.0
"""From a file's text to objects and faults."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstream.config import Key, Kind, parse_documents

GOOD = """\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: {name}
  labels: {{app: a}}
  annotations: {{note: x}}
  creationTimestamp: "2024-05-01T00:00:00Z"
  uid: "1"
spec: {{address: 10.0.0.1}}
"""


def said(text: str) -> list[str]:
    return [str(fault) for fault in parse_documents(text, "f.yaml")[1]]


def test_documents_of_a_file() -> None:
    objects, faults = parse_documents(
        GOOD.format(name="a") + "---\n---\n" + GOOD.format(name="b"), "f"
    )
    assert faults == ()
    assert [one.key for one in objects] == [
        Key(Kind.WORKLOAD_ENTRY, "default", name) for name in ("a", "b")
    ]
    first = objects[0]
    assert (first.labels, first.annotations) == ({"app": "a"}, {"note": "x"})
    assert (first.created, first.source, first.line) == ("2024-05-01T00:00:00Z", "f", 1)
    assert first.spec.address == "10.0.0.1"


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_versions_of_the_api_do_not_matter(version: str) -> None:
    text = GOOD.format(name="a").replace("io/v1", f"io/{version}")
    assert len(parse_documents(text, "f")[0]) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "f.yaml:2: document: "),
        ("- a", "f.yaml:1: document kind: missing"),
        ("{apiVersion: networking.istio.io/v1, kind: Sidecar}", "metadata missing"),
        (
            "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {namespace: a}}",
            "metadata.name: missing",
        ),
        (
            "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: [a]}}",
            "metadata.name: must be a string",
        ),
        (
            GOOD.format(name="a").replace("10.0.0.1", "'a b'"),
            "f.yaml:9: WorkloadEntry/default/a spec.address: 'a b' is not a host name",
        ),
    ],
)
def test_refused(text: str, says: str) -> None:
    objects, faults = parse_documents(text, "f.yaml")
    assert objects == ()
    assert any(says in str(fault) and fault.fatal for fault in faults), faults


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}}", "kind: is not an Istio kind"),
        (
            "{apiVersion: networking.istio.io/v1, kind: EnvoyFilter, metadata: {name: a}}",
            "kind: is not acted on yet",
        ),
    ],
)
def test_other_kinds_are_left_out(text: str, says: str) -> None:
    objects, faults = parse_documents(text + "\n---\n" + GOOD.format(name="a"), "f.yaml")
    assert len(objects) == 1
    assert says in str(faults[0])
    assert not faults[0].fatal


def test_a_bad_document_does_not_take_the_others_with_it() -> None:
    bad = GOOD.format(name="b").replace("10.0.0.1", "[]")
    objects, faults = parse_documents(f"{GOOD.format(name='a')}---\n{bad}", "f")
    assert [one.name for one in objects] == ["a"]
    assert [fault.line for fault in faults] == [19]


def test_the_same_object_twice_in_a_file() -> None:
    (fault,) = said(GOOD.format(name="a") + "---\n" + GOOD.format(name="a"))
    assert "f.yaml:11: WorkloadEntry/default/a metadata.name: is also defined at line 1" in fault


@given(st.text() | st.sampled_from(["!!python/object:os.x {}", "&a [*a]", "\x00", "a: &x [*x]"]))
def test_whatever_it_is_nothing_is_raised(text: str) -> None:
    objects, _ = parse_documents(text, "f")
    assert objects == ()
