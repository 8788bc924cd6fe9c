# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ctl.demo.report import Check, Report, budget_line


def test_one_broken_check_breaks_the_report() -> None:
    report = Report(
        [Check("a", "ready", True, 1.0, ""), Check("b", "secured", False, 2.0, "reset")]
    )
    assert not report.held
    assert "BROKEN" in report.table()
    assert "1 of 2 checks held" in report.table()
    assert report.checks[1].line() == "  FAIL secured (2.0 s): reset"


def test_nothing_checked_is_not_held() -> None:
    assert not Report().held


def test_budgets_are_stated_not_judged() -> None:
    assert budget_line("agent", 30, 40, 34).endswith("stretch met)")
    assert budget_line("agent", 36, 40, 34).endswith(": met)")
    assert budget_line("agent", 50, 40, 34).endswith("missed)")
