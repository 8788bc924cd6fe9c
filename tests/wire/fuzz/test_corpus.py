# SPDX-License-Identifier: Apache-2.0
"""Each seed that was ever kept is played again, in every cut; the faults are still those that ``faults`` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.fuzz import faults
from tests.wire.fuzz.machine import CONTROL
from tests.wire.fuzz.targets import CONVERSATIONS, CORPUS, TARGETS, seeds

PLAYED: dict[str, bytes] = {
    "byte by byte": b"\0\1",
    "in twos and threes": b"\0\2",
    "answering": b"\1\0" + bytes([1 | 3 << 3, 2 | 3 << 3, 1 | 2 << 3, 0, 1, 12]),
    "answering at once": b"\1\3" + bytes([2 | 3 << 3] * 4) + b"\0\14",
    "taking and leaving": b"\1\5" + bytes([4, 5, 4, 6, 1, 4]),
    "giving up": b"\1\5" + bytes([3, 0, 7, 0, 1, 4]),
}
"""Ways of cutting and of acting that each conversation is played in besides its own."""


@pytest.mark.parametrize(
    ("target", "seed"),
    [pytest.param(t, s, id=f"{t}-{s.name}") for t in TARGETS for s in seeds(t)],
)
def test_seed(target: str, seed: Path) -> None:
    data = seed.read_bytes()
    TARGETS[target](data)
    if target in CONVERSATIONS:
        for control in PLAYED.values():
            TARGETS[target](control.ljust(CONTROL, b"\0") + data[CONTROL:])


def test_the_corpus_is_what_its_script_writes() -> None:
    written = {(target, f"fault-{name}"): data for target, name, data in faults.all_of_them()}
    kept = {(p.parent.name, p.name): p.read_bytes() for p in CORPUS.glob("*/fault-*")}
    assert kept == written


def test_both_kinds_of_programs_were_recorded() -> None:
    for target in TARGETS:
        names = {path.name for path in seeds(target)}
        assert any("grpcio" in name for name in names) or target == "envelopes"
        assert any("envoy" in name for name in names) or target == "envelopes"
