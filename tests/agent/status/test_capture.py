# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agent.status.capture import LOOK_EVERY, Captured, CaptureProbe, Verdict
from tests.support.clock import FakeClock
from tests.support.netns import Netns, needs_netns

ADDRESSES = {"10.9.0.5": "127.0.0.1", "2001:db8:9::5": "::1"}

INSIDE = """
import asyncio, os, socket, sys
from agent.status.capture import CaptureProbe
address, loopback, listens = sys.argv[1:]
if listens == "yes":
    family = socket.AF_INET6 if ":" in loopback else socket.AF_INET
    listener = socket.create_server((loopback, 15006), family=family)
os.setgid(1337)
os.setuid(1337)
print(*asyncio.run(CaptureProbe(wanted=True, address=address).ask()), sep="|")
"""


def seen(netns: Netns, address: str, *, listens: str = "yes") -> str:
    words = [sys.executable, "-c", INSIDE, address, ADDRESSES[address], listens]
    return netns.must(*words).strip().partition("|")[0]


@needs_netns
@pytest.mark.parametrize("mode", ["REDIRECT", "TPROXY"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_the_kernel_with_and_without_rules(tmp_path: Path, mode: str, address: str) -> None:
    with Netns([f"{address}/{128 if ':' in address else 32}"], [], tmp_path) as netns:
        assert seen(netns, address) == Verdict.NOT_CAPTURED
        program = [sys.executable, "-m", "iptables.cli", "-i", "*", "-b", "*", "-m", mode]
        done = netns.run(program, env={"INSTANCE_IP": address})
        assert done.returncode == 0, done.stderr
        assert seen(netns, address) == Verdict.CAPTURED
        assert seen(netns, address, listens="no") == Verdict.UNKNOWN


async def test_nothing_is_asked_where_nothing_is_wanted_or_can_be_seen() -> None:
    verdict, why = await CaptureProbe(wanted=False, address="10.0.0.1").ask()
    assert (verdict, why) == (Verdict.OFF, "interception mode is NONE")
    verdict, why = await CaptureProbe(wanted=True, address="10.0.0.1", uid=os.geteuid() + 1).ask()
    assert verdict is Verdict.UNKNOWN
    assert "only user" in why


class Scripted:
    """Answers in turn."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.address = "10.0.0.1"
        self.left = list(verdicts)

    async def ask(self) -> tuple[Verdict, str]:
        return self.left.pop(0), ""


async def test_an_answer_holds_for_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    captured = Captured(Scripted(Verdict.CAPTURED, Verdict.NOT_CAPTURED, Verdict.NOT_CAPTURED), clock)  # type: ignore[arg-type]  # fmt: skip
    assert (await captured.status())["verdict"] == "captured"
    await clock.advance(LOOK_EVERY - 1)
    assert (await captured.status())["verdict"] == "captured"
    for _ in range(2):
        await clock.advance(LOOK_EVERY)
        assert (await captured.status())["verdict"] == "not captured"
    said = capsys.readouterr()
    assert (said.out + said.err).count("passes by envoy") == 1
