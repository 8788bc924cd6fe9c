# SPDX-License-Identifier: Apache-2.0
"""Runs all that the machine can, names each skipped group; under REQUIRE_ALL=1 any skip fails."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support.needs import NEEDS, Need

hypothesis.settings.register_profile("house", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("house")

REQUIRE_ALL = os.environ.get("REQUIRE_ALL") == "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--accept", action="store_true", help="write what was produced as the new golden files"
    )


@pytest.fixture
def accept(request: pytest.FixtureRequest) -> bool:
    """Whether goldens are to be rewritten."""
    return bool(request.config.getoption("--accept"))


def pytest_configure(config: pytest.Config) -> None:
    for need in NEEDS:
        config.addinivalue_line("markers", f"{need.marker}: needs {need.wants}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    unmet = [need for need in NEEDS if not need.met()]
    for item in items:
        for need in unmet:
            if item.get_closest_marker(need.marker):
                item.add_marker(pytest.mark.skip(reason=_reason(need)))


def _reason(need: Need) -> str:
    return f"group {need.marker}: wants {need.wants}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_ALL=1 and this was skipped: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    groups = {reason: n for reason, n in reasons.items() if reason.startswith("group ")}
    if groups:
        terminalreporter.section("skipped groups")
        for reason, n in sorted(groups.items()):
            terminalreporter.line(f"{reason}: {n} tests")


@pytest.fixture
def short_tmp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for unix sockets (108 bytes)."""
    path = tmp_path_factory.mktemp("s", numbered=True)
    assert len(str(path)) < 80, f"temporary directory too deep for unix sockets: {path}"
    return path
