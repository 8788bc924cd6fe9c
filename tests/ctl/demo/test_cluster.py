# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from ctl.demo import cluster as module
from ctl.demo.cluster import Cluster, NotInTime, memory_directory
from ctl.demo.processes import ProgramEnded, Programs


@pytest.fixture
async def cluster(short_tmp: Path) -> AsyncIterator[Cluster]:
    (short_tmp / "logs").mkdir()
    made = Cluster(short_tmp, short_tmp / "identity", sys.executable, Programs(short_tmp / "logs"))
    yield made
    await made.close()


async def test_each_workload_has_ports_of_its_own(cluster: Cluster) -> None:
    everywhere = [
        port
        for w in cluster.workloads
        for port in (
            w.app_port,
            w.admin_port,
            w.status_port,
            w.envoy_status_port,
            w.prometheus_port,
        )
    ]
    assert len(set(everywhere)) == len(everywhere)
    assert len({w.address for w in cluster.workloads}) == 3


async def test_configuration_is_written_whole_and_the_canary_replaced(cluster: Cluster) -> None:
    cluster.write_config()
    objects = [
        one
        for path in sorted(cluster.config.glob("*.yaml"))
        for one in yaml.safe_load_all(path.read_text())
    ]
    kinds = {one["kind"] for one in objects}
    assert {"Sidecar", "ServiceEntry", "DestinationRule", "VirtualService"} <= kinds
    cluster.set_canary(0, 100)
    (http,) = yaml.safe_load((cluster.config / "canary.yaml").read_text())["spec"]["http"]
    assert [route["weight"] for route in http["route"]] == [0, 100]
    assert not [p for p in cluster.config.iterdir() if p.suffix != ".yaml"], "no temporary file"


async def test_waiting_ends_with_the_thing_or_says_why(cluster: Cluster, short_tmp: Path) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(NotInTime, match="the impossible"):
        await cluster.until("the impossible", 0.05, never)
    with cluster.programs as programs:
        ended = programs.start(
            "gone", [sys.executable, "-c", "raise SystemExit(4)"], cwd=short_tmp, env={}
        )
        ended.wait(10)
        with pytest.raises(ProgramEnded, match="status 4"):
            await cluster.until("the impossible", 10, never, [ended])


def test_memory_is_told_from_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kinds = {str(tmp_path): "ext4", "/dev/shm": "tmpfs"}
    monkeypatch.setattr(module, "_file_system", lambda path: kinds[path])
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: True)
    assert memory_directory() == Path("/dev/shm")
    kinds[str(tmp_path)] = "tmpfs"
    assert memory_directory() == tmp_path
    kinds.update({str(tmp_path): "overlay", "/dev/shm": "overlay"})
    assert memory_directory() is None
