# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

from agent.status.health import Health
from mesh.errors import EnvoyFailed

CONFIG = "cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\n"
ALL = f"{CONFIG}server.state: 0\nlistener_manager.workers_started: 1\n"


class Admin:
    """An admin port that says a text, or fails."""

    def __init__(self, text: str = "", why: str = "") -> None:
        self.text = text
        self.why = why
        self.asked: list[str] = []

    async def get(self, path: str, *, timeout: float) -> str:
        assert timeout > 0
        self.asked.append(path)
        if self.why:
            raise EnvoyFailed(self.why)
        return self.text


async def test_ready_once_stays_ready_and_asks_no_more() -> None:
    live: list[bool] = []
    admin = Admin("")
    health = Health(admin, on_live=lambda: live.append(True))
    assert "config not received" in await health.check()
    admin.text = ALL
    assert await health.check() == ""
    admin.why, asked = "connection refused", len(admin.asked)
    assert await health.check() == ""
    assert (health.fault, live, len(admin.asked)) == ("", [True], asked)


async def test_an_admin_port_that_fails_is_the_reason() -> None:
    health = Health(Admin(why="connection refused"))
    assert await health.check() == "failed to get config stats: connection refused"


async def test_an_end_that_has_begun() -> None:
    health = Health(Admin(ALL), stopped=lambda: "terminated")
    assert await health.check() == "server is terminated: terminated"


async def test_the_first_fault_of_the_further_probes_counts() -> None:
    faults = ["", "dns is not ready"]
    health = Health(None, extra=[lambda: faults[0], lambda: faults[1]])
    assert await health.check() == "dns is not ready"
    faults[1] = ""
    assert await health.check() == ""


async def test_the_proxyless_bootstrap_and_its_files(tmp_path: Path) -> None:
    path, key = tmp_path / "bootstrap.json", tmp_path / "key.pem"
    health = Health(None, grpc_bootstrap=str(path))
    assert (await health.check()).startswith("failed loading gRPC bootstrap")
    provider = {"plugin_name": "file_watcher", "config": {"private_key_file": str(key)}}
    path.write_text(json.dumps({"certificate_providers": {"default": provider}}))
    assert await health.check() == f"gRPC bootstrap: {key} does not exist"
    key.touch()
    assert await health.check() == ""
    path.write_text("loaded once, not again")
    assert await health.check() == ""
    key.unlink()
    assert "does not exist" in await health.check()


async def test_bad_json_in_the_bootstrap(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap.json"
    path.write_text("{")
    health = Health(None, grpc_bootstrap=str(path))
    assert (await health.check()).startswith("failed loading gRPC bootstrap")


async def test_what_envoy_says_of_itself() -> None:
    facts = await Health(Admin(ALL)).envoy_facts()
    assert facts == {
        "cds": {"accepted": 1, "rejected": 0},
        "lds": {"accepted": 1, "rejected": 0},
        "state": "LIVE",
        "workersStarted": True,
    }
    assert await Health(None).envoy_facts() == {"state": "disabled"}
    silent = await Health(Admin(why="refused")).envoy_facts()
    assert silent == {"state": "not answering", "why": "refused"}
    assert (await Health(Admin("server.state: x")).envoy_facts())["state"] == "unknown"
