# SPDX-License-Identifier: Apache-2.0
"""The machine of the captured demo: a network namespace of its own, and one more for each pod, wired to it.

``unshare`` makes them; each ends with the process that holds it, so nothing is left on the real machine, whose own
network is not touched. Effects only; needs root, or a user namespace that maps the ids of the app and of the proxy.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ctl.demo.processes import Program, Programs
from mesh.errors import BadSetting, MeshError
from mesh.ports import PROXY_UID

APP_UID = 1000
CONTROL_PLANE = "10.77.0.1"
TOOLS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "nft": "nftables",
}
BACKENDS = {
    "iptables": [("iptables-restore", "iptables"), ("iptables-save", "iptables")],
    "nft": [],
}
ID_MAPS = {"newuidmap": "/etc/subuid", "newgidmap": "/etc/subgid"}


class NodeFailed(MeshError):
    """A namespace could not be made or wired."""

    hint = "run as root, on a kernel with network namespaces, veth and nf_tables"

    def __init__(self, words: list[str], why: str) -> None:
        super().__init__(f"{' '.join(words)}: {why.strip()}")


def enter(backend: str, words: list[str]) -> None:
    """Go on as ``pilotctl words`` in a network namespace of our own. BadSetting names all that is missing for it."""
    mapped = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    lacks = missing(backend, root=not mapped)
    if lacks:
        raise BadSetting("--capture", backend, "; ".join(lacks), hint="or run the demo without it")
    unshare = ["unshare", *mapped, "--net", "--"]
    trial = subprocess.run(
        [*unshare, "ip", "link", "set", "lo", "up"], capture_output=True, text=True, check=False
    )
    if trial.returncode != 0:
        raise NodeFailed(unshare, trial.stderr)
    go_on = [*unshare, sys.executable, "-m", "ctl.cli", *words]
    os.execvp(go_on[0], go_on)  # noqa: S606  no shell is the point


def missing(backend: str, *, root: bool) -> list[str]:
    """What this machine lacks, each with what brings it."""
    lacks = [f"needs {tool} (package {name})" for tool, name in TOOLS.items() if not _found(tool)]
    lacks += [
        f"needs {tool} (package {name})" for tool, name in BACKENDS[backend] if not _found(tool)
    ]
    if not root:
        lacks += [why for tool, file in ID_MAPS.items() if (why := _unmapped(tool, Path(file)))]
    return lacks


def _unmapped(tool: str, file: Path) -> str:
    """Why the tool cannot map the ids of the app and of the proxy into a user namespace; empty when it can."""
    if not _found(tool):
        return f"needs root, or {tool} (package uidmap) for a user namespace"
    if subordinate(file, getpass.getuser(), os.geteuid()) < PROXY_UID:
        ids = f"the ids of the app ({APP_UID}) and of the proxy ({PROXY_UID})"
        return f"needs root, or {PROXY_UID} subordinate ids for this user in {file}, to map {ids}"
    return ""


def _found(tool: str) -> bool:
    return shutil.which(tool) is not None


def subordinate(file: Path, name: str, uid: int) -> int:
    """How many ids the file gives to this user."""
    try:
        lines = [line.split(":") for line in file.read_text().splitlines()]
    except OSError:
        return 0
    mine = (line for line in lines if len(line) == 3 and line[0] in (name, str(uid)))
    return sum(int(line[2]) for line in mine if line[2].isdigit())


class Node:
    """Wires pods; says how to get into one."""

    def __init__(self, programs: Programs, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._pods: dict[str, Program] = {}

    def prepare(self, port: int) -> None:
        """Pods reach the control plane, which listens on loopback only, at an address of the node."""
        run(["ip", "link", "set", "lo", "up"])
        run(["ip", "addr", "add", f"{CONTROL_PLANE}/32", "dev", "lo"])
        for name in ("ip_forward", "conf/all/route_localnet"):
            _sysctl(name)
        rule = f"ip daddr {CONTROL_PLANE} tcp dport {port} dnat to 127.0.0.1:{port}"
        hook = "type nat hook prerouting priority -100"
        run(["nft", f"table ip node {{ chain in {{ {hook}; {rule}; }}; }}"])

    def add_pod(self, name: str, address: str) -> None:
        """A namespace with loopback and one interface; ``address`` ends in 2, the node's end has 1."""
        keeper = self._programs.start(
            f"{name}-net", ["unshare", "--net", "sleep", "infinity"], cwd=self._directory, env={}
        )
        _until_unshared(keeper)
        self._pods[name] = keeper
        gateway, outside = f"{address.rpartition('.')[0]}.1", f"pod{len(self._pods)}"
        pair = ["type", "veth", "peer", "name", "eth0", "netns", str(keeper.pid)]
        run(["ip", "link", "add", outside, *pair])
        run(["ip", "addr", "add", f"{gateway}/24", "dev", outside])
        run(["ip", "link", "set", outside, "up"])
        for words in (
            ["link", "set", "lo", "up"],
            ["addr", "add", f"{address}/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["route", "add", "default", "via", gateway],
        ):
            run([*self.inside(name), "ip", *words])

    def inside(self, name: str, uid: int = 0) -> list[str]:
        """Words before a command that run it in the pod, as that user and group.

        It may still read what root may: the interpreter need not be where everyone can see it.
        """
        words = ["nsenter", f"--net=/proc/{self._pods[name].pid}/ns/net", "--"]
        if uid:
            words += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
            words += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"]
        return words


def run(words: list[str], *, seconds: float = 60) -> str:
    """One command to its end; its output. NodeFailed with its complaint."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NodeFailed(words, str(error)) from error
    if done.returncode != 0:
        raise NodeFailed(words, done.stderr or done.stdout)
    return done.stdout


def _sysctl(name: str) -> None:
    path = Path("/proc/sys/net/ipv4") / name
    try:
        path.write_text("1\n")
    except OSError as error:
        raise NodeFailed(["echo", "1", ">", str(path)], error.strerror or "refused") from error


def _until_unshared(keeper: Program) -> None:
    """Returns when the process is in a network namespace of its own."""
    ours = os.readlink("/proc/self/ns/net")
    deadline = time.monotonic() + 20
    while os.readlink(f"/proc/{keeper.pid}/ns/net") == ours:
        keeper.check()
        if time.monotonic() > deadline:
            raise NodeFailed(["unshare", "--net"], "no namespace within 20 s")
        time.sleep(0.01)
