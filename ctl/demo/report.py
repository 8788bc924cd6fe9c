# SPDX-License-Identifier: Apache-2.0
"""What the demo tells: a line as each check ends, a table at the close. Pure: facts in, text out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Check:
    """One promise and whether it held."""

    step: str
    promise: str
    held: bool
    seconds: float
    detail: str

    def line(self) -> str:
        mark = "ok  " if self.held else "FAIL"
        return f"  {mark} {self.promise} ({self.seconds:.1f} s){f': {self.detail}' if self.detail else ''}"


@dataclass(slots=True)
class Report:
    """All checks of a run."""

    checks: list[Check] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return bool(self.checks) and all(check.held for check in self.checks)

    def table(self) -> str:
        """One row a check, aligned."""
        width = max((len(check.promise) for check in self.checks), default=0)
        rows = [
            f"  {check.step:4} {check.promise:{width}}  {'held' if check.held else 'BROKEN':6} {check.seconds:6.1f} s"
            for check in self.checks
        ]
        kept = sum(check.held for check in self.checks)
        return "\n".join([*rows, f"  {kept} of {len(self.checks)} checks held"])


def budget_line(what: str, measured_mib: float, must_mib: float, stretch_mib: float) -> str:
    """A memory figure beside its budget; a statement, never a verdict."""
    verdict = (
        "stretch met"
        if measured_mib <= stretch_mib
        else "met"
        if measured_mib <= must_mib
        else "missed"
    )
    return f"  {what}: {measured_mib:.1f} MiB (budget {must_mib:.0f}, stretch {stretch_mib:.0f}: {verdict})"
