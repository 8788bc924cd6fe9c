# SPDX-License-Identifier: Apache-2.0
"""The TLS handshake of a non-blocking socket, both sides. Part of the socket shell."""

from __future__ import annotations

import asyncio
import socket
import ssl


async def tls_handshake(
    sock: socket.socket, context: ssl.SSLContext, *, server_side: bool, server_name: str = ""
) -> ssl.SSLSocket:
    """Wrap ``sock``. Raises ``OSError`` (``ssl.SSLError`` among them). The caller sets the deadline.

    The peer must speak h2: without ALPN the connection would die later with a worse message.
    """
    wrapped = context.wrap_socket(
        sock,
        server_side=server_side,
        server_hostname=server_name or None,
        do_handshake_on_connect=False,
        suppress_ragged_eofs=True,
    )
    try:
        await _shake(wrapped)
        if wrapped.selected_alpn_protocol() != "h2":
            raise OSError("the peer does not offer HTTP/2 (ALPN h2)")
    except BaseException:
        wrapped.close()
        raise
    return wrapped


async def _shake(sock: ssl.SSLSocket) -> None:
    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            await _wait(sock, writable=False)
        except ssl.SSLWantWriteError:
            await _wait(sock, writable=True)
        else:
            return


async def _wait(sock: ssl.SSLSocket, *, writable: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if writable else (loop.add_reader, loop.remove_reader)
    )
    add(sock, _set, ready)
    try:
        await ready
    finally:
        remove(sock)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
