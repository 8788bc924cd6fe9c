# SPDX-License-Identifier: Apache-2.0
"""An admin endpoint of ours with facts that a test gives."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.admin.capture import told
from agent.admin.options import AdminEndpointOptions
from agent.admin.server import AdminServer
from mesh.clock import SystemClock
from mesh.errors import EnvoyFailed
from tests.support.http import running

PUSH = {"responses": 2, "bytes": 10, "at": 5.0, "acknowledged": 1, "refused": 1, "lastError": "bad"}


class Given:
    """Facts, to be changed at will."""

    def __init__(self) -> None:
        self.envoy_levels = ""
        self.status: dict[str, Any] = {
            "node": "sidecar~10.0.0.1~web.shop~shop.svc.cluster.local",
            "version": "test",
            "state": "RUNNING",
            "ready": {"ready": True, "fault": ""},
            "started": {"bootstrap": 0.4, "sds": 0.1, "xds": 0.1, "secret": 0.2},
            "workloadHealth": "not probed",
            "envoy": {"pid": 7, "state": "LIVE", "version": "1.40", "uptime": 12.0},
            "secrets": {"identity": "spiffe://a/ns/b/sa/c", "expires": 99, "last_error": ""},
            "xds": {
                "source": "control plane",
                "upstream": "istiod:15012",
                "types": {"CDS": dict(PUSH)},
            },
            "resources": {"agent": {"residentBytes": 30_000_000}},
            "probes": {
                "/app-health/app/readyz": {"asks": "GET http://pod:80/", "status": 200, "at": 5.0}
            },
            "capture": {"verdict": "captured", "why": "", "at": 5.0},
            "dns": {"enabled": False},
        }
        self.rows: list[Mapping[str, object]] = [
            {"name": "POD_NAME", "value": "web", "source": "environment"},
            {"name": "XDS_HEADER_A", "value": "canary", "source": "environment"},
        ]

    async def detail(self) -> Mapping[str, object]:
        return self.status

    def push_counts(self) -> Mapping[str, Mapping[str, Any]]:
        types = self.status["xds"]["types"]
        assert isinstance(types, dict)
        return types

    def settings(self) -> Sequence[Mapping[str, object]]:
        return self.rows

    def capture(self) -> Mapping[str, object]:
        return told({}, {}, status_port=15020, addresses=["10.0.0.1"])

    async def upgrade(self, binary: str) -> Mapping[str, object]:
        if binary != "/new":
            raise EnvoyFailed("cannot run it")
        return {"binary": binary, "epoch": 1, "pid": 8}

    async def set_envoy_levels(self, levels: str) -> None:
        if levels == "loud":
            raise EnvoyFailed("envoy refuses the log levels")
        self.envoy_levels = levels

    def metrics(self) -> str:
        return "# TYPE istio_agent_x counter\nistio_agent_x 1\n"


class Admin:
    """A running endpoint."""

    def __init__(self, server: AdminServer, facts: Given, directory: Path) -> None:
        self.server = server
        self.facts = facts
        self.socket = str(directory / "ADMIN")
        self.token_file = directory / "admin.token"

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()


@contextlib.asynccontextmanager
async def admin(directory: Path, *, tcp: bool = False) -> AsyncIterator[Admin]:
    """Served on a socket in the directory, and on a free port."""
    facts = Given()
    options = AdminEndpointOptions(
        socket=str(directory / "ADMIN"),
        host="127.0.0.1" if tcp else "",
        token_file=str(directory / "admin.token"),
    )
    server = AdminServer(options, facts, SystemClock(), version="test")
    assert await server.bind()
    async with running(server):
        yield Admin(server, facts, directory)
