# SPDX-License-Identifier: Apache-2.0
"""Questions to Envoy's admin port on loopback. Effects only. Source: spec/agent.md 3.5; peer: pkg/envoy/admin.go."""

from __future__ import annotations

from agent import http1
from agent.envoy import stats
from agent.envoy.command import split_log_levels
from agent.envoy.options import AdminOptions
from mesh.errors import EnvoyFailed

DRAIN_TIMEOUT = 60.0
"""The peer waits for ever; an Envoy that hangs for a minute will not answer at all."""
COUNT_TIMEOUT = 2.0
COUNT_TARGET = "/stats?usedonly&filter=downstream_cx_active$"


class EnvoyAdmin:
    """The admin port of one Envoy."""

    def __init__(self, options: AdminOptions, *, socket: str = "") -> None:
        self._options = options
        self._via = http1.Via(path=socket) if socket else http1.PLAIN
        self._ignored = stats.own_listeners(options.own_ports)

    def at(self, socket: str) -> EnvoyAdmin:
        """Another Envoy's, which listens on a unix socket."""
        return EnvoyAdmin(self._options, socket=socket)

    async def set_levels(self, levels: str) -> None:
        """Change Envoy's own log levels, ``level,component:level...``, until it ends. Raises EnvoyFailed."""
        split = split_log_levels(levels)
        queries = [f"level={split.level}"] if split.level else []
        queries += [f"paths={split.components}"] if split.components else []
        for query in queries:
            reply = await self._ask(f"/logging?{query}", "POST", COUNT_TIMEOUT)
            if reply.status != 200:
                raise EnvoyFailed(f"envoy refuses the log levels: {reply.text.strip()[:200]}")

    async def get(self, path: str, *, timeout: float) -> str:
        """The body at ``path``. Raises EnvoyFailed, also for a status other than 200."""
        reply = await self._ask(path, "GET", timeout)
        if reply.status != 200:
            raise EnvoyFailed(f"unexpected status code: {reply.status}")
        return reply.text

    async def drain(self, *, skip_exit: bool = False, timeout: float = DRAIN_TIMEOUT) -> None:
        """Let listeners finish; the answer's status says nothing. Raises EnvoyFailed where none comes."""
        query = "inboundonly&graceful" if self._options.inbound_only else "graceful"
        query += "&skip_exit" if skip_exit else ""
        await self._ask(f"/drain_listeners?{query}", "POST", timeout)

    async def active_connections(self) -> int:
        """Open connections of the application; ``stats.NO_DATA`` for an empty answer. Raises EnvoyFailed."""
        text = await self.get(COUNT_TARGET, timeout=COUNT_TIMEOUT)
        return stats.active_connections(text, self._ignored)

    async def _ask(self, path: str, method: str, timeout: float) -> http1.Reply:
        target = http1.Target(self._options.host, self._options.port, path, method)
        try:
            return await http1.ask(target, timeout=timeout, via=self._via)
        except http1.RequestFailed as error:
            raise EnvoyFailed(error.why) from None
