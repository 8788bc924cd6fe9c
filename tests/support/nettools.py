# SPDX-License-Identifier: Apache-2.0
"""Running the capture program in a namespace, killing it, giving it bad tools, and seeing what the kernel holds."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.netns import REPO, Netns

BOTH = ("192.0.2.10/24", "2001:db8:1::10/64")
CAPTURE = (
    "--dual-stack",
    "--istio-inbound-ports=*",
    "--istio-service-cidr=*",
    "--istio-inbound-interception-mode=TPROXY",
    "--redirect-dns",
    "--capture-all-dns",
    "--drop-invalid",
    "--istio-exclude-interfaces=eth9",
)
"""As much as can be asked for at once."""
_COUNTER = re.compile(r"counter packets \d+ bytes \d+")


def words(*flags: str) -> list[str]:
    return [sys.executable, "-m", "iptables.cli", *flags]


def foreign_rules(netns: Netns) -> None:
    """Rules of other people, of both kinds."""
    for tool in ("iptables-nft", "ip6tables-nft"):
        netns.must(tool, "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "7", "-j", "ACCEPT")
        netns.must(tool, "-A", "INPUT", "-i", "eth7", "-j", "ACCEPT")
    for line in (
        "add table inet firewall",
        "add chain inet firewall in { type filter hook input priority 0 ; }",
        "add rule inet firewall in iifname eth7 counter accept",
    ):
        netns.must("nft", line)


def kernel_state(netns: Netns) -> list[str]:
    """Rules and chains of both kinds, routing rules, routes, addresses: empty iptables tables say nothing."""
    lines = []
    for tool in ("iptables-nft-save", "ip6tables-nft-save"):
        for line in netns.must(tool).splitlines():
            if line.startswith("*"):
                table = line
            elif line.startswith("-A") or (line.startswith(":") and " - " in line):
                lines.append(f"{tool} {table} {line.split(' [')[0]}")
    lines += [f"nft {line}" for line in inet_tables(netns)]
    for family in ("-4", "-6"):
        lines += netns.must("ip", family, "rule").splitlines()
        lines += netns.run(["ip", family, "route", "show", "table", "133"]).stdout.splitlines()
    return [*lines, *netns.must("ip", "-br", "addr", "show", "lo").splitlines()]


def inet_tables(netns: Netns) -> list[str]:
    """The tables of the family inet, counters left out; those of other families belong to iptables."""
    lines: list[str] = []
    keep = False
    for line in _COUNTER.sub("counter", netns.must("nft", "list", "ruleset")).splitlines():
        keep = line.startswith("table inet ") if line.startswith("table ") else keep
        lines += [line] if keep else []
    return lines


def tools_with(folder: Path, name: str, script: str) -> str:
    """A PATH on which one tool is a script of ours."""
    tool = shutil.which(name)
    folder = folder / "bin"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script.format(tool=tool)}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def killed_after(netns: Netns, seconds: float, *flags: str) -> None:
    """Start the program and end it, with all that it started, whatever it is at."""
    child = subprocess.Popen(
        [*netns.enter, *words(*flags)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(seconds)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait(10)
