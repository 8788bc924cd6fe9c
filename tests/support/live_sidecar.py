# SPDX-License-Identifier: Apache-2.0
"""A real sidecar: our agent with real Envoy, our control plane and an application behind it, as the demo has them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctl.demo import topology
from ctl.demo.cluster import DRAIN, Cluster
from ctl.demo.processes import Program, Programs, script
from ctl.demo.topology import Workload

PATIENCE = 90.0


class Sidecar:
    """One workload of the demo, its agent running."""

    def __init__(self, workload: Workload, home: Path, agent: Program, config: Path) -> None:
        self.workload = workload
        self.config = config
        self.home = home
        self.agent = agent

    @property
    def socket(self) -> str:
        return str(self.home / "etc/istio/proxy/ADMIN")

    @property
    def token_file(self) -> Path:
        return self.home / "state/admin.token"

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()

    @property
    def log(self) -> str:
        return self.agent.log.read_text(errors="replace")

    def change_config(self) -> None:
        """Save another traffic split, which the control plane pushes."""
        fresh = self.config / "canary.yaml.new"
        fresh.write_text(topology.canary_yaml(50, 50))
        fresh.replace(self.config / "canary.yaml")

    def admin_port(self) -> int:
        """The TCP port that the admin endpoint got."""
        found = self.waited(r"admin endpoint listens.*port=(\d+)")
        return int(found[1])

    def waited(self, pattern: str) -> re.Match[str]:
        """The first place in the agent's log that fits."""
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self.log)) is None:
            self.agent.check()
            assert time.monotonic() < deadline, f"{pattern} is not in the log:\n{self.log}"
            time.sleep(0.05)
        return found


@contextlib.contextmanager
def sidecar(
    directory: Path,
    env: Mapping[str, str] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    flags: Sequence[str] = (),
) -> Iterator[Sidecar]:
    """Ready for traffic; ``env`` is added to the agent's own environment, ``config`` to its ProxyConfig."""
    (directory / "logs").mkdir()
    with Programs(directory / "logs") as programs:
        yield asyncio.run(_started(directory, programs, dict(env or {}), config or {}, flags))


async def _started(
    directory: Path,
    programs: Programs,
    env: dict[str, str],
    config: Mapping[str, Any],
    flags: Sequence[str],
) -> Sidecar:
    async with _cluster(directory, programs) as cluster:
        cluster.write_config()
        await cluster.start_upstream()
        workload = cluster.workloads[0]
        home = directory / workload.name
        cluster._provision(workload, home)
        given = topology.agent_environment(
            workload,
            discovery=cluster.addresses["secure_grpc"],
            envoy=cluster.envoy,
            drain=DRAIN,
            ttl="1h",
            state=str(home / "state"),
            identity="",
        )
        given["PROXY_CONFIG"] = json.dumps({**json.loads(given["PROXY_CONFIG"]), **config})
        argv = [script("pilot-agent"), "proxy", "sidecar", *flags]
        agent = programs.start(workload.name, argv, cwd=home, env=given | env)

        async def ready() -> bool:
            return await cluster.ready(workload)

        await cluster.until("the sidecar's readiness", PATIENCE, ready, [agent])
        return Sidecar(workload, home, agent, cluster.config)


@contextlib.asynccontextmanager
async def _cluster(directory: Path, programs: Programs) -> AsyncIterator[Cluster]:
    cluster = Cluster(directory, directory / "identity", "", programs)
    try:
        yield cluster
    finally:
        await cluster.close()
