# SPDX-License-Identifier: Apache-2.0
"""Changes that know frames: without them a random byte breaks the framing, and nothing behind it is ever reached.

Pure but for ``mutate``, which is the engine's own byte mutator and comes in as an argument.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.wire.fuzz.machine import CONTROL
from tests.wire.fuzz.written import PREFACE, raw_frames
from wire.h2 import frames

Mutate = Callable[[bytes, int], bytes]
NUMBERS = (0, 1, 2, 3, 100, 4096, 16_383, 16_384, 65_535, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1)
FLAGS = (0, 0x1, 0x4, 0x5, 0x8, 0x9, 0x20, 0x2D)


class Raw(NamedTuple):
    """A frame as it will be written; ``lie`` is added to its true length."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    lie: int = 0

    def pack(self) -> bytes:
        length = max(0, len(self.payload) + self.lie) & 0xFFFFFF
        return frames.pack_header(length, self.kind, self.flags, self.stream) + self.payload


def mutate_conversation(data: bytes, max_size: int, seed: int, mutate: Mutate) -> bytes:
    """One or two changes to an input of ``machine``."""
    rng = random.Random(seed)
    control, rest = data[:CONTROL].ljust(CONTROL, b"\0"), data[CONTROL:]
    if rng.random() < 0.2:
        return bytes(mutate(data, max_size))
    if rng.random() < 0.2:
        control = bytes(mutate(control, CONTROL))[:CONTROL].ljust(CONTROL, b"\0")
    preface = PREFACE if rest.startswith(PREFACE) or rng.random() < 0.1 else b""
    body = rest.removeprefix(PREFACE)
    row = [Raw(*each) for each in raw_frames(body)]
    tail = body[sum(9 + len(each.payload) for each in row) :]
    for _ in range(rng.choice((1, 1, 2))):
        _change(row, rng, mutate)
    return (control + preface + _packed(row) + tail)[:max_size]


def _packed(row: Iterable[Raw]) -> bytes:
    return b"".join(each.pack() for each in row)


def _change(row: list[Raw], rng: random.Random, mutate: Mutate) -> None:
    at = rng.randrange(len(row)) if row else 0
    if not row or rng.random() < 0.25:
        row.insert(at, _new_frame(rng))
        return
    one = row[at]
    match rng.randrange(8):
        case 0:
            del row[at]
        case 1:
            row[at:at] = [one] * rng.choice((1, 2, 30))
        case 2:
            other = rng.randrange(len(row))
            row[at], row[other] = row[other], one
        case 3:
            row[at] = one._replace(flags=rng.choice(FLAGS))
        case 4:
            row[at] = one._replace(stream=rng.choice((0, 1, 2, 3, 5, one.stream + 2, 2**31 - 1)))
        case 5:
            row[at] = one._replace(lie=rng.choice((-1, 1, 9, 2**14)))
        case 6:
            row[at] = one._replace(kind=rng.randrange(12))
        case _:
            row[at] = one._replace(payload=bytes(mutate(one.payload or b"\0", 600)))


def _new_frame(rng: random.Random) -> Raw:
    number = rng.choice(NUMBERS)
    stream = rng.choice((0, 1, 3, 5, 7))
    match rng.randrange(7):
        case 0:
            setting = rng.choice((1, 2, 3, 4, 5, 6, 99))
            return Raw(frames.SETTINGS, 0, 0, setting.to_bytes(2, "big") + _four(number))
        case 1:
            return Raw(frames.WINDOW_UPDATE, 0, stream, _four(number))
        case 2:
            return Raw(frames.RST_STREAM, 0, stream, _four(rng.randrange(16)))
        case 3:
            return Raw(frames.PING, rng.randrange(2), 0, b"farewell")
        case 4:
            return Raw(frames.GOAWAY, 0, 0, _four(number) + _four(rng.randrange(16)))
        case 5:
            padded = bytes([rng.choice((0, 1, 9, 255))]) + bytes(rng.choice((0, 5, 400)))
            return Raw(frames.DATA, frames.PADDED | rng.randrange(2), stream, padded)
        case _:
            return Raw(frames.DATA, rng.randrange(2), stream, bytes(rng.choice((0, 1, 2900))))


def _four(number: int) -> bytes:
    return number.to_bytes(4, "big")
