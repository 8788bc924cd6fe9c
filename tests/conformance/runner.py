# SPDX-License-Identifier: Apache-2.0
"""Runs the peers' own cases: finds them by topic, hands each to a test, counts per suite.

A topic is a path below the conformance directory: a file with a ``cases`` list
(``sds/rotation_delay``), a folder of JSON files that are a case each (``iptables/cases``), or a
folder of folders that are a case each (``xds``: ``case.data`` is its case.json or case.yaml).

    @cases("sds/rotation_delay")
    def test_rotation_delay(case: Case) -> None:
        assert ... == case.data["expect"]

``serves`` says by a case's features whether the product serves it yet; what it does not serve is
counted as such and never silently left out. No code here or in a test names a case.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.needs import conformance_dir

SERVED_TOPICS: dict[str, list[str]] = {}
"""Topic to the names of its cases that are not served yet; filled as test modules are collected."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its data as the file has it, what its file shares among cases, its folder."""

    topic: str
    name: str
    data: dict[str, Any]
    shared: dict[str, Any]
    folder: Path

    @property
    def suite(self) -> str:
        return self.topic.split("/")[0]

    @property
    def features(self) -> frozenset[str]:
        one = self.data.get("feature")
        return frozenset([*self.data.get("features", []), *([one] if one else [])])


@dataclass(frozen=True, slots=True)
class Difference:
    """Where we differ on purpose: cases of this feature must disagree, for the reason in the ADR."""

    suite: str
    feature: str
    adr: str


def differences() -> list[Difference]:
    text = (Path(__file__).parent / "differences.toml").read_text()
    rows = tomllib.loads(text).get("difference", [])
    return [Difference(row["suite"], row["feature"], row["adr"]) for row in rows]


def argued(case: Case) -> Difference | None:
    """The difference that covers this case, if any."""
    mine = [row for row in differences() if row.suite == case.suite]
    return next((row for row in mine if row.feature in case.features), None)


def load(topic: str) -> list[Case]:
    """All cases of a topic; none where the directory does not hold it."""
    base = conformance_dir() / topic
    if base.with_suffix(".json").is_file():
        return list(_from_list(topic, base.with_suffix(".json")))
    if base.is_dir():
        return list(_from_folder(topic, base))
    return []


def _from_list(topic: str, path: Path) -> Iterator[Case]:
    document = json.loads(path.read_text())
    shared = {key: value for key, value in document.items() if key != "cases"}
    for data in document["cases"]:
        yield Case(topic, data["name"], data, shared, path.parent)


def _from_folder(topic: str, base: Path) -> Iterator[Case]:
    for entry in sorted(base.iterdir()):
        if entry.suffix == ".json" and entry.name != "cases.json":
            data = json.loads(entry.read_text())
            if isinstance(data, dict):
                yield Case(topic, data.get("name", entry.stem), data, {}, base)
        elif entry.is_dir():
            yield Case(topic, entry.name, _folder_data(entry), {}, entry)


def _folder_data(folder: Path) -> dict[str, Any]:
    if (folder / "case.json").is_file():
        return dict(json.loads((folder / "case.json").read_text()))
    if (folder / "case.yaml").is_file():
        return dict(yaml.safe_load((folder / "case.yaml").read_text()) or {})
    return {}


def cases(
    topic: str, *, serves: Callable[[Case], bool] = lambda case: True
) -> pytest.MarkDecorator:
    """Parametrise a test over the served cases of ``topic``; the argument is named ``case``."""
    everything = load(topic)
    served = [case for case in everything if serves(case)]
    SERVED_TOPICS[topic] = [case.name for case in everything if not serves(case)]
    if not served:
        reason = f"group conformance: no served case of {topic} in {conformance_dir().name}"
        if conformance_dir().is_dir():
            return pytest.mark.parametrize("case", [])
        nothing = pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")
        return pytest.mark.parametrize("case", [nothing])
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in served])


def all_topics() -> list[str]:
    """Every topic that the directory holds: a JSON file with cases, or a folder of cases."""
    root = conformance_dir()
    return sorted(
        {topic for suite in root.iterdir() if suite.is_dir() for topic in _topics_of(suite)}
    )


def _topics_of(suite: Path) -> Iterator[str]:
    files = [path for path in suite.glob("*.json") if path.name != "cases.json"]
    folders = [path for path in suite.iterdir() if path.is_dir()]
    if (suite / "cases.json").is_file() or (folders and not files and not _grouped(folders)):
        yield suite.name
        return
    yield from (f"{suite.name}/{path.stem}" for path in [*files, *folders])


def _grouped(folders: list[Path]) -> bool:
    return any((folder / "cases.json").is_file() or _holds_cases(folder) for folder in folders)


def _holds_cases(folder: Path) -> bool:
    entries = list(folder.iterdir())
    case_folders = [entry for entry in entries if entry.is_dir()]
    return bool(case_folders) or not (
        (folder / "case.json").is_file() or (folder / "case.yaml").is_file()
    )
