# SPDX-License-Identifier: Apache-2.0
"""A real Envoy as the proxy's user: what it may not do any more, and that it is reaped all the same."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.envoy.options import ProcessOptions
from agent.envoy.process import EnvoyProcess
from mesh.ports import PROXY_UID
from tests.support.envoy import find_envoy

pytestmark = [pytest.mark.envoy, pytest.mark.root]


@pytest.fixture
def envoy() -> Iterator[str]:
    """A copy where another user may run it; test directories are root's alone."""
    with tempfile.TemporaryDirectory(prefix="envoy-uid-") as folder:
        Path(folder).chmod(0o755)
        copy = Path(folder) / "envoy"
        shutil.copy(find_envoy(), copy)
        copy.chmod(0o755)
        yield str(copy)


def identity(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in lines)
    return {name: facts[name].split() for name in ("Uid", "Gid", "Groups", "CapEff")}


async def test_it_is_the_proxy_and_nothing_else(envoy: str) -> None:
    command = [envoy, "--disable-hot-restart", "--config-yaml", "admin: {}"]
    process = EnvoyProcess(ProcessOptions(uid=PROXY_UID), command)
    await process.start()
    try:
        async with asyncio.timeout(60):
            while (found := identity(process.pid))["Uid"] != [str(PROXY_UID)] * 4:
                await asyncio.sleep(0.01)
        assert found["Gid"] == [str(PROXY_UID)] * 4
        assert found["Groups"] == []
        assert int(found["CapEff"][0], 16) == 0
        assert process.alive
    finally:
        process.kill()
        assert await process.wait() == -9
