# SPDX-License-Identifier: Apache-2.0
"""``make bench``: each yardstick of this folder after the other, each in a process of its own.

Figures of one run may be compared with each other only. Exit code 1 if a yardstick itself broke; a missed target is
printed, never a failure.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

PARTS = {
    "measured",
    "source",
    "relay_ours",
    "relay_grpcaio",
    "upstream_grpcaio",
    "sds_ours",
    "sds_grpcaio",
    "scrape_ours",
    "scrape_source",
    "wire_program",
    "wire_ours",
    "wire_grpcaio",
}
"""Programs that another yardstick starts."""


def yardsticks() -> list[str]:
    here = Path(__file__).parent
    return sorted(
        path.stem
        for path in here.glob("*.py")
        if path.stem not in PARTS and not path.stem.startswith("_")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(yardsticks())}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a look")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(yardsticks()))
    if unknown:
        parser.error(f"no such yardstick: {', '.join(unknown)}")
    broken = []
    for name in args.names or yardsticks():
        print(f"\n== {name}", flush=True)
        argv = [sys.executable, "-m", f"bench.{name}", *(["--quick"] if args.quick else [])]
        if subprocess.run(argv, check=False, cwd=Path(__file__).parent.parent).returncode != 0:
            broken.append(name)
    if broken:
        print(f"\nbroken: {', '.join(broken)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
