# SPDX-License-Identifier: Apache-2.0
"""Native nftables on a real kernel: repetition, other settings, refusals, kills, rollback. Needs root for a namespace."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.support.netns import Netns, needs_netns
from tests.support.nettools import (
    CAPTURE,
    inet_tables,
    kernel_state,
    killed_after,
    tools_with,
    words,
)

pytestmark = needs_netns

NATIVE = (*CAPTURE, "--native-nftables")
PLAIN = ("--native-nftables", "--istio-inbound-ports=*", "--istio-service-cidr=*")


def test_twice_is_once_and_clean_is_as_before(netns: Netns) -> None:
    before = kernel_state(netns)
    netns.must(*words(*NATIVE))
    once = kernel_state(netns)
    assert len(once) > len(before) + 50
    netns.must(*words(*NATIVE))
    assert kernel_state(netns) == once
    netns.must(*words(*NATIVE, "--cleanup-only"))
    assert kernel_state(netns) == before
    netns.must(*words(*NATIVE, "--cleanup-only"))
    assert kernel_state(netns) == before


def test_every_rule_says_why(netns: Netns) -> None:
    netns.must(*words(*NATIVE))
    ours = [line for line in inet_tables(netns) if "counter" in line and "eth7" not in line]
    assert len(ours) > 50
    assert all(' comment "' in line for line in ours)
    netns.must(*words(*NATIVE, "--rule-comments=false"))
    assert "comment" not in str(inet_tables(netns))
    assert netns.run(words(*NATIVE), env={"PILOT_COMPAT": "strict"}).returncode == 0
    assert "comment" not in str(inet_tables(netns))


def test_other_settings_leave_nothing_of_the_old_ones(netns: Netns, tmp_path: Path) -> None:
    """Tables and chains that are not wanted any more go in the same transaction."""
    netns.must(*words(*PLAIN))
    plain = inet_tables(netns)
    netns.must(*words(*NATIVE))
    wide = inet_tables(netns)
    netns.must(*words(*PLAIN))
    assert sorted(inet_tables(netns)) == sorted(plain)
    netns.must(*words(*NATIVE))
    assert sorted(inet_tables(netns)) == sorted(wide)


def test_what_nft_refuses_changes_nothing(netns: Netns) -> None:
    """An unknown group in the middle: rules, routes and addresses stay as they were."""
    before = kernel_state(netns)
    bad = {"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "nosuch"}
    done = netns.run(words(*NATIVE), env=bad)
    assert done.returncode == 1
    assert "Group does not exist" in done.stderr
    assert "name it by its id" in done.stdout
    assert kernel_state(netns) == before
    netns.must(*words(*PLAIN))
    plain = kernel_state(netns)
    assert netns.run(words(*NATIVE), env=bad).returncode == 1
    assert kernel_state(netns) == plain


def test_a_dry_run_prints_the_transaction_and_changes_nothing(netns: Netns, tmp_path: Path) -> None:
    before = kernel_state(netns)
    file = tmp_path / "lines"
    done = netns.run(words(*NATIVE, "--dry-run"), env={"DRY_RUN_FILE_PATH": str(file)})
    assert done.returncode == 0
    lines = file.read_text().splitlines()
    assert lines[0] == "add table inet istio-proxy-nat"
    assert [line for line in done.stdout.splitlines() if line in lines] == lines
    assert kernel_state(netns) == before
    netns.must(*words(*NATIVE))
    applied = kernel_state(netns)
    netns.must("nft", "flush", "table", "inet", "istio-proxy-nat")
    netns.must("nft", "-f", str(file))
    assert kernel_state(netns) == applied


def test_without_nft_that_is_said(netns: Netns, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = netns.run(["env", f"PATH={empty}", *words(*NATIVE)])
    assert done.returncode == 1
    assert "nft: not found" in done.stderr
    assert "install nftables" in done.stdout


def test_without_the_right_to_change_the_kernel(netns: Netns) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("group netns: needs setpriv")
    before = kernel_state(netns)
    dropped = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    done = netns.run([*dropped, *words(*NATIVE)])
    assert done.returncode == 1
    assert "NET_ADMIN" in done.stdout
    assert kernel_state(netns) == before


def test_rules_of_the_iptables_kind_are_pointed_at(netns: Netns) -> None:
    netns.must(*words(*CAPTURE))
    assert "iptables kind" in netns.must(*words(*NATIVE))
    netns.must(*words(*CAPTURE, "--cleanup-only"))
    assert "iptables kind" not in netns.must(*words(*NATIVE))


RIVAL = "table inet rival { chain output { type filter hook output priority -200; tcp dport 15002 drop; }; }"


def test_the_probe_is_captured_or_the_old_rules_come_back(netns: Netns) -> None:
    probed = ("--run-validation", "--probe-timeout=1s", "--rollback")
    clean = kernel_state(netns)
    netns.must(*words(*NATIVE, *probed))
    netns.must(*words(*NATIVE, "--cleanup-only"))
    netns.must("nft", RIVAL)
    failed = netns.run(words(*NATIVE, *probed))
    assert failed.returncode == 126
    netns.must("nft", "delete table inet rival")
    assert kernel_state(netns) == clean
    netns.must(*words(*PLAIN))
    plain = kernel_state(netns)
    netns.must("nft", RIVAL)
    assert netns.run(words(*NATIVE, *probed)).returncode == 126
    netns.must("nft", "delete table inet rival")
    assert sorted(kernel_state(netns)) == sorted(plain)


DIES = {
    "before": "kill -9 $PPID",
    "after": '{tool} "$@"; kill -9 $PPID',
}


@pytest.mark.parametrize("where", DIES)
def test_killed_there_it_is_the_old_or_the_new(netns: Netns, tmp_path: Path, where: str) -> None:
    netns.must(*words(*PLAIN))
    old = inet_tables(netns)
    netns.must(*words(*NATIVE))
    new = inet_tables(netns)
    netns.must(*words(*PLAIN))
    path = tools_with(
        tmp_path, "nft", f'case "$*" in "-f -") {DIES[where]};; *) exec {{tool}} "$@";; esac'
    )
    assert netns.run(words(*NATIVE), env={"PATH": path}).returncode == -signal.SIGKILL
    assert sorted(inet_tables(netns)) == sorted(new if where == "after" else old)


@pytest.mark.long
def test_killed_anywhere_it_is_the_old_or_the_new(netns: Netns) -> None:
    """Each time, whatever the moment: one of two rulesets, and the next run completes."""
    netns.must(*words(*PLAIN))
    old = sorted(inet_tables(netns))
    began = time.monotonic()
    netns.must(*words(*NATIVE))
    took = time.monotonic() - began
    new = sorted(inet_tables(netns))
    seen = {True: 0, False: 0}
    for moment in range(40):  # from before it can have begun until after it must have ended
        netns.must(*words(*PLAIN))
        killed_after(netns, took * moment / 30 if moment < 39 else took * 10, *NATIVE, "--guard")
        found = sorted(inet_tables(netns))
        assert found in (old, new)
        seen[found == new] += 1
        netns.must(*words(*NATIVE))
        assert sorted(inet_tables(netns)) == new
    assert all(seen.values())
