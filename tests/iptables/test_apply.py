# SPDX-License-Identifier: Apache-2.0
"""Dialogues with a kernel that is a table of answers; the real one's turn is in tests/netns."""

from __future__ import annotations

import pytest

from iptables import apply, routes
from iptables.backend import Result
from iptables.config import CaptureConfig, RunOptions
from iptables.observed import UNFINISHED
from iptables.plan import plan
from iptables.render import restore
from mesh.errors import CaptureFailed

CONFIG = CaptureConfig(inbound_ports=("*",))
DUAL = CONFIG._replace(ipv6=True)


class Kernel:
    """Both families' tools; remembers what was asked, fails where told."""

    dry = False

    def __init__(self, *, saved: str = "", fails: str = "", checks: bool = True) -> None:
        self.saved = saved
        self.fails = fails
        self.checks = checks
        self.ran: list[str] = []
        self.inputs: list[str] = []

    def run(self, program: str, *args: str, stdin: str | None = None) -> Result:
        line = " ".join((program, *args))
        if program.endswith("-save"):
            return Result(output=self.saved if program.startswith("iptables") else "")
        if "--version" in line:
            return Result(output="iptables v1.8.9 (nf_tables)")
        if "-p 255" in line:
            return Result()
        self.ran.append(line)
        if stdin is not None:
            self.inputs.append(stdin)
        if self.fails and self.fails in line:
            return Result(4, errors="iptables: no")
        return Result(0 if self.checks or "-C" not in args else 1)


@pytest.fixture(autouse=True)
def no_routes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(routes, "add", lambda config: calls.append("add"))
    monkeypatch.setattr(routes, "remove", lambda config: calls.append("remove"))
    return calls


def test_one_family_is_one_process_that_sets_and_clears_the_mark() -> None:
    kernel = Kernel()
    apply.Capture(kernel, CONFIG, RunOptions()).program()
    assert kernel.ran == ["iptables-nft-restore --noflush"]
    [text] = kernel.inputs
    assert text.startswith(f"* filter\n-N {UNFINISHED}\nCOMMIT\n")
    assert text.endswith(f"* filter\n-X {UNFINISHED}\nCOMMIT\n")


def test_two_families_clear_the_mark_at_the_end(no_routes: list[str]) -> None:
    kernel = Kernel()
    apply.Capture(kernel, DUAL, RunOptions()).program()
    assert kernel.ran == [
        "iptables-nft-restore --noflush",
        "ip6tables-nft-restore --noflush",
        f"iptables-nft -t filter -X {UNFINISHED}",
    ]
    assert no_routes == ["add"]


def test_nothing_to_do() -> None:
    kernel = Kernel(saved=restore(plan(CONFIG).v4))
    apply.Capture(kernel, CONFIG, RunOptions()).program()
    assert not kernel.inputs
    assert len(kernel.ran) == len(plan(CONFIG).v4)
    assert all(" -C " in line for line in kernel.ran)


def test_a_failing_family_takes_the_other_along(no_routes: list[str]) -> None:
    kernel = Kernel(fails="ip6tables-nft-restore")
    with pytest.raises(CaptureFailed, match="ip6tables-nft-restore"):
        apply.Capture(kernel, DUAL, RunOptions()).program()
    assert "iptables-nft -t nat -D OUTPUT -j ISTIO_OUTPUT" in kernel.ran
    assert "ip6tables-nft -t nat -X ISTIO_OUTPUT" in kernel.ran
    assert f"iptables-nft -t filter -X {UNFINISHED}" in kernel.ran
    assert no_routes == ["remove"]


def test_a_refused_route_takes_the_rules_along(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: CaptureConfig) -> None:
        raise CaptureFailed("EPERM")

    monkeypatch.setattr(routes, "add", refuse)
    kernel = Kernel()
    with pytest.raises(CaptureFailed, match="EPERM"):
        apply.Capture(kernel, CONFIG, RunOptions()).program()
    assert "iptables-nft -t nat -X ISTIO_OUTPUT" in kernel.ran


def test_rules_of_an_earlier_run_stay_when_setting_fails() -> None:
    kernel = Kernel(saved="*nat\n:ISTIO_INBOUND - [0:0]\nCOMMIT\n", fails="restore")
    with pytest.raises(CaptureFailed, match="iptables-nft-restore"):
        apply.Capture(kernel, CONFIG, RunOptions()).program()
    assert not [line for line in kernel.ran if " -F " in line]


def test_reconcile_replaces_under_guard() -> None:
    kernel = Kernel(saved="*nat\n:ISTIO_INBOUND - [0:0]\nCOMMIT\n")
    apply.Capture(kernel, CONFIG, RunOptions(reconcile=True)).program()
    guard = kernel.ran.index("iptables-nft -t filter -I OUTPUT 1 -p udp -j DROP")
    removed = kernel.ran.index("iptables-nft -t nat -X ISTIO_INBOUND")
    applied = kernel.ran.index("iptables-nft-restore --noflush")
    lifted = len(kernel.ran) - 1 - kernel.ran[::-1].index("iptables-nft -t filter -D INPUT -p tcp -j DROP")  # fmt: skip
    assert guard < removed < applied < lifted
    assert kernel.ran[-1] == f"iptables-nft -t filter -X {UNFINISHED}"


def test_a_killed_run_is_cleared_first() -> None:
    saved = f"*filter\n:{UNFINISHED} - [0:0]\nCOMMIT\n*nat\n:ISTIO_OUTPUT - [0:0]\n-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n"
    kernel = Kernel(saved=saved)
    apply.Capture(kernel, CONFIG, RunOptions()).program()
    cleared = kernel.ran.index(f"iptables-nft -t filter -X {UNFINISHED}")
    assert "iptables-nft -t nat -D OUTPUT -j ISTIO_OUTPUT" in kernel.ran[:cleared]
    assert kernel.ran.index("iptables-nft-restore --noflush") > cleared


def test_cleanup_removes_rules_and_routes(no_routes: list[str]) -> None:
    kernel = Kernel(fails="-D")
    apply.Capture(kernel, CONFIG, RunOptions(cleanup_only=True)).program()
    assert not kernel.inputs
    assert no_routes == ["remove"]


def test_force_apply_applies_again() -> None:
    kernel = Kernel(saved=restore(plan(CONFIG).v4))
    apply.Capture(kernel, CONFIG, RunOptions(force_apply=True)).program()
    assert kernel.inputs


def test_guard_spans_both_families() -> None:
    kernel = Kernel()
    apply.Capture(kernel, DUAL, RunOptions(guard=True)).program()
    guarded = [line for line in kernel.ran if " -I " in line]
    assert len(guarded) == 12
    assert kernel.ran[0] == f"iptables-nft -t filter -N {UNFINISHED}"
    assert kernel.ran[-1] == f"iptables-nft -t filter -X {UNFINISHED}"
