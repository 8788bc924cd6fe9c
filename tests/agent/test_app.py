# SPDX-License-Identifier: Apache-2.0
"""The whole agent with its real Envoy: how Envoy dies, comes back, is told things, and what the log is."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from agent import http1
from tests.support.load import upstream
from tests.support.sidecar import Sidecar, sidecar

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_crash_is_forgiven_and_readiness_begins_anew(
    short_tmp: Path, number: signal.Signals
) -> None:
    async with upstream() as app, sidecar(short_tmp / "pod", {"app": app, "remote": app}) as pod:
        pod.start(PILOT_ENVOY_RESTARTS="1", PILOT_ENVOY_RESTART_BACKOFF="1s")
        await pod.ready()
        (first,) = pod.envoys()
        os.kill(first, number)

        async def is_unready() -> bool:
            return (await pod.ask("/healthz/ready"))[0] == 503

        await pod.until(is_unready)
        await pod.ready()
        (second,) = pod.envoys()
        assert second != first
        os.kill(second, number)
        assert await pod.ended() == 255, "the budget is used up"
        assert pod.log.count("envoy exited with error") == 2


async def test_a_death_is_the_end_by_default(short_tmp: Path) -> None:
    async with upstream() as app, sidecar(short_tmp / "pod", {"app": app, "remote": app}) as pod:
        pod.start()
        await pod.ready()
        os.kill(pod.envoys()[0], signal.SIGKILL)
        assert await pod.ended() == 0
        assert "why=signal: killed" in pod.log


async def test_one_log_in_one_form_from_the_first_byte(short_tmp: Path) -> None:
    async with upstream() as app, sidecar(short_tmp / "pod", {"app": app, "remote": app}) as pod:
        flags = ("--log_as_json", "--proxyLogLevel", "info")
        pod.start(PILOT_ENVOY_LOG="agent", flags=flags)
        await pod.ready()
        await levels_change(pod)
        assert pod.agent is not None
        os.kill(pod.agent.pid, signal.SIGTERM)
        await pod.ask("/quitquitquit", method="POST")
        assert await pod.ended() == 0
        lines = [json.loads(line) for line in pod.log.splitlines()]
    scopes = {line["scope"] for line in lines}
    assert {"default", "envoy"} <= scopes
    assert all({"time", "level", "msg"} <= line.keys() for line in lines)
    early = next(line for line in lines if line["scope"] == "envoy")
    assert early["component"] == "main"


async def levels_change(pod: Sidecar) -> None:
    """Envoy's own, through the agent."""
    token = (pod.directory / "state/admin.token").read_text().strip()
    socket = str(pod.directory / "etc/istio/proxy/ADMIN")
    reply = await http1.ask(
        http1.Target("localhost", 80, "/api/v1/logs/levels", "POST"),
        timeout=30,
        headers=(("Authorization", f"Bearer {token}"),),
        body=json.dumps({"envoy": "warning,upstream:debug"}).encode(),
        via=http1.Via(path=socket),
    )
    assert reply.status == 200, reply.text
    _, text = await pod.ask("/logging", method="POST", port=pod.admin)
    found = dict(line.strip().split(": ") for line in text.splitlines() if ": " in line)
    assert (found["upstream"], found["config"]) == ("debug", "warning")
