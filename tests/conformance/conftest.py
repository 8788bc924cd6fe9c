# SPDX-License-Identifier: Apache-2.0
"""Counts the conformance cases and prints them per suite, with what is argued and what is not served yet."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from tests.conformance.runner import SERVED_TOPICS, Case, all_topics, argued
from tests.support.needs import conformance_dir


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _case_of(item) is not None:
            item.add_marker(pytest.mark.conformance)


def _case_of(item: pytest.Item) -> Case | None:
    callspec = getattr(item, "callspec", None)
    case = callspec.params.get("case") if callspec else None
    return case if isinstance(case, Case) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    case = _case_of(item)
    if case is None or report.when != "call":
        return report
    difference = argued(case)
    if difference is not None:
        if report.failed:
            report.outcome = "passed"
            report.longrepr = None
        else:
            report.outcome = "failed"
            report.longrepr = (
                f"differs on purpose (ADR {difference.adr}) but now agrees: "
                "remove the row from differences.toml"
            )
    report.user_properties.append(("conformance", (case.topic, difference is not None)))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for key, value in getattr(report, "user_properties", []):
                if key == "conformance":
                    topic, is_argued = value
                    kind = "argued" if is_argued and outcome == "passed" else outcome
                    counts[topic.split("/")[0]][kind] += 1
    if not counts or not conformance_dir().is_dir():
        return
    terminalreporter.section("conformance")
    for suite, count in sorted(counts.items()):
        extra = f", {count['argued']} differ as argued" if count["argued"] else ""
        terminalreporter.line(f"{suite}: {count['passed']} passed, {count['failed']} failed{extra}")
    _print_unserved(terminalreporter)


def _print_unserved(terminalreporter: Any) -> None:
    """Under xdist the controller collects nothing: it asks the test modules themselves."""
    if not SERVED_TOPICS:
        _import_test_modules()
    partly = {topic: names for topic, names in SERVED_TOPICS.items() if names}
    for topic, names in sorted(partly.items()):
        terminalreporter.line(f"not served yet in {topic}: {len(names)} cases")
    served = set(SERVED_TOPICS)
    rest = [t for t in all_topics() if t not in served and t.split("/")[0] not in served]
    if rest:
        terminalreporter.line(f"not served yet: {' '.join(rest)}")


def _import_test_modules() -> None:
    import importlib
    from pathlib import Path

    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"tests.conformance.{path.stem}")
