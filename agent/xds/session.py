# SPDX-License-Identifier: Apache-2.0
"""One stream of Envoy: carries bytes between it and the control plane, or the store. Decides nothing.

Answers to spec/agent.md 4.2 and DESIGN 4.2. Responses are spliced: a piece that arrives from the
control plane is queued for Envoy in the same callback, without a copy. If the control plane dies in
the middle of a message, Envoy's stream is reset; between messages it is ended with the control
plane's status. Before the first response of a stream, the store may take over instead.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from google.protobuf.message import DecodeError

import mesh.log
from agent.xds.counts import CONTROL_PLANE, HEAD, STORE, Counts, count
from agent.xds.kept import Accepted
from agent.xds.link import Upstream
from agent.xds.offline import Offline, can_serve
from agent.xds.relay import Acknowledged, Command, Refused, Relay, Route, SendUp, parse_request
from agent.xds.store import Store
from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.errors import UpstreamUnavailable
from wire.h2io import ClientCall, Code, Connection, RpcError, ServerCall, Status
from wire.types import TypeUrl, short_name

log = mesh.log.get("xdsproxy")

LocalHandler = Callable[[Sequence[bytes]], str | None]
"""Takes the resources of a response of a type that the agent asked for; gives the fault, or None."""

KEEP_LIMIT: Final = 64 * 1024 * 1024
"""A larger response is forwarded and not stored."""
OWN_PAGES: Final = 1024 * 1024
"""Bytes from which on a kept response lives outside of the heap, which would keep the memory and tear."""
ANSWER_TIMEOUT: Final = 10.0
"""Seconds for a control plane that came back to answer a first request."""
OK: Final = Status(Code.OK)


class Session:
    """See the module docstring. ``run`` lasts as long as Envoy's stream."""

    def __init__(
        self,
        call: ServerCall,
        relay: Relay,
        *,
        upstream: Upstream,
        store: Store | None,
        patience: float,
        local: Mapping[TypeUrl, LocalHandler],
        counts: Counts,
        clock: Clock,
        backoff: Callable[[], Callable[[], float]],
    ) -> None:
        self.source = "connecting"
        """Where Envoy's configuration comes from: connecting, control plane or store."""
        self.relay = relay
        self._call = call
        self._upstream = upstream
        self._store = store
        self._patience = patience
        self._local = local
        self._counts = counts
        self._clock = clock
        self._backoff = backoff
        self._ended: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._early: list[bytes] = []
        """Requests before the first response: they can be put again, to the store."""
        self._answered = False
        self._up: ClientCall | None = None
        self._connection: Connection | None = None
        self._offline: Offline | None = None
        self._responses = _Responses(self)

    async def run(self) -> None:
        """Until Envoy or the control plane ends it. Raises ``RpcError`` with the status for Envoy."""
        self._call.attach(_Requests(self))
        try:
            if not await self._go_online():
                await self._go_offline()
                return
            status = await self._ended  # no deadline: a stream lives as long as its ends
            if self._up_failed_early(status):
                await self._go_offline()
                status = OK
            if self._responses.inside_message:
                self._call.reset()
        finally:
            await self._hang_up()
        if status.code is not Code.OK:
            raise RpcError(status)

    def end(self, status: Status = OK) -> None:
        """End the stream: another one of Envoy took over, or the control plane is back."""
        if not self._ended.done():
            self._ended.set_result(status)

    def report_health(self, request: bytes) -> None:
        """Tell the control plane how the application is."""
        self._obey(self.relay.on_health(request))

    # ---- the control plane ----

    async def _go_online(self) -> bool:
        """Open the stream upstream. False: the store has to do. Raises ``RpcError`` without a store."""
        patience = self._patience if self._store is not None else None
        try:
            async with asyncio.timeout(patience):
                self._connection, self._up = await self._upstream.open(self.relay.variant)
        except (UpstreamUnavailable, RpcError, TimeoutError) as exc:
            self._counts.failures += 1
            why = str(exc) or f"no connection within {self._patience:g} s"
            log.warning("control plane not reached", address=self._upstream.address, reason=why)
            if self._store is None:
                status = exc.status if isinstance(exc, RpcError) else Status(Code.UNAVAILABLE, why)
                raise RpcError(status) from None
            return False
        self.source = CONTROL_PLANE
        log.info("connected to the control plane", address=self._upstream.address)
        self._up.attach(self._responses)
        for raw in list(self._early):
            self._obey(self.relay.on_request(raw))
        return True

    def _up_failed_early(self, status: Status) -> bool:
        return (
            self._store is not None
            and not self._answered
            and self._up is not None
            and self._up.failure is not None
            and status.code is not Code.OK
        )

    async def _hang_up(self) -> None:
        up, self._up = self._up, None
        connection, self._connection = self._connection, None
        if up is not None:
            up.cancel()
        if connection is not None:
            await connection.close()

    # ---- the store ----

    async def _go_offline(self) -> None:
        """Serve from the store, and end the stream when the control plane is back: Envoy comes again.

        Raises ``RpcError`` where the store has nothing to serve.
        """
        self._ended = asyncio.get_running_loop().create_future()
        await self._hang_up()
        shelf = await self._store.shelf() if self._store is not None else {}
        if not can_serve(shelf):
            why = f"control plane {self._upstream.address} is unavailable and nothing is stored"
            raise RpcError(Status(Code.UNAVAILABLE, why))
        self._offline = Offline(self.relay.variant, shelf)
        self.source = STORE
        log.warning(
            "serving stored configuration: no control plane",
            address=self._upstream.address,
            resources=sum(len(rows) for rows in shelf.values()),
        )
        for raw in self._early:
            self._answer_from_store(raw)
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch_control_plane(), name="watch control plane")
            await self._ended  # no deadline: as long as Envoy stays and the control plane does not
            watch.cancel()

    async def _watch_control_plane(self) -> None:
        delay = self._backoff()
        while True:
            await self._clock.sleep(delay())
            if self._early and await self._upstream.answers(
                self.relay.variant, self._early[0], timeout=ANSWER_TIMEOUT
            ):
                log.info("control plane is back", address=self._upstream.address)
                self.end()
                return

    def _answer_from_store(self, raw: bytes) -> None:
        if self._offline is None:
            return
        type_url = parse_request(raw, self.relay.variant).type_url
        for response in self._offline.on_request(raw):
            self._counts.on_stored(type_url, response, self._clock.now())
            self._call.send_nowait(response)

    # ---- called by the sinks ----

    def on_request(self, raw: bytes) -> None:
        """Envoy sent a request."""
        self._counts.largest_request = max(self._counts.largest_request, len(raw))
        try:
            if self._offline is not None:
                self._early = self._early or [raw]
                self._note_refusal(raw)
                self._answer_from_store(raw)
                return
            commands = self.relay.on_request(raw) if self._up is not None else []
            if not self._answered:
                parse_request(raw, self.relay.variant)
                self._early.append(raw)
            self._obey(commands)
        except DecodeError:
            self.end(Status(Code.INTERNAL, "grpc: error unmarshalling request"))

    def _note_refusal(self, raw: bytes) -> None:
        request = parse_request(raw, self.relay.variant)
        if request.error is not None:
            self._refused(Refused(request.type_url, request.nonce, request.error))

    def on_envoy_end(self, status: Status | None) -> None:
        """Envoy ended its half, or its stream is gone."""
        if status is not None:
            count(self._counts.envoy_ends, status)
        self.end()

    def on_upstream_end(self, status: Status | None) -> None:
        """The control plane ended the stream."""
        status = self._upstream.quoted(status or OK)
        kind = count(self._counts.upstream_ends, status)
        log.info(
            "control plane ended the stream",
            status=status.code.name,
            type=str(kind),
            reason=status.message,
        )
        self.end(status)

    def on_first_response(self) -> None:
        self._answered = True
        self._early.clear()

    def on_kept(self, type_url: TypeUrl, message: bytearray | mmap.mmap) -> None:
        self.relay.on_forwarded(type_url, message)

    def on_local(self, type_url: TypeUrl, message: bytes) -> None:
        handler = self._local.get(type_url)
        fault = handler(self.relay.bodies(message)) if handler else None
        self._obey(self.relay.on_local(message, fault))

    def on_pushed(self, type_url: TypeUrl, size: int, head: bytes) -> None:
        self._counts.on_response(type_url, size, self._clock.now(), head)

    def down_begin(self, length: int) -> None:
        self._call.begin(length)

    def down_write(self, pieces: Sequence[memoryview | bytes]) -> None:
        if not self._call.write(pieces) and self._up is not None:
            self._up.pause()

    def resume(self) -> None:
        if self._up is not None:
            self._up.resume()

    def _obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case SendUp():
                    self._counts.requests += 1
                    if self._up is not None and self._up.failure is None:
                        self._up.send_nowait(command.message)
                case Acknowledged():
                    self._acknowledged(command)
                case Refused():
                    self._refused(command)

    def _acknowledged(self, command: Acknowledged) -> None:
        self._counts.push(command.type_url).acknowledged += 1
        if self._store is not None:
            for message in command.messages:
                self._store.accept(Accepted(command.type_url, self.relay.variant, message))

    def _refused(self, command: Refused) -> None:
        push = self._counts.push(command.type_url)
        push.refused += 1
        push.last_error = command.why
        push.refused_at = self._clock.now()
        log.warning("Envoy refused a push", type=short_name(command.type_url), reason=command.why)


class _Requests:
    """The sink of Envoy's stream: requests are small and are put together."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._parts = bytearray()

    def on_data(self, pieces: Sequence[memoryview], offset: int, length: int) -> None:
        if offset == 0:
            self._parts.clear()
        for piece in pieces:
            self._parts += piece
        if len(self._parts) == length:
            self._session.on_request(bytes(self._parts))

    def on_end(self, status: Status | None) -> None:
        self._session.on_envoy_end(status)

    def on_writable(self) -> None:
        self._session.resume()


def _room(length: int) -> bytearray | mmap.mmap:
    """Memory for a message to keep. A large one has pages of its own, huge where the kernel grants them."""
    if length < OWN_PAGES:
        return bytearray(length)
    pages = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without huge pages
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


class _Responses:
    """The sink of the stream upstream: decides by a message's first bytes where the rest goes."""

    def __init__(self, session: Session) -> None:
        self.inside_message = False
        """Envoy has the beginning of a message and not its end."""
        self._session = session
        self._route: Route | None = None
        self._head = b""
        self._beginning = b""
        """For people: the version is read from it when they ask."""
        self._type = TypeUrl("")
        self._copy: bytearray | mmap.mmap | None = None

    def on_data(self, pieces: Sequence[memoryview], offset: int, length: int) -> None:
        """One piece at a time comes from ``wire.h2io``."""
        for piece in pieces:
            self._on_piece(piece, offset, length)
            offset += len(piece)

    def _on_piece(self, piece: memoryview, offset: int, length: int) -> None:
        end = offset + len(piece)
        if offset == 0:
            self._session.on_first_response()
            self._route, self._head, self._copy = None, b"", None
        if self._route is None:
            if not self._decide(piece, length, whole=end == length):
                return
        elif self.inside_message:
            self._session.down_write((piece,))
        if self._copy is not None:
            self._copy[offset:end] = piece
        if end == length:
            self._finish(length)

    def _decide(self, piece: memoryview, length: int, *, whole: bool) -> bool:
        """Find the message's type, and send what had to wait for it. False: more bytes are needed."""
        head: bytes | memoryview = self._head + bytes(piece) if self._head else piece
        found = self._session.relay.route(head, whole=whole)
        if found is None:
            self._head = bytes(head)
            return False
        route, self._type = found
        self._route = route
        self._beginning = bytes(head[:HEAD])
        held, self._head = self._head, b""
        if route is Route.LOCAL or (route is Route.KEEP and length <= KEEP_LIMIT):
            self._copy = _room(length)
            self._copy[: len(held)] = held
        if route is Route.FORWARD or route is Route.KEEP:
            self.inside_message = True
            self._session.down_begin(length)
            if length:
                self._session.down_write((held, piece) if held else (piece,))
        return True

    def _finish(self, length: int) -> None:
        self.inside_message = False
        self._session.on_pushed(self._type, length, self._beginning)
        copy, self._copy = self._copy, None
        if self._route is Route.DROP:
            log.error("response not for Envoy", type=self._type, bytes=length)
        elif self._route is Route.LOCAL and copy is not None:
            self._session.on_local(self._type, bytes(copy))
        elif copy is not None:
            self._session.on_kept(self._type, copy)

    def on_end(self, status: Status | None) -> None:
        self._session.on_upstream_end(status)

    def on_writable(self) -> None:
        """Requests are sent without bound: nothing waits for this."""


def retry_delays(rng_delay: Callable[[Backoff], float]) -> Callable[[], Callable[[], float]]:
    """A fresh backoff for each wait."""

    def begin() -> Callable[[], float]:
        backoff = Backoff(initial=0.2, cap=5.0)
        return lambda: rng_delay(backoff)

    return begin
