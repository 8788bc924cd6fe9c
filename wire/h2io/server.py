# SPDX-License-Identifier: Apache-2.0
"""A gRPC server on unix and TCP sockets: accepts, admits, runs a task for each call. Part of the socket shell."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import stat
from collections.abc import Awaitable, Callable, Mapping

import mesh.log
from mesh.errors import BadSetting
from wire.h2.connection import Side
from wire.h2.events import HeadersReceived
from wire.h2.grpc import OK, Code, RpcError, Status, is_grpc, parse_timeout
from wire.h2.headers import Headers
from wire.h2.limits import DEFAULT_LIMITS, Limits
from wire.h2io.farewell import LINGER
from wire.h2io.handshake import tls_handshake
from wire.h2io.link import Link
from wire.h2io.reactor import reactor
from wire.h2io.server_call import ServerCall
from wire.h2io.types import Keepalive, Peer

Handler = Callable[[ServerCall], Awaitable[None]]
Admit = Callable[[Peer], str | None]

ACCEPTS_PER_TURN = 64
LISTEN_BACKLOG = 1024
SOCKET_DIR_MODE = 0o750
ACCEPT_PAUSE = 1.0
"""Seconds without accepting when the process or the kernel is out of something."""
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = mesh.log.get("wire")


class Server:
    """Routes are full method paths (``/package.Service/Method``).

    A handler returns for OK and raises ``RpcError`` for any other status; what else it raises is
    logged and told to the client as UNKNOWN. It is cancelled when its call is over before it is.
    ``admit`` gives None for a welcome peer, else the reason why its connection is closed.
    """

    def __init__(
        self,
        routes: Mapping[str, Handler],
        *,
        limits: Limits = DEFAULT_LIMITS,
        keepalive: Keepalive | None = None,
        admit: Admit | None = None,
    ) -> None:
        self.limits = limits
        self.keepalive = keepalive
        self.links: set[ServerLink] = set()
        self._routes = routes
        self._admit = admit
        self._listeners: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._paths: list[str] = []
        self._group: asyncio.TaskGroup | None = None
        self._handshakes = 0
        self._full = False
        self._pauses: dict[int, asyncio.TimerHandle] = {}
        self._empty = asyncio.Event()

    async def bind_unix(self, path: str, *, mode: int = 0o666) -> None:
        """Listen on a unix socket, in place of a stale one (spec/agent.md 0.1). Raises ``BadSetting``."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if directory := os.path.dirname(path):
                os.makedirs(directory, SOCKET_DIR_MODE, exist_ok=True)
            _remove_stale(path)
            sock.bind(path)
            os.chmod(path, mode)
            self._listen(sock, None)
        except OSError as exc:
            sock.close()
            raise BadSetting("socket", path, exc.strerror or str(exc)) from exc
        self._paths.append(path)

    async def bind_tcp(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Listen on TCP; port 0 takes a free one. Returns the port. Raises ``BadSetting``."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if host != "::" else 0)
            sock.bind((host, port))
            self._listen(sock, tls)
        except OSError as exc:
            sock.close()
            raise BadSetting("address", f"{host}:{port}", exc.strerror or str(exc)) from exc
        return int(sock.getsockname()[1])

    def _listen(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        sock.setblocking(False)
        sock.listen(LISTEN_BACKLOG)
        self._listeners.append((sock, tls))

    async def serve(self) -> None:
        """Accept and serve until cancelled; then close everything."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for sock, tls in self._listeners:
                    loop.add_reader(sock, self._accept, sock, tls)
                await loop.create_future()  # no deadline: a server serves until it is cancelled
        finally:
            self._group = None
            self.stop_listening()
            await self._part()

    async def _part(self) -> None:
        """Say goodbye to everybody; who does not answer in ``LINGER`` seconds is cut."""
        for link in list(self.links):
            link.close("server shut down")
        try:
            await self._all_gone(LINGER)
        finally:
            for link in list(self.links):
                link.abort("server shut down")

    async def _all_gone(self, grace: float) -> None:
        """Until there is no connection any more, or so many seconds have passed."""
        self._empty.clear()
        try:
            async with asyncio.timeout(grace):
                while self.links:
                    await self._empty.wait()
        except TimeoutError:
            pass

    def stop_listening(self) -> None:
        """Take no new connections; unix paths are removed."""
        loop = asyncio.get_running_loop()
        for timer in self._pauses.values():
            timer.cancel()
        self._pauses.clear()
        for sock, _ in self._listeners:
            loop.remove_reader(sock)
            sock.close()
        self._listeners.clear()
        for path in self._paths:
            _remove_stale(path)
        self._paths.clear()

    async def drain(self, grace: float) -> None:
        """Stop listening, tell clients to go, wait for their calls up to ``grace`` seconds, close."""
        self.stop_listening()
        for link in list(self.links):
            link.leave()
        await self._all_gone(grace)
        for link in list(self.links):
            link.close("drained")

    # ---- connections ----

    def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno in _SHORTAGES:
                    self._pause(listener, tls, exc)
                    return
                continue  # that client is gone already
            sock.setblocking(False)
            self._welcome(sock, address, tls)

    def _pause(self, listener: socket.socket, tls: ssl.SSLContext | None, exc: OSError) -> None:
        """Who waits in the backlog would wake us at once, again and again."""
        log.warning("cannot accept connections", reason=exc.strerror, retry_in=ACCEPT_PAUSE)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)

        def go_on() -> None:
            del self._pauses[listener.fileno()]
            loop.add_reader(listener, self._accept, listener, tls)

        self._pauses[listener.fileno()] = loop.call_later(ACCEPT_PAUSE, go_on)

    def _welcome(self, sock: socket.socket, address: object, tls: ssl.SSLContext | None) -> None:
        full = len(self.links) + self._handshakes >= self.limits.max_connections
        if full or self._group is None:
            if full and not self._full:  # once for each time that it happens, not for each client
                log.warning("connection limit reached", limit=self.limits.max_connections)
            self._full = full
            sock.close()
            return
        self._full = False
        peer = _peer_of(sock, address)
        refusal = self._admit(peer) if self._admit else None
        if refusal:
            reactor().complaints.tell(
                "connection refused", peer=peer.address, uid=peer.uid, pid=peer.pid, reason=refusal
            )
            sock.close()
        elif tls is None:
            self._start(sock, peer)
        else:
            self._handshakes += 1
            self._group.create_task(self._start_tls(sock, peer, tls), name=f"tls {peer.address}")

    async def _start_tls(self, sock: socket.socket, peer: Peer, tls: ssl.SSLContext) -> None:
        try:
            async with asyncio.timeout(self.limits.handshake_timeout):
                wrapped = await tls_handshake(sock, tls, server_side=True)
            certificate = wrapped.getpeercert(binary_form=True)
            self._start(wrapped, peer._replace(certificate=certificate))
        except (OSError, TimeoutError) as exc:
            sock.close()
            log.debug("TLS handshake failed", peer=peer.address, reason=str(exc) or "too slow")
        finally:
            self._handshakes -= 1

    def _start(self, sock: socket.socket, peer: Peer) -> None:
        link = ServerLink(sock, self, peer)
        self.links.add(link)
        link.start()

    def forget(self, link: ServerLink) -> None:
        """``link`` is closed."""
        self.links.discard(link)
        if not self.links:
            self._empty.set()

    # ---- calls ----

    def dispatch(self, link: ServerLink, event: HeadersReceived) -> None:
        """A new stream: run its handler, or say why there is none."""
        fields = dict(event.headers)
        if fields[":method"] != "POST" or not is_grpc(fields.get("content-type", "")):
            _answer_not_grpc(link, event.stream, fields[":method"])
            return
        path = fields[":path"]
        metadata = [(name, value) for name, value in event.headers if name[:1] != ":"]
        call = ServerCall(link, event.stream, path, metadata)
        handler = self._routes.get(path)
        encoding = fields.get("grpc-encoding", "identity")
        if handler is None:
            call.finish_nowait(Status(Code.UNIMPLEMENTED, f"unknown method {path}"))
        elif encoding != "identity":
            why = f"grpc-encoding {encoding} is not supported"
            call.finish_nowait(
                Status(Code.UNIMPLEMENTED, why), [("grpc-accept-encoding", "identity")]
            )
        elif self._group is None:
            call.finish_nowait(Status(Code.UNAVAILABLE, "the server is shutting down"))
        else:
            self._begin(
                link, call, handler, event.ended, parse_timeout(fields.get("grpc-timeout", ""))
            )

    def _begin(
        self,
        link: ServerLink,
        call: ServerCall,
        handler: Handler,
        ended: bool,
        timeout: float | None,
    ) -> None:
        link.calls[call.number] = call
        if timeout is not None:
            call.arm(timeout)
        if self._group is not None:
            call.task = self._group.create_task(_run(call, handler), name=f"call {call.path}")
        if ended:
            call.on_peer_end()


async def _run(call: ServerCall, handler: Handler) -> None:
    status = Status(Code.CANCELLED, "the server gave up")
    try:
        await handler(call)
        status = OK
    except RpcError as exc:
        status = exc.status
    except Exception as exc:  # noqa: BLE001  one call's defect must not end the others
        log.error(  # noqa: TRY400  our log has no tracebacks
            "handler failed", method=call.path, error=f"{type(exc).__name__}: {exc}"
        )
        status = Status(Code.UNKNOWN, "internal error")
    finally:
        call.finish_nowait(status)


class ServerLink(Link):
    """A client's connection."""

    def __init__(self, sock: socket.socket, server: Server, peer: Peer) -> None:
        super().__init__(
            sock, Side.SERVER, peer=peer, limits=server.limits, keepalive=server.keepalive
        )
        self._server = server

    def on_headers(self, event: HeadersReceived) -> None:
        self._server.dispatch(self, event)

    def on_closed(self) -> None:
        self._server.forget(self)


def _answer_not_grpc(link: ServerLink, stream: int, method: str) -> None:
    """A browser or a health checker gets a plain answer, as from Go's server."""
    status, text = ("415", b"invalid gRPC request content-type\n")
    if method != "POST":
        status, text = ("405", b"invalid gRPC request method\n")
    headers: Headers = [
        (":status", status),
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", str(len(text))),
    ]
    if method != "POST":
        headers.append(("allow", "POST"))  # RFC 9110 section 15.5.6
    if method == "HEAD":  # "the server MUST NOT send content" (RFC 9110 section 9.3.2)
        link.h2.end_stream(stream, headers)
    else:
        link.h2.send_headers(stream, headers)
        link.h2.send_data(stream, (text,), len(text))
        link.h2.end_stream(stream)
    link.touch()


def _peer_of(sock: socket.socket, address: object) -> Peer:
    if sock.family == socket.AF_UNIX:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, gid = (int.from_bytes(raw[at : at + 4], "little") for at in (0, 4, 8))
        return Peer("unix", uid=uid, gid=gid, pid=pid)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = address[:2] if isinstance(address, tuple) else ("", 0)
    return Peer(f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}")


def _remove_stale(path: str) -> None:
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
