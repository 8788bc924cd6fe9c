# SPDX-License-Identifier: Apache-2.0
"""What a client and a server of scripts are, how they meet (``Wire``), and where a test finds each kind."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from cryptography import x509

from tests.support.testca import CA, Leaf
from tests.wire.witness.script import Call, Outcome, Seen
from wire.h2io.tls import client_context, server_context

DEADLINE = 60.0
"""Seconds for one script: only to end, where a side never does."""
SERVER_ID = "spiffe://cluster.local/ns/istio-system/sa/istiod"
CLIENT_ID = "spiffe://cluster.local/ns/default/sa/client"


class Transport(StrEnum):
    """What carries the bytes."""

    UNIX = "unix"
    TCP = "tcp"
    TLS12 = "tls1.2"
    TLS13 = "tls1.3"

    @property
    def tls(self) -> bool:
        return self in {Transport.TLS12, Transport.TLS13}


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Flow control of both sides; 0 leaves an implementation its own."""

    stream: int = 0
    connection: int = 0
    frame: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How a client and a server meet."""

    transport: Transport
    directory: Path
    """Short enough for a unix socket."""
    server: Leaf | None = None
    client: Leaf | None = None
    """None: the client shows no certificate."""
    client_roots: bytes = b""
    """What vouches for clients; empty where the server asks for no certificate."""
    windows: Windows = Windows()

    @property
    def versions(self) -> ssl.TLSVersion:
        return (
            ssl.TLSVersion.TLSv1_2 if self.transport is Transport.TLS12 else ssl.TLSVersion.TLSv1_3
        )

    def server_context(self) -> ssl.SSLContext | None:
        """Ours: a client may show a certificate."""
        if self.server is None:
            return None
        context = server_context(
            chain=self.server.chain, key=self.server.key, client_roots=self.client_roots or None
        )
        context.minimum_version = context.maximum_version = self.versions
        return context

    def client_context(self) -> ssl.SSLContext | None:
        if self.server is None:
            return None
        context = client_context(
            roots=self.server.root,
            certificate=self.client.chain if self.client else None,
            key=self.client.key if self.client else None,
        )
        context.minimum_version = context.maximum_version = self.versions
        return context


class Client(Protocol):
    """Makes calls on one connection."""

    async def play(self, calls: Sequence[Call]) -> list[Outcome]:
        """All at once; the outcomes in the order of the calls, as they came."""


class Server(Protocol):
    """Plays the server's side of any call."""

    target: str

    async def seen(self, number: int) -> Seen:
        """What it saw of that call, once it is over there."""

    async def drain(self) -> None:
        """Take no new calls, let those that run go on; returns when all is over."""


Clients = Callable[[Wire, str], AbstractAsyncContextManager[Client]]
Servers = Callable[[Wire], AbstractAsyncContextManager[Server]]


class Reports:
    """What a server in this process saw."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Seen]] = {}

    def _of(self, number: int) -> asyncio.Future[Seen]:
        if number not in self._waiting:
            self._waiting[number] = asyncio.get_running_loop().create_future()
        return self._waiting[number]

    def put(self, number: int, seen: Seen) -> None:
        self._of(number).set_result(seen)

    async def get(self, number: int) -> Seen:
        async with asyncio.timeout(DEADLINE):
            return await self._of(number)


def wire(
    transport: Transport, directory: Path, *, certificate: bool, windows: Windows = Windows()
) -> Wire:
    """Over TLS the server has a certificate, and vouches for the client's, if the client shows one."""
    if not transport.tls:
        return Wire(transport=transport, directory=directory, windows=windows)
    ca = CA()
    return Wire(
        transport=transport,
        directory=directory,
        server=ca.issue("localhost", "127.0.0.1", SERVER_ID),
        client=ca.issue(CLIENT_ID) if certificate else None,
        client_roots=ca.certificate,
        windows=windows,
    )


async def until(condition: Callable[[], object]) -> None:
    """For what nobody tells: looks again and again."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)


def spiffe_id(der: bytes | None) -> str:
    """The URI in a certificate."""
    if der is None:
        return ""
    names = (
        x509.load_der_x509_certificate(der)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value.get_values_for_type(x509.UniformResourceIdentifier)
    )
    return names[0] if names else ""
