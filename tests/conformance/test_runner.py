# SPDX-License-Identifier: Apache-2.0
"""The runner itself: finds each form of topic, and knows what it was told not to serve."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance import runner


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONFORMANCE_DIR", str(tmp_path))
    return tmp_path


def test_a_file_with_cases(elsewhere: Path) -> None:
    (elsewhere / "suite").mkdir()
    document = {"how": "so", "cases": [{"name": "one", "features": ["f"]}, {"name": "two"}]}
    (elsewhere / "suite" / "topic.json").write_text(json.dumps(document))
    found = runner.load("suite/topic")
    assert [(case.name, case.features) for case in found] == [
        ("one", frozenset({"f"})),
        ("two", frozenset()),
    ]
    assert found[0].shared == {"how": "so"}
    assert runner.all_topics() == ["suite/topic"]


def test_a_folder_of_files_and_a_folder_of_folders(elsewhere: Path) -> None:
    (elsewhere / "a" / "cases").mkdir(parents=True)
    (elsewhere / "a" / "cases" / "x.json").write_text('{"name": "x"}')
    (elsewhere / "b" / "scenario").mkdir(parents=True)
    (elsewhere / "b" / "scenario" / "case.json").write_text('{"feature": "g"}')
    assert [case.name for case in runner.load("a/cases")] == ["x"]
    (found,) = runner.load("b")
    assert (found.name, found.features, found.folder.name) == (
        "scenario",
        frozenset({"g"}),
        "scenario",
    )
    assert runner.all_topics() == ["a/cases", "b"]


def test_an_absent_topic_has_no_cases(elsewhere: Path) -> None:
    assert runner.load("nothing/here") == []
