# SPDX-License-Identifier: Apache-2.0
"""Asks what readiness depends on and says the first fault. Effects only: the rules are ``ready``'s and ``grpc_files``'.

Source: spec/agent.md 9.2: Envoy, then the proxyless bootstrap, then further probes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import mesh.log
from agent.status.grpc_files import files_of
from agent.status.ready import CONFIG_QUERY, LIVE_QUERY, EnvoyProbe, facts
from mesh.errors import EnvoyFailed

log = mesh.log.get()


class AdminApi(Protocol):
    """Envoy's admin port, as far as readiness asks it."""

    async def get(self, path: str, *, timeout: float) -> str:
        """The body. Raises EnvoyFailed."""


class Health:
    """Readiness of one agent. ``check`` may be called by several requests at once."""

    def __init__(
        self,
        admin: AdminApi | None,
        *,
        grpc_bootstrap: str = "",
        extra: Sequence[Callable[[], str]] = (),
        stopped: Callable[[], str] = lambda: "",
        on_live: Callable[[], None] = lambda: None,
    ) -> None:
        self.fault = "not asked yet"
        """What the last check found; empty: ready."""
        self._admin = admin
        self._probe = EnvoyProbe()
        self._grpc_bootstrap = grpc_bootstrap
        self._grpc_files: tuple[str, ...] | None = None
        self._extra = extra
        self._stopped = stopped
        """The cause of the agent's end, once that has begun."""
        self._on_live = on_live

    async def check(self) -> str:
        """Why traffic should not come; empty: it may."""
        fault = (
            await self._envoy()
            or self._grpc()
            or next(filter(None, (p() for p in self._extra)), "")
        )
        if fault != self.fault:
            if fault:
                log.warning("not ready", why=fault)
            else:
                log.info("ready")
        self.fault = fault
        return fault

    def forget_envoy(self) -> None:
        """Another Envoy answers from now on, or none: what the last one was is no news of it."""
        self._probe = EnvoyProbe()

    async def envoy_facts(self) -> dict[str, object]:
        """What Envoy says of itself now, whatever it said before."""
        if self._admin is None:
            return {"state": "disabled"}
        try:
            config, life = [
                await self._admin.get(query.target, timeout=query.timeout)
                for query in (CONFIG_QUERY, LIVE_QUERY)
            ]
            return {**facts(config, life), **await self._server_info()}
        except EnvoyFailed as error:
            return {"state": "not answering", "why": error.why}
        except ValueError as error:
            return {"state": "unknown", "why": str(error)}

    async def _server_info(self) -> dict[str, object]:
        """Version, age and epoch; nothing where Envoy does not say."""
        if self._admin is None:
            return {}
        try:
            info = json.loads(await self._admin.get("/server_info", timeout=1.0))
            options = info.get("command_line_options", {})
            return {
                "version": info["version"],
                "uptime": float(str(info["uptime_current_epoch"]).rstrip("s")),
                "restartEpoch": options.get("restart_epoch", 0),
                "drainTime": options.get("drain_time", ""),
            }
        except (EnvoyFailed, ValueError, KeyError, AttributeError, TypeError):
            return {}

    async def _envoy(self) -> str:
        if self._admin is None:
            return ""
        while (query := self._probe.query()) is not None:
            stage = self._probe.stage
            try:
                text = await self._admin.get(query.target, timeout=query.timeout)
            except EnvoyFailed as error:
                return f"failed to get {stage.name.lower()} stats: {error.why}"
            if self._probe.stage is not stage:
                continue  # another request got the answer meanwhile
            if fault := self._probe.on_stats(text, terminated=self._stopped()):
                return fault
            if self._probe.query() is None:
                self._on_live()
        return ""

    def _grpc(self) -> str:
        if not self._grpc_bootstrap:
            return ""
        if self._grpc_files is None:
            try:
                self._grpc_files = files_of(Path(self._grpc_bootstrap).read_text())
            except (OSError, ValueError) as error:
                return f"failed loading gRPC bootstrap: {error}"
        missing = next((path for path in self._grpc_files if not os.path.exists(path)), None)
        return f"gRPC bootstrap: {missing} does not exist" if missing else ""
