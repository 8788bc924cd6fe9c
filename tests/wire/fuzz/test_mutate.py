# SPDX-License-Identifier: Apache-2.0
"""Changes keep to the size, follow the seed, and leave frames behind them that a machine still reads."""

from __future__ import annotations

import random

import pytest

from tests.wire.fuzz.machine import CONTROL
from tests.wire.fuzz.mutate import mutate_conversation
from tests.wire.fuzz.targets import seeds
from tests.wire.fuzz.written import PREFACE, raw_frames

RECORDED = next(seed for seed in seeds("server") if "grpcio-echo" in seed.name).read_bytes()


def flip(data: bytes, size: int) -> bytes:
    """The engine's mutator, more or less."""
    return bytes([data[0] ^ 1 if data else 0]) + data[1:size]


def changed(seed: int, size: int = 8192) -> bytes:
    return mutate_conversation(RECORDED, size, seed, flip)


def test_a_seed_gives_the_same_again() -> None:
    assert [changed(seed) for seed in range(50)] == [changed(seed) for seed in range(50)]


def test_most_are_different_and_still_frames() -> None:
    found = {changed(seed) for seed in range(200)}
    assert len(found) > 100
    kept = len(list(raw_frames(RECORDED[CONTROL:].removeprefix(PREFACE))))
    whole = [one for one in found if _frames(one) >= kept - 2]
    assert len(whole) > len(found) / 2


def _frames(data: bytes) -> int:
    return len(list(raw_frames(data[CONTROL:].removeprefix(PREFACE))))


@pytest.mark.parametrize("size", [8, 30, 500])
def test_none_is_too_long(size: int) -> None:
    assert all(len(changed(seed, size)) <= size for seed in range(100))


def test_garbage_is_changed_too() -> None:
    rng = random.Random(7)
    for seed in range(200):
        data = rng.randbytes(rng.randrange(60))
        assert isinstance(mutate_conversation(data, 100, seed, flip), bytes)
