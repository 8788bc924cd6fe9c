# SPDX-License-Identifier: Apache-2.0
"""The secret discovery service on our unix socket: one stream at a time, answers and pushes in order.

``protocol`` decides, ``manager`` knows the secrets; here they are sent. DeltaSecrets and FetchSecrets are
refused as the peer refuses them. Source: spec/agent.md 7.2.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import count

from google.protobuf.message import DecodeError

import mesh.log
from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.tasks import first_error
from sdsserver.metrics import Metrics
from sdsserver.options import SecretOptions
from sdsserver.protocol import MissingNode, Request, Watch
from sdsserver.secret import KeyProvider, Secret, encode
from wire.h2.grpc import Code, RpcError, Status
from wire.h2io import Handler, Limits, Peer, Server, ServerCall
from wire.proto.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from wire.types import SECRET

SERVICE = "/envoy.service.secret.v3.SecretDiscoveryService/"
LIMITS = Limits(max_streams=100_000, max_message=4 * 1024 * 1024)
BIND_SLEEPS = (1.0, 2.0, 4.0, 8.0, 16.0)
SEND_DEADLINE = 30.0
"""Seconds a client may take to read one secret; one that does not is gone."""
UNANSWERED = 64
"""Requests of one client that may wait; then we stop reading from it."""

log = mesh.log.get("sds")

Generate = Callable[[str], Awaitable[Secret]]


class SdsService:
    """Serves what ``generate`` makes; ``on_update`` pushes to the streams that watch the name."""

    def __init__(
        self, options: SecretOptions, generate: Generate, clock: Clock, metrics: Metrics
    ) -> None:
        self._options = options
        self._generate = generate
        self._clock = clock
        self._metrics = metrics
        self._streams: set[_Stream] = set()
        self._versions = count(1)
        self._provider = (
            KeyProvider(
                options.key_provider,
                options.key_provider_poll_nanos,
                options.key_provider_fallback,
            )
            if options.key_provider
            else None
        )
        self.on_sent: Callable[[str], None] | None = None
        """Called with the name of each secret that went out."""
        self.ready = asyncio.Event()
        """The socket is listening."""

    def on_update(self, name: str) -> None:
        for stream in self._streams:
            stream.on_update(name)

    async def run(self) -> None:
        """Listen and serve. When the socket cannot be had after several tries, say so and stay."""
        server = Server(self._routes(), limits=LIMITS, admit=self._admit)
        if await self._bind(server):
            self.ready.set()
            await server.serve()
        await asyncio.Event().wait()  # no deadline: certificates still go to files

    def status(self) -> dict[str, object]:
        """How many streams, and what they watch."""
        watched: dict[str, int] = {}
        for stream in self._streams:
            for name in stream.watch.names:
                watched[name] = watched.get(name, 0) + 1
        return {"socket": self._options.socket, "streams": len(self._streams), "watched": watched}

    def _routes(self) -> dict[str, Handler]:
        return {
            f"{SERVICE}StreamSecrets": self._stream,
            f"{SERVICE}DeltaSecrets": _unimplemented("DeltaSecrets"),
            f"{SERVICE}FetchSecrets": _unimplemented("FetchSecrets"),
        }

    def _admit(self, peer: Peer) -> str | None:
        options = self._options
        if options.allow_uids is None or peer.uid in options.allow_uids:
            return None
        if peer.gid in options.allow_gids:
            return None
        return f"uid {peer.uid} may not have secrets; PILOT_UDS_ALLOW={peer.uid},... admits it"

    async def _bind(self, server: Server) -> bool:
        path = self._options.socket
        for pause in (*BIND_SLEEPS, None):
            try:
                await server.bind_unix(path)
            except (OSError, MeshError) as error:
                why = str(error)
            else:
                log.info("sds server listening", path=path)
                return True
            if pause is not None:
                await self._clock.sleep(pause)
        log.warning("sds server not started, secrets go to files only", path=path, why=why)
        return False

    async def _stream(self, call: ServerCall) -> None:
        stream = _Stream(call, Watch(self._metrics.streams), self._respond)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    async def _respond(self, call: ServerCall, names: Sequence[str]) -> str:
        """Send one response with ``names``; its nonce. Raises RpcError, which ends the stream."""
        response = DiscoveryResponse(version_info=self._version(), type_url=SECRET, nonce=_nonce())
        for name in names:
            response.resources.add(type_url=SECRET, value=await self._encoded(name))
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(SEND_DEADLINE):
                await call.send(response.SerializeToString())
        except TimeoutError:
            self._metrics.write_timeouts += 1
            raise RpcError(Status(Code.DEADLINE_EXCEEDED, "client does not read")) from None
        finally:
            self._metrics.sends.add(self._clock.monotonic() - began)
        if self.on_sent:
            for name in names:
                self.on_sent(name)
        return response.nonce

    async def _encoded(self, name: str) -> bytes:
        try:
            secret = await self._generate(name)
        except MeshError as error:
            self._metrics.internal_errors += 1
            log.warning("secret not served", name=name, why=str(error))
            raise RpcError(
                Status(Code.UNKNOWN, f"failed to generate secret for {name}: {error}")
            ) from None
        crl = self._options.crl
        return encode(
            secret, crl=crl if crl and os.path.exists(crl) else "", provider=self._provider
        )

    def _version(self) -> str:
        now = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{now}/{next(self._versions)}"


class _Stream:
    """One client: requests and updates queue up, and are answered one after the other."""

    def __init__(
        self,
        call: ServerCall,
        watch: Watch,
        respond: Callable[[ServerCall, Sequence[str]], Awaitable[str]],
    ) -> None:
        self.watch = watch
        self._call = call
        self._respond = respond
        self._inbox: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        """Requests (bytes), updated names (str), the client's end (None)."""
        self._updated: set[str] = set()
        self._room = asyncio.Semaphore(UNANSWERED)

    def on_update(self, name: str) -> None:
        if self.watch.on_update(name) and name not in self._updated:
            self._updated.add(name)
            self._inbox.put_nowait(name)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read(), name="sds requests")
                await self._answer()
                reader.cancel()
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None

    async def _read(self) -> None:
        async for message in self._call:
            await self._room.acquire()  # no deadline: answering has one
            self._inbox.put_nowait(bytes(message))
        self._inbox.put_nowait(None)

    async def _answer(self) -> None:
        while (item := await self._inbox.get()) is not None:  # no deadline: streams live long
            names = self._wanted(item)
            if names:
                self.watch.sent(await self._respond(self._call, names))

    def _wanted(self, item: bytes | str) -> Sequence[str]:
        """The names to send because of one request or update."""
        if isinstance(item, bytes):
            self._room.release()
        else:
            self._updated.discard(item)
            return (item,) if self.watch.on_update(item) else ()
        try:
            return self.watch.on_request(_parse(item))
        except MissingNode:
            raise RpcError(Status(Code.INVALID_ARGUMENT, "missing node information")) from None


def _nonce() -> str:
    """A random UUID, version 4. The standard module costs 0.3 MiB for it."""
    number = int.from_bytes(os.urandom(16), "big") & ~(0xF << 76) & ~(0x3 << 62)
    text = f"{number | 4 << 76 | 2 << 62:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _parse(message: bytes) -> Request:
    try:
        request = DiscoveryRequest.FromString(message)
    except DecodeError:
        raise RpcError(Status(Code.INTERNAL, "request is not a DiscoveryRequest")) from None
    refused = request.HasField("error_detail")
    if refused:
        log.warning("secret refused by client", why=request.error_detail.message)
    return Request(
        node_id=request.node.id,
        names=tuple(request.resource_names),
        nonce=request.response_nonce,
        refused=(request.error_detail.message or "refused") if refused else "",
        type_url=request.type_url,
    )


def _unimplemented(method: str) -> Handler:
    async def refuse(_call: ServerCall) -> None:
        raise RpcError(Status(Code.UNIMPLEMENTED, f"{method} not implemented"))

    return refuse
