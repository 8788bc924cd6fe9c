# SPDX-License-Identifier: Apache-2.0
"""How the captured cluster differs; the whole of it is in test_story."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from ctl.demo.captured import SERVICE, CapturedCluster
from ctl.demo.node import Node
from ctl.demo.processes import Programs


@pytest.fixture
async def cluster(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CapturedCluster]:
    monkeypatch.setattr(Node, "prepare", lambda self, port: None)
    monkeypatch.setattr(Node, "inside", lambda self, name, uid=0: ["in", name, str(uid)])
    (short_tmp / "logs").mkdir()
    programs = Programs(short_tmp / "logs")
    made = CapturedCluster(short_tmp, short_tmp / "id", sys.executable, programs, backend="nft")
    yield made
    await made.close()


async def test_every_pod_has_the_same_ports_at_its_own_address(cluster: CapturedCluster) -> None:
    assert len({w.address for w in cluster.workloads}) == 3
    assert len({(w.app_port, w.admin_port, w.status_port) for w in cluster.workloads}) == 1
    assert "captured by nft" in cluster.title


async def test_the_service_has_an_address_and_nobody_a_sidecar_of_his_own(
    cluster: CapturedCluster,
) -> None:
    cluster.write_config()
    entry, _ = yaml.safe_load_all((cluster.config / "reviews.yaml").read_text())
    assert entry["spec"]["addresses"] == [SERVICE]
    assert not list(cluster.config.glob("sidecar-*"))


async def test_capture_is_the_program_with_an_injectors_flags(cluster: CapturedCluster) -> None:
    words = cluster.capture_words(cluster.workloads[0], "--cleanup-only")
    assert words[:3] == ["in", "client", "0"]
    assert words[3].endswith("/istio-iptables")
    assert {"--proxy-uid=1337", "--istio-inbound-ports=*", "--istio-service-cidr=*"} < set(words)
    assert words[-2:] == ["--native-nftables", "--cleanup-only"]


async def test_proxy_and_app_are_different_users(cluster: CapturedCluster) -> None:
    workload = cluster.workloads[1]
    assert cluster.inside(workload, proxy=True) == ["in", "reviews-v1", "1337"]
    assert cluster.inside(workload, proxy=False) == ["in", "reviews-v1", "1000"]
    assert cluster.through(workload) == f"http://{workload.address}:3128"
    assert "nsenter --target" in cluster.hints()
