# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import sys

import pytest
from aiohttp import web

from agent.status.options import CallOptions
from agent.status.probers import Action, Exec, HealthProbe, HttpGet, Prober
from agent.status.workload import Verdict, Verdicts, WorkloadHealth
from tests.support.apps import http_app

HEALTHY, UNHEALTHY = Verdict.HEALTHY, Verdict.UNHEALTHY


@pytest.mark.parametrize(
    ("success", "failure", "faults", "told"),
    [
        (1, 1, "..x.xx", [HEALTHY, None, UNHEALTHY, HEALTHY, UNHEALTHY, None]),
        (2, 2, ".x.xx..", [None, None, None, None, UNHEALTHY, None, HEALTHY]),
        (1, 3, "xxxx", [None, None, UNHEALTHY, None]),
        (1, 2, ".x.xx", [HEALTHY, None, None, None, UNHEALTHY]),
    ],
)
def test_only_changes_are_told(
    success: int, failure: int, faults: str, told: list[Verdict | None]
) -> None:
    verdicts = Verdicts(success=success, failure=failure)
    assert [verdicts.on_result("" if each == "." else each) for each in faults] == told


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
        if len(self.slept) > self._rounds:
            raise asyncio.CancelledError


async def told(
    action: Action, *, rounds: int = 1, envoy: str = "", period: float = 10.0
) -> tuple[list[str | None], Rounds]:
    """What was reported in so many rounds."""
    reports: list[str | None] = []
    clock = Rounds(rounds)

    async def first() -> str:
        return envoy

    probe = HealthProbe(Prober(action, 10.0), initial_delay=3.0, period=period)
    options = CallOptions(host="127.0.0.1")
    health = WorkloadHealth(probe, options, reports.append, first=first, clock=clock)
    with pytest.raises(asyncio.CancelledError):
        await health.run()
    return reports, clock


async def test_an_application_that_is_well_then_ill_then_well() -> None:
    statuses = [200, 302, 500, 500, 399]
    agents: list[str | None] = []

    async def app(request: web.BaseRequest) -> web.Response:
        agents.append(request.headers.get("User-Agent"))
        return web.Response(status=statuses[len(agents) - 1])

    async with http_app(app) as port:
        reports, clock = await told(HttpGet(port, headers=(("X", "y"),)), rounds=5, period=7.0)
    assert reports == [None, "status code was not from [200,400), bad code 500", None]
    assert clock.slept == [3.0, 7.0, 7.0, 7.0, 7.0, 7.0]
    assert set(agents) == {"istio-probe/1.0"}


async def test_envoy_comes_first() -> None:
    reports, _ = await told(Exec((sys.executable, "-c", "")), envoy="workers have not yet started")
    assert reports == ["workers have not yet started"]


async def test_a_command() -> None:
    reports, _ = await told(Exec((sys.executable, "-c", "exit(2)")))
    assert reports == ["command ended with status 2"]
