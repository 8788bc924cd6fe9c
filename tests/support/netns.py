# SPDX-License-Identifier: Apache-2.0
"""A network namespace for one test, made by ``unshare`` and gone with it. Needs root, iptables and ip."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

import pytest

REPO = Path(__file__).resolve().parents[2]
TOOLS = ("unshare", "nsenter", "ip", "iptables-nft", "ip6tables-nft", "nft")


def _missing() -> str:
    """What this machine lacks; empty when namespaces can be made."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"needs {', '.join(absent)}"
    if os.geteuid() != 0:
        return "needs root"
    probe = ["unshare", "--net", "--mount", "iptables-nft", "-t", "nat", "-L"]
    done = subprocess.run(probe, capture_output=True, check=False)
    return "" if done.returncode == 0 else "needs network namespaces with nf_tables"


MISSING = _missing()
needs_netns = pytest.mark.skipif(bool(MISSING), reason=f"group netns: {MISSING}")


class Netns:
    """A network and mount namespace, kept by a sleeping process; commands enter it."""

    def __init__(self, addresses: list[str], nameservers: list[str], folder: Path) -> None:
        self._addresses = addresses
        self._resolv_conf = folder / "resolv.conf"
        self._resolv_conf.write_text("".join(f"nameserver {server}\n" for server in nameservers))
        group = folder / "group"
        group.write_text(Path("/etc/group").read_text() + "java:x:5001:\nftp:x:5002:\n")
        self._group = group

    def __enter__(self) -> Self:
        script = (
            f"mount --bind {self._resolv_conf} /etc/resolv.conf && mount --bind {self._group} /etc/group"
            " && ip link set lo up && echo ready && exec sleep 600"
        )
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", script],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == "ready\n"
        for address in self._addresses:
            self.must("ip", "addr", "add", address, "dev", "lo")
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.kill()
        self._keeper.wait(10)
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()

    @property
    def pid(self) -> int:
        """Of the process that keeps the namespaces."""
        return self._keeper.pid

    @property
    def enter(self) -> list[str]:
        """Words before a command that bring it in."""
        return ["nsenter", "--target", str(self._keeper.pid), "--net", "--mount"]

    def run(
        self, words: list[str], *, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO), **(env or {})}
        return subprocess.run(
            [*self.enter, *words], capture_output=True, text=True, check=False, env=own, timeout=60
        )

    def must(self, *words: str) -> str:
        done = self.run(list(words))
        assert done.returncode == 0, done.stderr
        return done.stdout
