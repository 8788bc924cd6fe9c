# SPDX-License-Identifier: Apache-2.0
"""A whole sidecar for tests: the agent as a process, its real Envoy, a control plane and applications of the test.

Inbound traffic goes from the test through Envoy to ``app``, outbound traffic through Envoy to ``remote``; both speak
HTTP/1.1 on one port and gRPC on another.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from ctl.demo.processes import Program, Programs, free_ports, script
from tests.support.envoy import find_envoy
from tests.support.fakeads import FakeAds, fake_ads
from tests.support.meshed import cluster, listener
from wire import types

WAIT = 60.0


class Sidecar:
    """One agent and what surrounds it; ``inbound`` and ``outbound`` are Envoy's ports."""

    def __init__(self, directory: Path, ads: FakeAds, programs: Programs) -> None:
        self.directory = directory
        self.ads = ads
        self.programs = programs
        self.inbound, self.outbound, self.admin, self.status, *self._more = free_ports(
            "127.0.0.1", 6
        )
        self.agent: Program | None = None
        self.environment: dict[str, str] = {}

    def start(self, config: str = "", *, flags: Sequence[str] = (), **variables: str) -> None:
        ready, prometheus = self._more
        lines = [
            f"discoveryAddress: {self.ads.target}",
            "controlPlaneAuthPolicy: NONE",
            f"proxyAdminPort: {self.admin}",
            f"statusPort: {self.status}",
            f"binaryPath: {find_envoy()}",
            "concurrency: 2",
        ]
        self.environment = {
            "PROXY_CONFIG": "\n".join([*lines, config]),
            "POD_NAME": "web",
            "POD_NAMESPACE": "shop",
            "INSTANCE_IP": "127.0.0.1",
            "FILE_MOUNTED_CERTS": "true",
            "CLOUD_PLATFORM": "none",
            "ENVOY_STATUS_PORT": str(ready),
            "ENVOY_PROMETHEUS_PORT": str(prometheus),
            "PILOT_STATE_DIR": str(self.directory / "state"),
            **variables,
        }
        argv = [script("pilot-agent"), "proxy", "sidecar", *flags]
        self.agent = self.programs.start("agent", argv, cwd=self.directory, env=self.environment)

    @property
    def log(self) -> str:
        assert self.agent is not None
        return self.agent.log.read_text(errors="replace")

    async def ask(self, path: str, *, method: str = "GET", port: int = 0) -> tuple[int, str]:
        """Status and body; status 0 where nobody answers."""
        from agent import http1

        target = http1.Target("127.0.0.1", port or self.status, path, method)
        try:
            reply = await http1.ask(target, timeout=20)
        except http1.RequestFailed as error:
            return 0, error.why
        return reply.status, reply.text

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(WAIT):
            while not await holds():
                assert self.agent is not None
                self.agent.check()
                await asyncio.sleep(0.02)

    async def ready(self) -> None:
        async def is_ready() -> bool:
            return (await self.ask("/healthz/ready"))[0] == 200

        await self.until(is_ready)

    async def ended(self) -> int:
        """The agent's exit status."""
        assert self.agent is not None
        return await asyncio.to_thread(self.agent.wait, WAIT)

    async def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``pilot-agent`` beside the running one."""
        return await asyncio.to_thread(
            subprocess.run,
            [script("pilot-agent"), *words],
            cwd=self.directory,
            env={"PATH": os.defpath, **self.environment},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def envoys(self) -> list[int]:
        """Pids of the agent's Envoys."""
        import psutil

        assert self.agent is not None
        children = psutil.Process(self.agent.pid).children()
        return [child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE]


@asynccontextmanager
async def sidecar(
    directory: Path, upstreams: Mapping[str, tuple[int, int]]
) -> AsyncIterator[Sidecar]:
    """``upstreams``: ``app`` and ``remote``, each with its HTTP/1.1 and its gRPC port. Not started yet."""
    assert sys.platform == "linux"
    ads = FakeAds()
    async with fake_ads(ads):
        (directory / "logs").mkdir(parents=True)
        token = directory / "var/run/secrets/tokens/istio-token"
        token.parent.mkdir(parents=True)
        token.write_text("a.token.of-a-test")
        with _no_orphans(directory), Programs(directory / "logs") as programs:
            made = Sidecar(directory, ads, programs)
            ads.resources[types.CLUSTER] = {
                name: each
                for kind, (plain, grpc_port) in upstreams.items()
                for name, each in {
                    kind: cluster(kind, plain),
                    f"{kind}-grpc": cluster(f"{kind}-grpc", grpc_port, http2=True),
                }.items()
            }
            ads.resources[types.LISTENER] = {
                "in": listener("in", made.inbound, "app", inbound=True),
                "out": listener("out", made.outbound, "remote", inbound=False),
            }
            yield made


@contextmanager
def _no_orphans(directory: Path) -> Iterator[None]:
    """An agent that was killed cannot end its Envoy: whatever still runs in ``directory`` is killed behind it."""
    import psutil

    try:
        yield
    finally:
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.cwd() == str(directory.resolve()):
                    process.kill()
                    process.wait(30)
