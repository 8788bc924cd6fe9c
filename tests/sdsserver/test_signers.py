# SPDX-License-Identifier: Apache-2.0
"""Several CAs: who is asked, in which order, and what is said when none signs."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from mesh.errors import SigningFailed
from sdsserver.signers import Signers
from tests.support.clock import FakeClock


@dataclass
class Authority:
    name: str
    asked: list[str]
    down: bool = False

    async def sign(self, csr: str, ttl: float) -> list[str]:
        self.asked.append(self.name)
        if self.down:
            raise SigningFailed(self.name, "down")
        return [f"leaf of {self.name}", "root"]


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.asked: list[str] = []
        self.all = {name: Authority(name, self.asked) for name in "abc"}
        self.signers = Signers(list(self.all.items()), self.clock, Random(1))

    async def sign(self) -> str:
        self.asked.clear()
        return (await self.signers.sign("csr", 1.0))[0].removeprefix("leaf of ")


async def test_the_first_signs_while_it_can() -> None:
    world = World()
    assert await world.sign() == "a"
    assert world.asked == ["a"]


async def test_a_failing_one_is_passed_over_for_a_while_and_comes_back() -> None:
    world = World()
    world.all["a"].down = True
    assert await world.sign() == "b"
    assert world.asked == ["a", "b"]
    assert await world.sign() == "b"
    assert world.asked == ["b"]
    world.all["a"].down = False
    await world.clock.advance(20)
    assert await world.sign() == "a"


async def test_when_all_are_in_their_pause_all_are_asked() -> None:
    world = World()
    for one in world.all.values():
        one.down = True
    with pytest.raises(SigningFailed, match="a: down; b: down; c: down"):
        await world.sign()
    with pytest.raises(SigningFailed):
        await world.sign()
    assert sorted(world.asked) == ["a", "b", "c"]
    world.all["c"].down = False
    assert await world.sign() == "c"
