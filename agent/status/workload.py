# SPDX-License-Identifier: Apache-2.0
"""The application's health as the control plane is told of it: readinessProbe, asked in a loop.

``Verdicts`` is pure: results in, changes out. ``WorkloadHealth`` waits and asks. Only changes are told.
Source: spec/agent.md 4.8; peer: status/../health/workload_probe.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import NoReturn, assert_never

import mesh.log
from agent.http1 import RequestFailed
from agent.status.options import CallOptions
from agent.status.probers import Exec, GrpcCheck, HealthProbe, HttpGet, TcpSocket
from agent.status.probing import Probing
from mesh.clock import Clock

log = mesh.log.get("healthcheck")

USER_AGENT = "istio-probe/1.0"


class Verdict(Enum):
    """What the control plane was told last."""

    NOTHING = auto()
    HEALTHY = auto()
    UNHEALTHY = auto()


class Verdicts:
    """Thresholds: so many results of a kind in a row make a change."""

    def __init__(self, *, success: int, failure: int) -> None:
        self.told = Verdict.NOTHING
        self._thresholds = {Verdict.HEALTHY: success, Verdict.UNHEALTHY: failure}
        self._kind = Verdict.NOTHING
        self._in_a_row = 0

    def on_result(self, fault: str) -> Verdict | None:
        """The change to tell, if this result makes one."""
        kind = Verdict.UNHEALTHY if fault else Verdict.HEALTHY
        self._in_a_row = self._in_a_row + 1 if kind is self._kind else 1
        self._kind = kind
        if self._in_a_row != self._thresholds[kind] or kind is self.told:
            return None
        self.told = kind
        return kind


class WorkloadHealth:
    """``run`` asks until cancelled; ``report`` is told the fault, or None for healthy."""

    def __init__(
        self,
        probe: HealthProbe,
        options: CallOptions,
        report: Callable[[str | None], None],
        *,
        first: Callable[[], Awaitable[str]] | None,
        clock: Clock,
    ) -> None:
        self._probe = probe
        self._probing = Probing(options)
        self._report = report
        self._first = first
        """Asked before the application: Envoy's readiness, where there is an Envoy."""
        self._clock = clock
        self._verdicts = Verdicts(success=probe.success_threshold, failure=probe.failure_threshold)

    async def run(self) -> NoReturn:
        await self._clock.sleep(self._probe.initial_delay)
        while True:
            self._take(await self._fault())
            await self._clock.sleep(self._probe.period)

    def status(self) -> str:
        """What the control plane was told last, in a word."""
        return self._verdicts.told.name.lower()

    def _take(self, fault: str) -> None:
        match self._verdicts.on_result(fault):
            case Verdict.HEALTHY:
                log.info("workload is healthy")
                self._report(None)
            case Verdict.UNHEALTHY:
                log.warning("workload is unhealthy", why=fault)
                self._report(fault)
            case _:
                pass

    async def _fault(self) -> str:
        if self._first is not None and (fault := await self._first()):
            return fault
        action, timeout = self._probe.prober.action, self._probe.prober.timeout
        match action:
            case HttpGet():
                return await self._http(action, timeout)
            case TcpSocket():
                return await self._probing.tcp(action, timeout=timeout)
            case GrpcCheck():
                return await self._probing.grpc(action, timeout=timeout, user_agent=USER_AGENT)
            case Exec():
                return await self._probing.command(action, timeout=timeout)
            case _:
                assert_never(action)

    async def _http(self, action: HttpGet, timeout: float) -> str:
        headers = list(action.headers)
        if not any(name.lower() == "user-agent" for name, _ in headers):
            headers.append(("User-Agent", USER_AGENT))
        try:
            # peer: certificates are checked here, unlike in the kubelet's probes
            probing = self._probing.http(action, headers, timeout=timeout, verify=True)
            async with probing as answer:
                healthy = 200 <= answer.status < 400
                return (
                    ""
                    if healthy
                    else f"status code was not from [200,400), bad code {answer.status}"
                )
        except RequestFailed as error:
            return str(error)
