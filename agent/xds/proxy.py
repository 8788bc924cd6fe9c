# SPDX-License-Identifier: Apache-2.0
"""The xDS part of the agent: Envoy's socket, the current stream, the store. Composition only.

Answers to spec/agent.md 4.1 and 4.2: one stream of an Envoy counts at a time; a new one ends the old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random

import mesh.log
from agent.xds.counts import Counts
from agent.xds.link import Upstream
from agent.xds.options import XdsOptions
from agent.xds.relay import INTERNAL, Relay, health_request
from agent.xds.session import LocalHandler, Session, retry_delays
from agent.xds.store import Store
from mesh.clock import Clock
from mesh.tasks import run_parts
from wire import types
from wire.h2io import Handler, Keepalive, Limits, Peer, Server, ServerCall
from wire.scan import Variant
from wire.types import TypeUrl

log = mesh.log.get("xdsproxy")

MAX_STREAMS = 100_000
"""The peer's limit on streams of one connection."""


class XdsProxy:
    """``run`` serves until cancelled; ``ready`` is set when the socket listens."""

    def __init__(
        self,
        options: XdsOptions,
        clock: Clock,
        *,
        local: Mapping[TypeUrl, LocalHandler] | None = None,
        rng: Random | None = None,
        seat: Callable[[int | None], int] | None = None,
        routes: Mapping[str, Handler] | None = None,
    ) -> None:
        self.ready = asyncio.Event()
        self._options = options
        self._clock = clock
        self._local = dict(local or {})
        self._rng = rng or Random()  # noqa: S311  spreads retries, keeps no secret
        self._counts = Counts()
        self._upstream = Upstream(options, clock)
        self._store = Store(options.store, clock) if options.store.enabled else None
        self._seat = seat or (lambda _: 0)
        """Which Envoy a process is: during a hot restart there are two, and each has a stream of its own."""
        self._routes = dict(routes or {})
        self._current: dict[int, Session] = {}
        """By seat; the newest last."""
        self._health: Mapping[Variant, bytes] = {}

    async def run(self) -> None:
        """Raises ``BadSetting`` where the socket cannot be made."""
        server = Server(
            {
                types.STREAM_AGGREGATED: lambda call: self._serve(call, Variant.SOTW),
                types.DELTA_AGGREGATED: lambda call: self._serve(call, Variant.DELTA),
                **self._routes,
            },
            limits=Limits(max_message=self._options.max_request, max_streams=MAX_STREAMS),
            keepalive=Keepalive(
                interval=self._options.keepalive_interval, timeout=self._options.keepalive_timeout
            ),
            admit=self._admit,
        )
        await server.bind_unix(self._options.socket)
        parts = {"xds server": server.serve()}
        if self._store is not None:
            await self._store.open()
            parts["xds store"] = self._store.run()
        self.ready.set()
        log.info("xds proxy listens", socket=self._options.socket, upstream=self._options.upstream)
        await run_parts(parts, stop=asyncio.Event())

    async def _serve(self, call: ServerCall, variant: Variant) -> None:
        session = Session(
            call,
            Relay(
                variant,
                injected=self._injected(),
                keep=self._store is not None,
                health=self._health.get(variant, b""),
            ),
            upstream=self._upstream,
            store=self._store,
            patience=self._options.store.patience,
            local=self._local,
            counts=self._counts,
            clock=self._clock,
            backoff=retry_delays(lambda backoff: backoff.delay(self._rng)),
        )
        seat = self._seat(call.peer.pid)
        if (former := self._current.pop(seat, None)) is not None:
            log.warning("a new stream of Envoy takes over; the old one is ended")
            former.end()
        self._current[seat] = session
        try:
            await session.run()
        finally:
            if self._current.get(seat) is session:
                del self._current[seat]

    def _injected(self) -> tuple[TypeUrl, ...]:
        """What the agent asks for itself, in the peer's order (4.4)."""
        wanted = (
            (types.NAME_TABLE, self._options.name_table),
            (types.PROXY_CONFIG, self._options.proxy_config_updates),
        )
        return tuple(type_url for type_url, on in wanted if on)

    def _admit(self, peer: Peer) -> str | None:
        allowed = self._options.uds_allow
        if allowed is None or peer.uid in allowed:
            return None
        return (
            f"uid {peer.uid} may not use the xDS socket; PILOT_UDS_ALLOW={peer.uid},... admits it"
        )

    def report_health(self, fault: str | None, *, code: int = INTERNAL) -> None:
        """The application's health changed; ``fault`` says why it is unhealthy.

        Told now and again on each new stream (4.8).
        """
        self._health = {variant: health_request(variant, fault, code) for variant in Variant}
        for session in list(self._current.values()):
            session.report_health(self._health[session.relay.variant])

    @property
    def source(self) -> str:
        """Where Envoy's configuration comes from: none, connecting, control plane or store."""
        newest = next(reversed(self._current.values()), None)
        return newest.source if newest else "none"

    def status(self) -> dict[str, object]:
        """For readiness detail and the admin endpoint."""
        status: dict[str, object] = {
            "source": self.source,
            "upstream": self._options.upstream,
            "types": self._counts.status(),
        }
        if self._store is not None:
            status["store"] = {
                "inMemory": self._store.in_memory,
                "resourcesWritten": self._store.written,
                "resourcesWithheld": self._store.withheld,
                "lastWrite": self._store.last_write,
                "ageSeconds": self._store_age(self._store),
            }
        return status

    def _store_age(self, store: Store) -> float | None:
        """How old the newest of what is stored is; None: nothing is."""
        written = store.last_write
        return None if written is None else round(max(0.0, self._clock.now() - written), 1)

    def push_counts(self) -> Mapping[str, Mapping[str, object]]:
        """Pushes by type, for the admin endpoint."""
        return self._counts.status()

    def metrics(self) -> str:
        """Prometheus text, the peer's names."""
        return self._counts.render()
