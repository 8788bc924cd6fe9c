# SPDX-License-Identifier: Apache-2.0
"""A whole dry run of istio-iptables, from exec to exit, beside an interpreter that does nothing.

It is what an init container adds to each pod's start before the kernel is asked anything. Target 90 ms, stretch 60 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

DRY_RUN = ["-m", "iptables.cli", "--dry-run", "--istio-inbound-ports=*", "--istio-service-cidr=*"]
PROGRAMS = {"python -c pass": ["-c", "pass"], "istio-iptables --dry-run": DRY_RUN}
TARGET, STRETCH = 90.0, 60.0


def wall(arguments: list[str]) -> float:
    """Milliseconds of one process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 10 if parser.parse_args().quick else 40
    os.environ.pop("DRY_RUN_FILE_PATH", None)
    took: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):  # in turns, so that both meet the same machine
        for name, arguments in PROGRAMS.items():
            took[name].append(wall(arguments))
    for name, values in took.items():
        values.sort()
        print(f"{name:28} median {statistics.median(values):6.1f} ms   least {values[0]:6.1f} ms")
    median = statistics.median(took["istio-iptables --dry-run"])
    met = (
        "stretch met"
        if median <= STRETCH
        else "target met"
        if median <= TARGET
        else "target missed"
    )
    print(f"{met}: target {TARGET:.0f} ms, stretch {STRETCH:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
