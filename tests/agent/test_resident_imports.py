# SPDX-License-Identifier: Apache-2.0
"""What the resident agent imports, seen in a fresh interpreter; its resident memory is printed, room by room.

The list of what may come in is DESIGN section 2's. Memory is a figure for the reader, never a verdict.
"""

from __future__ import annotations

import json
import subprocess
import sys

ALLOWED = {"hpack", "h11", "google"}
LAZY = {"yaml", "zstandard", "isal", "sqlite3"}
"""Where they are needed, never at start."""
FORBIDDEN = {
    "grpc", "envoy_data_plane", "pydantic", "betterproto2", "cryptography", "aiohttp", "upstream",
    "ctl", "structlog", "envoy", "h2", "psutil",
}  # fmt: skip
OURS = {"agent", "bootstrap", "iptables", "mesh", "sdsserver", "wire"}
ROOMS = (
    "asyncio", "ssl", "hpack", "h11", "google.protobuf.message",
    "mesh.log", "wire.h2io", "wire.scan", "sdsserver.part", "bootstrap.launch",
    "agent.settings", "agent.status.server", "agent.admin.server", "agent.xds.proxy", "agent.app",
    "agent.cli",
)  # fmt: skip

LOOK = """
import importlib, json, sys
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024
before, sizes = set(sys.modules), [["the interpreter", resident()]]
for name in sys.argv[1:]:
    importlib.import_module(name)
    sizes.append([name, resident()])
print(json.dumps({"sizes": sizes, "modules": sorted(set(sys.modules) - before)}))
"""


def looked() -> tuple[set[str], list[tuple[str, float]]]:
    argv = [sys.executable, "-c", LOOK, *ROOMS]
    told = json.loads(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)
    return set(told["modules"]), [(name, size) for name, size in told["sizes"]]


def test_only_what_the_design_allows() -> None:
    modules, sizes = looked()
    before = 0.0
    for name, size in sizes:
        print(f"{name:<26} {size:6.1f} MiB  {size - before:+.1f}")
        before = size
    tops = {name.partition(".")[0] for name in modules}
    foreign = tops - set(sys.stdlib_module_names) - OURS
    assert foreign <= ALLOWED
    assert not tops & FORBIDDEN
    assert not tops & LAZY


def test_of_bootstrap_and_iptables_only_what_crosses_the_border() -> None:
    modules, _ = looked()
    assert {name for name in modules if name.startswith("bootstrap.")} <= {
        "bootstrap.family",
        "bootstrap.inputs",
        "bootstrap.launch",
    }
    assert {name for name in modules if name.startswith("iptables.")} <= {
        "iptables.config",
        "iptables.plan",
        "iptables.reasons",
        "iptables.rules",
    }
