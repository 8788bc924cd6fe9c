# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from agent.status.notify import Notifier


class Rounds:
    """A clock whose sleeps return at once, until there were enough of them."""

    def __init__(self, rounds: int) -> None:
        self.slept: list[float] = []
        self._rounds = rounds

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) >= self._rounds:
            raise asyncio.CancelledError


async def told(path: str, faults: list[str], *, watchdog: float = 0.0) -> Rounds:
    clock = Rounds(len(faults))
    left = list(faults)

    async def check() -> str:
        return left.pop(0)

    with pytest.raises(asyncio.CancelledError):
        await Notifier(path, watchdog=watchdog, check=check, clock=clock).run()
    return clock


def heard(sock: socket.socket) -> list[str]:
    sock.setblocking(False)
    said = []
    while True:
        try:
            said.append(sock.recv(1000).decode())
        except BlockingIOError:
            return said


@pytest.mark.parametrize("abstract", [False, True])
async def test_a_life(short_tmp: Path, *, abstract: bool) -> None:
    path = f"@pilothouse-test-{short_tmp.name}" if abstract else str(short_tmp / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + path[1:] if abstract else path)
        clock = await told(path, ["no config\nmore", "no config\nmore", "", "", "drained"])
        assert heard(sock) == [
            "STATUS=starting",
            "STATUS=no config",
            "READY=1",
            "STATUS=ready",
            "STATUS=drained",
            "STOPPING=1",
        ]
    assert clock.slept == [1.0] * 5


async def test_the_watchdog_is_fed_twice_as_often_as_it_asks(short_tmp: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(short_tmp / "notify"))
        clock = await told(str(short_tmp / "notify"), ["", ""], watchdog=0.5)
        assert heard(sock).count("WATCHDOG=1") == 2
    assert clock.slept == [0.25, 0.25]


async def test_nobody_listens(short_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await told(str(short_tmp / "nobody"), ["", "x"])
    assert capsys.readouterr().out.count("service manager does not listen") == 1
