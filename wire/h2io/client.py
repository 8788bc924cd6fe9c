# SPDX-License-Identifier: Apache-2.0
"""A gRPC client connection: connects, opens calls. Part of the socket shell. One connection, no pool, no retry."""

from __future__ import annotations

import asyncio
import socket
import ssl

from mesh.errors import UpstreamUnavailable
from mesh.sockets import lingering
from wire.h2.connection import Side
from wire.h2.grpc import Code, Metadata, RpcError, Status
from wire.h2.limits import DEFAULT_LIMITS, Limits
from wire.h2io.address import Target, parse_target
from wire.h2io.client_call import ClientCall, request_headers
from wire.h2io.handshake import tls_handshake
from wire.h2io.link import Link
from wire.h2io.types import Keepalive, Peer


async def connect(
    target: str,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
    timeout: float = 5.0,
    keepalive: Keepalive | None = None,
    limits: Limits = DEFAULT_LIMITS,
    source: str = "",
    linger: int = 0,
) -> Connection:
    """Connect and wait for the server's settings, ``timeout`` seconds in all.

    ``server_name`` is what TLS asks for and checks; by default the host. ``source`` is the address to call from,
    ``linger`` how many seconds closing waits for the other side (SO_LINGER). Raises ``UpstreamUnavailable`` with the
    reason, and ``BadSetting`` for a malformed target.
    """
    where = parse_target(target)
    try:
        async with asyncio.timeout(timeout):
            sock = await _open_socket(where, source)
            if linger:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering(linger))
            name = server_name or where.host
            if tls is not None:
                sock = await _secure(sock, tls, name)
            link = ClientLink(sock, _peer(target, sock), limits, keepalive)
            link.start()
            try:
                await link.wait_ready()
            except BaseException:
                if not link.closing:  # a server that broke the protocol may still read why
                    link.abort("not connected")
                raise
    except TimeoutError:
        raise UpstreamUnavailable(target, f"no connection within {timeout:g} s") from None
    except OSError as exc:
        raise UpstreamUnavailable(target, _why(exc)) from exc
    return Connection(link, where.authority, tls=tls is not None)


class Connection:
    """A connection that is up, or was. Not reconnected: that is its owner's decision."""

    def __init__(self, link: ClientLink, authority: str, *, tls: bool) -> None:
        self._link = link
        self._authority = authority
        self._tls = tls

    @property
    def peer(self) -> Peer:
        return self._link.peer

    @property
    def closed(self) -> bool:
        return self._link.closed or self._link.closing

    @property
    def why_closed(self) -> str:
        """Why the connection ended; empty while it is up."""
        return self._link.why_closed if self.closed else ""

    @property
    def usable(self) -> bool:
        """A new call may be opened now."""
        return not self.closed and self._link.h2.may_open

    def open(
        self, path: str, *, metadata: Metadata = (), timeout: float | None = None
    ) -> ClientCall:
        """Begin a call; ``timeout`` (seconds) is also told to the server. Raises ``RpcError``."""
        if not self.usable:
            why = self._link.why_closed or "the server takes no more streams"
            raise RpcError(Status(Code.UNAVAILABLE, f"{self.peer.address}: {why}"))
        headers = request_headers(
            path, self._authority, tls=self._tls, timeout=timeout, metadata=metadata
        )
        call = ClientCall(self._link, self._link.h2.open_stream(headers), path)
        self._link.calls[call.number] = call
        self._link.check_reading()
        if timeout is not None:
            call.arm(timeout)
        self._link.touch()
        return call

    async def unary(
        self,
        path: str,
        message: bytes,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> bytes:
        """One message there, one back. Raises ``RpcError``."""
        call = self.open(path, metadata=metadata, timeout=timeout)
        try:
            call.send_nowait(message)
            call.half_close()
            reply = await call.receive()
            if reply is None or await call.receive() is not None:
                raise RpcError(Status(Code.INTERNAL, "expected exactly one message"))
            return reply
        finally:
            call.cancel()

    async def close(self) -> None:
        """End all calls and close, within a second."""
        self._link.close("closed by this side")
        await self._link.gone.wait()

    async def wait_closed(self) -> None:
        """Until the connection is gone, for whatever reason. No deadline: keepalive finds dead peers."""
        await self._link.gone.wait()


class ClientLink(Link):
    """Our connection to a server."""

    def __init__(
        self, sock: socket.socket, peer: Peer, limits: Limits, keepalive: Keepalive | None
    ) -> None:
        super().__init__(sock, Side.CLIENT, peer=peer, limits=limits, keepalive=keepalive)
        self.gone = asyncio.Event()
        self._greeted = asyncio.Event()

    async def wait_ready(self) -> None:
        """Until the server's settings are in; raises ``OSError`` if they never come."""
        await self._greeted.wait()  # connect() sets the deadline
        if self.closed or self.closing:
            raise ConnectionError(self.why_closed)

    def on_ready(self) -> None:
        self._greeted.set()

    def on_closing(self) -> None:
        self._greeted.set()

    def on_closed(self) -> None:
        self.gone.set()
        self._greeted.set()


async def _open_socket(where: Target, source: str) -> socket.socket:
    loop = asyncio.get_running_loop()
    if where.path:
        return await _connect(socket.AF_UNIX, where.path)
    found = await loop.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    failure: OSError = ConnectionError("no address")
    for family, _, _, _, address in found:
        try:
            sock = await _connect(family, address, source)
        except OSError as exc:
            failure = exc
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise failure


async def _connect(
    family: int, address: str | tuple[object, ...], source: str = ""
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if source:
            sock.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _secure(sock: socket.socket, tls: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    try:
        return await tls_handshake(sock, tls, server_side=False, server_name=name)
    except BaseException:
        sock.close()
        raise


def _peer(target: str, sock: socket.socket) -> Peer:
    certificate = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
    return Peer(target, certificate=certificate)


def _why(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"TLS: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS: {exc.reason or 'handshake failed'}"
    return exc.strerror or str(exc) or type(exc).__name__
