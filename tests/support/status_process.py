# SPDX-License-Identifier: Apache-2.0
"""A status server of ours in a process of its own, so that its memory can be seen: run, and started by ``running``.

    python -m tests.support.status_process ENVOY_PORT COLLISIONS APP_PORT...

prints its port. The process ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from agent.status.options import StatusOptions
from agent.status.prometheus import Collisions, ScrapeOptions, ScrapeTarget
from tests.support.needs import REPO

MIB = 2**20


class StatusProcess(NamedTuple):
    """A running one."""

    pid: int
    port: int

    def forget_peak(self) -> int:
        """Count the peak anew; what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self._kilobytes("VmRSS") * 1024

    def peak(self) -> int:
        """The most that was resident since then."""
        return self._kilobytes("VmHWM") * 1024

    def _kilobytes(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1])


@contextlib.asynccontextmanager
async def running(
    envoy: int, *apps: int, collisions: Collisions = Collisions.AUTO
) -> AsyncIterator[StatusProcess]:
    argv = [sys.executable, "-m", "tests.support.status_process"]
    process = await asyncio.create_subprocess_exec(
        *(*argv, str(envoy), str(collisions), *map(str, apps)),
        cwd=REPO,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            port = int((await process.stdout.readline()).split()[-1])
        yield StatusProcess(process.pid, port)
    finally:
        process.stdin.close()
        async with asyncio.timeout(60):
            await process.wait()


async def main(words: list[str]) -> None:
    from tests.support.status import status_server

    targets = tuple(ScrapeTarget(port, "/m") for port in words[2:])
    scrape = ScrapeOptions(
        envoy_port=int(words[0]), targets=targets, collisions=Collisions(words[1])
    )
    async with status_server(StatusOptions(scrape=scrape)) as rig:
        print("port", rig.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    import mesh.log

    mesh.log.configure(stream=sys.stderr)
    asyncio.run(main(sys.argv[1:]))
