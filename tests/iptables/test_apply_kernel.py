# SPDX-License-Identifier: Apache-2.0
"""What a real kernel holds after failures, kills, repetition and cleaning. Needs root for a network namespace."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.netns import REPO, Netns, needs_netns
from tests.support.nettools import (
    CAPTURE,
    kernel_state,
    killed_after,
    tools_with,
    words,
)

pytestmark = needs_netns


def test_twice_is_once_and_clean_is_as_before(netns: Netns) -> None:
    before = kernel_state(netns)
    netns.must(*words(*CAPTURE))
    once = kernel_state(netns)
    assert len(once) > len(before) + 50
    netns.must(*words(*CAPTURE))
    assert kernel_state(netns) == once
    netns.must(*words(*CAPTURE, "--cleanup-only"))
    assert kernel_state(netns) == before


def test_reconcile_to_other_settings_and_back(netns: Netns) -> None:
    netns.must(*words(*CAPTURE))
    once = kernel_state(netns)
    netns.must("ip6tables-nft", "-t", "nat", "-F", "ISTIO_OUTPUT")
    assert netns.run(words(*CAPTURE)).returncode == 1
    netns.must(*words(*CAPTURE, "--reconcile"))
    assert sorted(kernel_state(netns)) == sorted(once)


def test_a_table_that_is_refused_takes_all_families_along(netns: Netns, tmp_path: Path) -> None:
    """The last table of the last family fails, after everything else has been committed."""
    before = kernel_state(netns)
    failing = tools_with(
        tmp_path, "ip6tables-nft-restore", "exec {tool} --noflush < /dev/null; exit 4"
    )
    for broken in (
        "{tool} \"$@\" || exit; echo 'ip6tables-restore: line 9 failed' >&2; exit 4",  # all set, then bad
        "head -n 20 | {tool} \"$@\"; echo 'ip6tables-restore: line 9 failed' >&2; exit 4",  # a part
    ):
        failing = tools_with(tmp_path, "ip6tables-nft-restore", broken)
        done = netns.run(words(*CAPTURE), env={"PATH": failing})
        assert done.returncode == 1
        assert "line 9 failed" in done.stderr
        assert kernel_state(netns) == before


def test_missing_ip6tables_matters_only_with_ipv6(netns: Netns, tmp_path: Path) -> None:
    before = kernel_state(netns)
    for name in ("ip6tables-nft-save", "ip6tables-legacy-save", "ip6tables-save"):
        path = tools_with(tmp_path, name, "echo 'not there' >&2; exit 1")
    done = netns.run(words(*CAPTURE), env={"PATH": path})
    assert done.returncode == 1
    assert "no usable ip6tables" in done.stderr
    assert kernel_state(netns) == before
    assert netns.run(words(*CAPTURE, "--dual-stack=false"), env={"PATH": path}).returncode == 0


DIES = {
    "before the first": ("iptables-nft-restore", "kill -9 $PPID"),
    "within the first": ("iptables-nft-restore", 'sed /nat/,\\$d | {tool} "$@"; kill -9 $PPID'),
    "between families": ("ip6tables-nft-restore", "kill -9 $PPID"),
    "within the second": ("ip6tables-nft-restore", 'sed /nat/,\\$d | {tool} "$@"; kill -9 $PPID'),
    "after the last": ("ip6tables-nft-restore", '{tool} "$@"; kill -9 $PPID'),
}


@pytest.mark.parametrize("where", DIES)
@pytest.mark.parametrize("guard", [(), ("--guard",)], ids=["", "guarded"])
def test_killed_there_the_next_run_completes(
    netns: Netns, tmp_path: Path, where: str, guard: tuple[str, ...]
) -> None:
    before = kernel_state(netns)
    path = tools_with(tmp_path, *DIES[where])
    assert netns.run(words(*CAPTURE, *guard), env={"PATH": path}).returncode == -signal.SIGKILL
    changed = kernel_state(netns)
    assert (changed == before) == (where == "before the first" and not guard)
    done = netns.run(words(*CAPTURE))
    assert done.returncode == 0
    assert ("ended half way" in done.stdout) == (changed != before)
    completed = kernel_state(netns)
    netns.must(*words(*CAPTURE, "--cleanup-only"))
    assert kernel_state(netns) == before
    netns.must(*words(*CAPTURE))
    assert kernel_state(netns) == completed


@pytest.mark.long
def test_killed_anywhere_many_times(netns: Netns) -> None:
    kill_loop(netns, 30, ())
    kill_loop(netns, 30, ("--guard",))


def kill_loop(netns: Netns, times: int, flags: tuple[str, ...]) -> None:
    before = kernel_state(netns)
    netns.must(*words(*CAPTURE))
    wanted = kernel_state(netns)
    netns.must(*words(*CAPTURE, "--cleanup-only"))
    rng = random.Random(5)
    for _ in range(times):
        killed_after(netns, rng.uniform(0.03, 0.5), *CAPTURE, *flags)
        netns.must(*words(*CAPTURE))
        assert kernel_state(netns) == wanted
        netns.must(*words(*CAPTURE, "--cleanup-only"))
        assert kernel_state(netns) == before


def test_while_guarded_nothing_passes(netns: Netns, tmp_path: Path) -> None:
    """Between the families the process is held up; a connection to the app must not get through."""
    slow = tools_with(
        tmp_path,
        "ip6tables-nft-restore",
        'sleep 1; exec {tool} "$@"',
    )
    server = "import socket; s=socket.create_server(('127.0.0.1', 8099)); print('up', flush=True); s.accept()"
    listener = subprocess.Popen(
        [*netns.enter, sys.executable, "-c", server], stdout=subprocess.PIPE, text=True
    )
    assert listener.stdout is not None
    assert listener.stdout.readline() == "up\n"
    run = subprocess.Popen(
        [*netns.enter, *words(*CAPTURE, "--guard")],
        env={"PATH": slow, "PYTHONPATH": str(REPO)},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for_rule(netns, "ISTIO_OUTPUT")
        client = "import socket; socket.create_connection(('127.0.0.1', 8099), timeout=0.3)"
        assert "TimeoutError" in netns.run([sys.executable, "-c", client]).stderr
        assert run.wait(30) == 0
        assert not [
            line for line in kernel_state(netns) if "DROP" in line and "ISTIO_DROP" not in line
        ]
        assert netns.run([sys.executable, "-c", client]).returncode == 0
    finally:
        for process in (run, listener):
            process.kill()
            process.wait(10)
        listener.stdout.close()


def wait_for_rule(netns: Netns, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in netns.must("iptables-nft-save"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_probe_is_captured_or_all_is_undone(netns: Netns) -> None:
    before = kernel_state(netns)
    validated = (*CAPTURE, "--run-validation", "--probe-timeout=1s")
    netns.must(*words(*validated))
    netns.must(
        "iptables-nft",
        "-t",
        "nat",
        "-I",
        "OUTPUT",
        "1",
        "-p",
        "tcp",
        "--dport",
        "15002",
        "-j",
        "RETURN",
    )
    failed = netns.run(words(*validated, "--rollback"))
    assert failed.returncode == 126
    netns.must(
        "iptables-nft", "-t", "nat", "-D", "OUTPUT", "-p", "tcp", "--dport", "15002", "-j", "RETURN"
    )
    assert kernel_state(netns) == before


def test_another_namespace_is_entered_by_its_file(netns: Netns) -> None:
    file = f"/proc/{netns.pid}/ns/net"
    done = subprocess.run(
        words(*CAPTURE, f"--network-namespace={file}", "--cni-mode"),
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert any("ISTIO_OUTPUT" in line for line in kernel_state(netns))


def test_without_the_right_to_change_the_kernel(netns: Netns) -> None:
    dropped = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    if shutil.which("setpriv") is None:
        pytest.skip("group netns: needs setpriv")
    done = netns.run([*dropped, *words(*CAPTURE)])
    assert done.returncode == 1
    assert "NET_ADMIN" in done.stdout
