# SPDX-License-Identifier: Apache-2.0
"""The aggregated discovery service: one task reads a stream's requests, one answers and pushes.

Answers and pushes of a stream are never interleaved, and requests go before pushes. What is sent is decided in
``watch`` and ``diff``; this file waits, sends and says so. Source: spec/upstream.md 2.4-2.8, 3.6, 10.3, 17.1.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from mesh import log
from mesh.clock import Clock
from mesh.tasks import first_error
from upstream import asks, diff, envelope
from upstream.asks import Ask
from upstream.auth import Caller
from upstream.connections import Connection, Connections, Variant
from upstream.diff import Scope, Update
from upstream.envelope import Label, Piece
from upstream.gate import Gate
from upstream.metrics import Metric, Metrics
from upstream.queue import PushRequest
from upstream.scope import concerns
from upstream.snapshot import Snapshot
from upstream.watch import EDS, WARMED_BY, Answer, Quiet, Watch, Why, push_order, short
from wire.h2.grpc import Code, RpcError, Status
from wire.h2io import ServerCall

SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
SOTW_PATH = SERVICE + "StreamAggregatedResources"
DELTA_PATH = SERVICE + "DeltaAggregatedResources"
INBOX = 64
"""Requests that wait on a stream before its reading stops."""
PATIENCE = 1.0
"""Seconds that a slow client may hold its place among those pushed to at once."""
TAKEN_WITHIN = 120.0
"""Seconds in which a client must take what it was sent; keepalive finds those that are gone."""
FIRST_REQUEST_WITHIN = 30.0
"""Seconds in which a new stream must say who it is."""

Generate = Callable[[str, Connection, Snapshot, frozenset[str] | None], list[Piece] | None]
"""Resources of a type for a connection; None when the type is not served."""
Handler = Callable[[ServerCall], Awaitable[None]]

_DECODE = {Variant.SOTW: asks.sotw, Variant.DELTA: asks.delta}
_DIFF = {Variant.SOTW: diff.sotw, Variant.DELTA: diff.delta}
_SCOPE = {Variant.SOTW: "ads", Variant.DELTA: "delta"}


class Ads:
    """Serves streams from whatever snapshot is current."""

    def __init__(
        self,
        *,
        current: Callable[[], Snapshot | None],
        generate: Generate,
        connections: Connections,
        metrics: Metrics,
        clock: Clock,
        throttle: int,
    ) -> None:
        self.connections = connections
        self.metrics = metrics
        self.clock = clock
        self._current = current
        self._generate = generate
        self._throttle = asyncio.Semaphore(throttle)

    def routes(self, gate: Gate) -> dict[str, Handler]:
        """The two methods, behind a listener's gate."""

        def route(variant: Variant) -> Handler:
            async def handle(call: ServerCall) -> None:
                await self._serve(call, gate, variant)

            return handle

        return {SOTW_PATH: route(Variant.SOTW), DELTA_PATH: route(Variant.DELTA)}

    async def _serve(self, call: ServerCall, gate: Gate, variant: Variant) -> None:
        if self._current() is None:
            raise RpcError(
                Status(Code.UNAVAILABLE, "server is not ready to serve discovery information")
            )
        caller = await gate.admit(call)
        first = await self._first(call, variant)
        if first is None:
            return
        connection = self._connection(first, gate, caller, call, variant)
        # In the table before anything is answered, so that no push is missed.
        self.connections.add(connection)
        try:
            await Stream(self, call, connection).run(first)
        finally:
            self.connections.remove(connection)
            said = f'ADS: "{connection.peer}" {connection.id} terminated'
            log.get(_SCOPE[variant]).info(said)

    async def _first(self, call: ServerCall, variant: Variant) -> Ask | None:
        """The request that opens the stream; health reports before it are ignored."""
        try:
            async with asyncio.timeout(FIRST_REQUEST_WITHIN):
                while (message := await call.receive()) is not None:
                    ask = decoded(message, variant)
                    if not ask.is_health:
                        return ask
        except TimeoutError:
            raise RpcError(Status(Code.DEADLINE_EXCEEDED, "no request came")) from None
        return None

    def _connection(
        self, first: Ask, gate: Gate, caller: Caller, call: ServerCall, variant: Variant
    ) -> Connection:
        proxy, identity = gate.proxy(first.node, caller)
        connection = Connection(
            id=self.connections.new_id(proxy.id),
            proxy=proxy,
            variant=variant,
            peer=call.peer.address,
            identity=identity,
            since=self.clock.now(),
        )
        kind = "new delta connection" if variant is Variant.DELTA else "new connection"
        log.get(_SCOPE[variant]).info(f"ADS: {kind} for node:{connection.id}")
        return connection

    def snapshot(self) -> Snapshot:
        """The current one. Streams are only served once there is one."""
        snapshot = self._current()
        if snapshot is None:
            raise AssertionError("BUG: a stream is served before the first snapshot")
        return snapshot

    def produce(
        self, connection: Connection, watch: Watch, names: frozenset[str] | None, snapshot: Snapshot
    ) -> list[Piece] | None:
        return self._generate(watch.type_url, connection, snapshot, names)

    @property
    def throttle(self) -> asyncio.Semaphore:
        """How many streams are pushed to at once."""
        return self._throttle


def decoded(message: bytes, variant: Variant) -> Ask:
    """Raises RpcError INVALID_ARGUMENT."""
    try:
        return _DECODE[variant](message)
    except asks.BadRequest as error:
        raise RpcError(Status(Code.INVALID_ARGUMENT, str(error))) from None


class Stream:
    """One open stream."""

    def __init__(self, ads: Ads, call: ServerCall, connection: Connection) -> None:
        self._ads = ads
        self._call = call
        self._connection = connection
        self._inbox: asyncio.Queue[Ask | None] = asyncio.Queue(INBOX)
        self._log = log.get(_SCOPE[connection.variant])
        self._group: asyncio.TaskGroup | None = None
        self._place = AsyncExitStack()
        """Held while pushing; given up early for a client that does not take what it is sent."""

    async def run(self, first: Ask) -> None:
        """Until the client has finished or is gone."""
        try:
            async with asyncio.TaskGroup() as self._group:
                self._group.create_task(self._read(), name=f"read {self._connection.id}")
                await self._answer_and_push(first)
        except* Exception as errors:  # noqa: BLE001  re-raised as the first of them
            raise first_error(errors) from None

    async def _read(self) -> None:
        async for message in self._call:
            await self._inbox.put(decoded(message, self._connection.variant))
            self._connection.wake.set()
        await self._inbox.put(None)
        self._connection.wake.set()

    async def _answer_and_push(self, first: Ask) -> None:
        connection = self._connection
        await self._answer(first)
        while True:
            connection.wake.clear()
            while not self._inbox.empty():
                ask = self._inbox.get_nowait()
                if ask is None:
                    return
                await self._answer(ask)
            wish = connection.slot.take()
            if wish is not None:
                await self._push(wish)
                continue
            await connection.wake.wait()  # no deadline: a stream lives as long as its proxy

    # --- requests

    async def _answer(self, ask: Ask) -> None:
        if ask.is_health:
            self._log.debug("workload health reported", connection=self._connection.id)
            return
        verdict = ask.apply(self._connection.watches)
        match verdict:
            case Quiet(why):
                self._note(ask, why)
            case Answer(names):
                await self._send_answer(ask.type_url, names)

    def _note(self, ask: Ask, why: Why) -> None:
        kind, name = short(ask.type_url), self._connection.id
        if why is Why.NACK:
            code = go_name(ask.reply.code)
            self._log.warning(f"ADS:{kind}: ACK ERROR {name} {code}:{ask.reply.error}")
            self._ads.metrics.add(Metric.REJECTS, type=kind.lower())
        elif why is Why.STALE:
            self._log.debug(f"ADS:{kind}: REQ {name} Expired nonce received")
            self._ads.metrics.add(Metric.EXPIRED_NONCES, type=kind.lower())
        else:
            self._log.debug(f"ADS:{kind}: {why.name} {name}", nonce=ask.reply.nonce)

    async def _send_answer(self, type_url: str, names: frozenset[str] | None) -> None:
        watch = self._connection.watches.get(type_url)
        if watch is None:
            return
        snapshot = self._ads.snapshot()
        scope = Scope.ANSWER if names is None else Scope.NAMED
        sent = await self._send(watch, snapshot, scope, names, "request")
        # Envoy may not ask again for the endpoints of clusters that were replaced, and would wait for them.
        follower = self._connection.watches.get(WARMED_BY.get(type_url, ""))
        delta = self._connection.variant is Variant.DELTA
        if sent and delta and follower is not None and follower.type_url == EDS:
            self._log.debug(f"ADS:EDS: FORCE {self._connection.id} PUSH for warming.")
            await self._send(follower, snapshot, Scope.WARMING, None, "warming")

    # --- pushes

    async def _push(self, wish: PushRequest) -> None:
        async with self._place:
            await self._place.enter_async_context(self._ads.throttle)
            snapshot = self._ads.snapshot()
            warming: set[str] = set()
            for type_url in push_order(w.type_url for w in self._connection.watches.in_order()):
                watch = self._connection.watches.get(type_url)
                if watch is None:
                    continue
                addresses = self._connection.proxy.ips
                if type_url not in warming and not concerns(type_url, wish, addresses):
                    continue
                scope = Scope.WARMING if type_url in warming else Scope.CHANGES
                sent = await self._send(watch, snapshot, scope, None, wish.why)
                if sent and type_url in WARMED_BY:
                    warming.add(WARMED_BY[type_url])

    async def _send(
        self,
        watch: Watch,
        snapshot: Snapshot,
        scope: Scope,
        asked: frozenset[str] | None,
        why: str,
    ) -> bool:
        """Generate, compare, send, remember. Whether resources went out."""
        began = self._ads.clock.monotonic()
        names = watch.wanted if asked is None else asked
        produced = self._ads.produce(self._connection, watch, names, snapshot)
        if produced is None:
            return False
        update = _DIFF[self._connection.variant](watch, produced, scope, asked or frozenset())
        if update is None:
            self._log.debug(f"{short(watch.type_url)}: SKIP for node:{self._connection.proxy.id}")
            return False
        label = Label(
            watch.type_url,
            snapshot.version,
            f"{snapshot.version}{uuid.uuid4()}",
        )
        # Before the send: the client may acknowledge before it returns.
        watch.nonce_sent, watch.sent = label.nonce, update.sent
        if scope is Scope.WARMING:
            watch.must_answer = False
        await self._deliver(_encode(self._connection.variant, label, update))
        watch.last_sent = self._ads.clock.now()
        self._say(watch, update, scope, why, self._ads.clock.monotonic() - began)
        return bool(update.pieces)

    async def _deliver(self, message: bytes) -> None:
        if self._group is None:
            raise AssertionError("BUG: a stream sends before it runs")
        name = f"send {self._connection.id}"
        sending = self._group.create_task(self._call.send(message), name=name)
        await asyncio.wait({sending}, timeout=PATIENCE)
        if sending.done():
            return sending.result()
        await self._place.aclose()
        try:
            async with asyncio.timeout(TAKEN_WITHIN - PATIENCE):
                return await sending
        except TimeoutError:
            self._ads.metrics.add(Metric.WRITE_TIMEOUTS)
            self._log.warning("client takes nothing, its stream ends", node=self._connection.id)
            self._call.reset()  # a status would wait behind what is not taken
            raise RpcError(Status(Code.DEADLINE_EXCEEDED, "response not taken in time")) from None

    def _say(self, watch: Watch, update: Update, scope: Scope, why: str, took: float) -> None:
        kind = short(watch.type_url)
        self._ads.metrics.add(Metric.PUSHES, type=kind.lower())
        word = {Scope.ANSWER: "PUSH request", Scope.NAMED: "PUSH request", Scope.CHANGES: "PUSH"}
        gone = f" removed:{len(update.removed)}" if update.removed else ""
        self._log.info(
            f"{kind}: {word.get(scope, 'PUSH')} for node:{self._connection.proxy.id} "
            f"resources:{len(update.pieces)}{gone} size:{human(update.size)}",
            why=why,
            took=f"{took * 1000:.1f}ms",
        )


def _encode(variant: Variant, label: Label, update: Update) -> bytes:
    if variant is Variant.DELTA:
        return envelope.delta(label, update.pieces, update.removed)
    return envelope.sotw(label, update.pieces)


def go_name(code: int) -> str:
    """A status as gRPC's Go library prints it, which parsers of the log know: ``InvalidArgument``."""
    if code not in set(Code):
        return f"Code({code})"
    name = Code(code).name
    return {"OK": "OK", "CANCELLED": "Canceled"}.get(name, name.title().replace("_", ""))


def human(size: int) -> str:
    """Bytes as the peer's log writes them: ``512B``, ``22.4kB``."""
    if size < 1000:
        return f"{size}B"
    value, unit = size / 1000, 0
    while value >= 999.95:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f}{'kMGTP'[unit]}B"
