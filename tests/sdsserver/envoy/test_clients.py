# SPDX-License-Identifier: Apache-2.0
"""Two real Envoys of one mesh: what they show each other, as server and as client, is replaced while requests pass."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdsserver import SdsPart
from tests.sdsserver.envoy.stage import PATIENCE, Stage, push_anchors, secrets, staged
from tests.support.fakeca import FakeCa
from tests.support.load import BODY, PACE, Load
from tests.support.mtls_envoy import FAILURES, MtlsEnvoy, mtls_envoy, towards
from tests.support.testca import CA

LIFETIME, EARLY = 20.0, 0.9
"""Renewed every two seconds, with much time to spare."""


class TcpLoad:
    """A new connection for each message."""

    def __init__(self, port: int) -> None:
        self.done = 0
        self.failed: list[str] = []
        self._port = port

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._once()
                self.done += 1
            except FAILURES as error:
                self.failed.append(f"tcp: {error!r}")
            await asyncio.sleep(PACE)

    async def _once(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(BODY)
            assert await reader.readexactly(len(BODY)) == BODY
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@dataclass(frozen=True, slots=True)
class Pair:
    """A server, and a client that has secrets of its own and passes on to it."""

    server: Stage
    part: SdsPart
    client: MtlsEnvoy

    def push_anchors(self, *roots: CA) -> None:
        """To both of them."""
        for part in (self.part, self.server.part):
            push_anchors(part, *roots)

    async def renewed(self, times: int) -> None:
        """Until each has shown so many certificates more."""
        async with asyncio.TaskGroup() as group:
            for envoy in (self.client, self.server.envoy):
                group.create_task(renewed(envoy, times))


@asynccontextmanager
async def pair(folder: Path, fake: FakeCa) -> AsyncIterator[Pair]:
    own = folder / "client"
    own.mkdir()
    async with (
        staged(folder, fake, grace_ratio=EARLY) as stage,
        secrets(own, fake, grace_ratio=EARLY) as (part, socket),
    ):
        async with mtls_envoy(own, towards(socket, stage.envoy)) as envoy:
            yield Pair(stage, part, envoy)
        for each in (part, stage.part):
            assert each.status()["last_error"] == ""


@asynccontextmanager
async def passing(envoy: MtlsEnvoy) -> AsyncIterator[None]:
    """Requests of all kinds pass meanwhile; at the end none has failed, and each that was wanted came to pass."""
    http, tcp = Load("client", envoy.http), TcpLoad(envoy.tcp)
    async with asyncio.TaskGroup() as group:
        group.create_task(http.run())
        group.create_task(tcp.run(http.stop))
        try:
            yield
        finally:
            http.stop.set()
    print(f"{http.figures()}; {tcp.done} TCP, {len(tcp.failed)} failed")
    assert http.failed + tcp.failed == []
    assert tcp.done > 10
    assert min(http.done.values()) > 10
    assert len(http.done) == 3


async def serials(envoy: MtlsEnvoy) -> set[str]:
    """Of the certificates that this Envoy shows; for a moment there may be two."""
    document = json.loads(await envoy.ask("/certs"))
    return {each["cert_chain"][0]["serial_number"] for each in document["certificates"]}


async def renewed(envoy: MtlsEnvoy, times: int) -> None:
    known = await serials(envoy)
    seen = set(known)
    async with asyncio.timeout(PATIENCE):
        while len(seen - known) < times:
            await asyncio.sleep(0.1)
            seen |= await serials(envoy)


@pytest.mark.envoy
@pytest.mark.long
async def test_both_ends_of_a_connection_rotate_under_load(short_tmp: Path) -> None:
    async with pair(short_tmp, FakeCa(lifetime=LIFETIME)) as both, passing(both.client):
        await both.renewed(5)


@pytest.mark.envoy
@pytest.mark.long
async def test_both_ends_of_a_connection_change_their_root(short_tmp: Path) -> None:
    """Both roots are trusted before anything is signed with the new one, and until all is."""
    old, new = CA("old root"), CA("new root")
    fake = FakeCa(ca=old, lifetime=LIFETIME)
    async with pair(short_tmp, fake) as both, passing(both.client):
        await both.renewed(1)
        both.push_anchors(old, new)
        await both.renewed(2)
        fake.ca = new
        await both.server.until_served_by(new)
        await both.renewed(2)
        both.push_anchors(new)
        await both.renewed(2)
