# SPDX-License-Identifier: Apache-2.0
"""Applications to be probed and scraped, none of them made of our own code: aiohttp, h2, grpcio. Dual stack."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import grpc.aio
import h2.config
import h2.connection
import h2.events
from aiohttp import web

from tests.support.http import settle
from tests.support.testca import CA

App = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def both() -> socket.socket:
    """A listening socket on a free port of IPv4 and IPv6."""
    return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)


@contextlib.asynccontextmanager
async def http_app(handler: App, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """An HTTP/1.1 application; its port."""
    server = web.Server(handler)
    sock = both()
    listener = await asyncio.get_running_loop().create_server(server, sock=sock, ssl=tls)
    try:
        yield sock.getsockname()[1]
    finally:
        listener.close()
        await server.shutdown(0)
        await settle()


def tls_of_app(alpn: list[str] | None) -> ssl.SSLContext:
    """A server's context whose certificate nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        leaf = CA("nobody's").issue("localhost")
        leaf.write(Path(directory))
        context.load_cert_chain(f"{directory}/cert-chain.pem", f"{directory}/key.pem")
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


@contextlib.asynccontextmanager
async def h2_app(
    tls: ssl.SSLContext,
    *,
    status: str = "200",
    body: bytes = b"over h2",
    accepted: list[object] | None = None,
) -> AsyncIterator[int]:
    """An HTTP/2 application that closes connections which do not speak it; its port. ``accepted`` remembers them."""
    sock = both()
    listener = await asyncio.get_running_loop().create_server(
        lambda: _H2(status, body, [] if accepted is None else accepted), sock=sock, ssl=tls
    )
    try:
        yield sock.getsockname()[1]
    finally:
        listener.close()
        await settle()


class _H2(asyncio.Protocol):
    def __init__(self, status: str, body: bytes, accepted: list[object]) -> None:
        self._accepted = accepted
        self._http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self._status = status
        self._body = body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._accepted.append(transport)
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            transport.abort()
            return
        self._http.initiate_connection()
        transport.write(self._http.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._http.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                number = event.stream_id
                assert number is not None
                self._http.send_headers(number, [(":status", self._status), ("x-by", "h2")])
                for at in range(0, len(self._body), 16384):
                    self._http.send_data(number, self._body[at : at + 16384])
                self._http.end_stream(number)
        self._transport.write(self._http.data_to_send())


@contextlib.asynccontextmanager
async def health_app(
    services: dict[str, int], *, on_check: Callable[[int], None] = lambda _: None
) -> AsyncIterator[int]:
    """grpc.health.v1 of grpcio with these statuses (1 is SERVING); its port. Others are NOT_FOUND.

    ``on_check`` is told the port when somebody asks.
    """

    async def check(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        on_check(port)
        name = request[2 if len(request) < 130 else 3 :].decode()  # tag, length, text
        if name not in services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08" + bytes([services[name]]) if services[name] else b""

    handler = grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("[::]:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
