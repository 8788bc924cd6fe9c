# SPDX-License-Identifier: Apache-2.0
"""Objects that istiod's validators took or refused: ours agree, for every kind that is acted on."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.conformance.runner import SERVED_TOPICS, Case
from tests.support.needs import conformance_dir
from upstream.config import Kind, parse_documents
from upstream.config.parse import SPECS

SECURITY = frozenset({Kind.PEER_AUTHENTICATION, Kind.AUTHORIZATION_POLICY})
UNSPEAKABLE = ("must not be empty, found at rule", "if defined, must have at least one element")
"""Faults of lists that are there and empty: the recording is without them, so that the object is another."""


def file_cases() -> list[Case]:
    folder = conformance_dir() / "validation"
    return [
        Case("validation", f"{path.stem}-{number}", data, {"kind": kind_of(path.stem)}, folder)
        for path in sorted(folder.glob("*.yaml"))
        for number, data in enumerate(yaml.safe_load(path.read_text()))
    ]


def kind_of(stem: str) -> str:
    """``crd-sidecar`` and ``semantic-sidecar`` are about Sidecar."""
    word = stem.partition("-")[2]
    return next((kind for kind in Kind if kind.lower() == word), "")


def serves(case: Case) -> bool:
    said = str(case.data.get("recorded_error", ""))
    if not case.shared["kind"] or any(text in said for text in UNSPEAKABLE):
        return False
    return texts_are_texts(case)


def texts_are_texts(case: Case) -> bool:
    """In one recording a YAML reader made a mapping of an address."""
    found = object_of(case).get("spec", {}).get("addresses", [])
    return all(isinstance(address, str) for address in found)


def object_of(case: Case) -> dict[str, Any]:
    """The whole object; semantic cases have its metadata and specification only."""
    if "object" in case.data:
        whole: dict[str, Any] = case.data["object"]
        return whole
    kind = Kind(case.shared["kind"])
    group = "security" if kind in SECURITY else "networking"
    return {
        "apiVersion": f"{group}.istio.io/v1",
        "kind": str(kind),
        "metadata": {"name": "name", **(case.data.get("metadata") or {})},
        "spec": case.data.get("spec") or {},
    }


CASES = file_cases()
SERVED = [case for case in CASES if serves(case)]
SERVED_TOPICS["validation"] = [case.name for case in CASES if not serves(case)]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in SERVED])
def test_validation(case: Case) -> None:
    objects, faults = parse_documents(yaml.safe_dump(object_of(case), sort_keys=False), "x.yaml")
    taken = bool(objects) and not any(fault.fatal for fault in faults)
    assert taken == case.data["valid"], [str(fault) for fault in faults]


def test_every_kind_has_its_check() -> None:
    assert set(SPECS) == set(Kind)
