# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.wire.fuzz [--seconds N] [TARGET...]``: fuzz with atheris, each target in a process of its own.

Starts from the corpus of the repository and from what earlier runs learned (``.fuzz/``, not kept). An input that breaks a
target is written to the corpus as ``found-...``: mend the code, keep the file, ``make test`` replays it for ever.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import atheris

INSTRUMENTED = ["wire", "hpack"]
MAX_INPUT = 8192
INPUT_TIMEOUT = 20
"""Seconds for one input; a thousand times what any needs."""

with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
    from tests.wire.fuzz.mutate import mutate_conversation
    from tests.wire.fuzz.targets import CONVERSATIONS, CORPUS, TARGETS

LEARNED = Path(__file__).parents[3] / ".fuzz"


def fuzz(target: str, options: list[str]) -> None:
    """Does not return."""
    how = {}
    if target in CONVERSATIONS:
        how["custom_mutator"] = lambda data, size, seed: mutate_conversation(
            data, size, seed, atheris.Mutate
        )
    atheris.Setup(["fuzz", *options], TARGETS[target], **how)
    atheris.Fuzz()


def start(target: str, seconds: int, seed: int, *, learned: Path, found: Path) -> int:
    """Its exit code: 0 where nothing broke."""
    learned.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={MAX_INPUT}",
        f"-timeout={INPUT_TIMEOUT}",
        f"-artifact_prefix={found / 'found-'}",
        "-print_final_stats=1",
        str(learned),
        str(CORPUS / target),
    ]
    argv = [sys.executable, "-m", "tests.wire.fuzz", "--inside", target, "--", *options]
    return subprocess.run(argv, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="of the engine; 0 takes the clock")
    parser.add_argument("--apart", type=Path, help="write to this folder, not to the repository")
    parser.add_argument("--inside", choices=TARGETS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        fuzz(args.inside, args.targets)
    if unknown := sorted(set(args.targets) - set(TARGETS)):
        parser.error(f"no such target: {', '.join(unknown)}")
    broken = []
    for name in args.targets or TARGETS:
        learned = (args.apart or LEARNED) / name
        found = args.apart or CORPUS / name
        if start(name, args.seconds, args.seed, learned=learned, found=found) != 0:
            broken.append(name)
    if broken:
        print(f"broken: {', '.join(broken)}; the inputs are in {args.apart or CORPUS}, found-*")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
