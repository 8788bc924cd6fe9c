# SPDX-License-Identifier: Apache-2.0
"""The TLS handshake on sockets that do not wait: both sides, what fails, and that nothing stays open then."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from tests.support.testca import CA
from wire.h2io.handshake import tls_handshake
from wire.h2io.tls import client_context, server_context

DEADLINE = 20.0
AUTHORITY = CA()
LEAF = AUTHORITY.issue("localhost")


def serving() -> ssl.SSLContext:
    return server_context(chain=LEAF.chain, key=LEAF.key)


def trusting() -> ssl.SSLContext:
    return client_context(roots=AUTHORITY.certificate)


def pair() -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


async def both(
    client: ssl.SSLContext, server: ssl.SSLContext
) -> tuple[ssl.SSLSocket | BaseException, ssl.SSLSocket | BaseException]:
    here, there = pair()

    async def shake(sock: socket.socket, context: ssl.SSLContext, name: str) -> object:
        try:
            return await tls_handshake(sock, context, server_side=not name, server_name=name)
        except OSError as error:
            return error

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        mine = group.create_task(shake(here, client, "localhost"))
        theirs = group.create_task(shake(there, server, ""))
    return mine.result(), theirs.result()  # type: ignore[return-value]  # one of the two each


async def test_both_sides() -> None:
    mine, theirs = await both(trusting(), serving())
    assert isinstance(mine, ssl.SSLSocket)
    assert isinstance(theirs, ssl.SSLSocket)
    assert mine.selected_alpn_protocol() == theirs.selected_alpn_protocol() == "h2"
    mine.close()
    theirs.close()


async def test_a_stranger_is_refused() -> None:
    mine, theirs = await both(client_context(roots=CA("other").certificate), serving())
    assert isinstance(mine, ssl.SSLCertVerificationError)
    if isinstance(theirs, ssl.SSLSocket):  # TLS 1.3: the server is through before it hears of it
        theirs.close()


async def test_a_peer_without_http2_is_refused_at_once() -> None:
    silent = serving()
    silent.set_alpn_protocols([])
    mine, theirs = await both(trusting(), silent)
    for each in (mine, theirs):
        assert isinstance(each, OSError)
        assert "ALPN h2" in str(each)


async def test_who_gives_up_leaves_nothing_open() -> None:
    here, there = pair()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await tls_handshake(here, trusting(), server_side=False, server_name="localhost")
    assert here.fileno() == -1
    there.setblocking(True)
    there.settimeout(DEADLINE)
    assert there.recv(65_536)[:1] == b"\x16"  # its ClientHello
    assert there.recv(1) == b""
    there.close()
