# SPDX-License-Identifier: Apache-2.0
"""The proof: a TLS server in Envoy's place that shows one certificate or another."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sdsserver.metrics import Metrics
from sdsserver.proof import AGAIN, Address, Proof, Verdict, shown_by, verdict
from sdsserver.secret import Secret
from sdsserver.x509 import Facts, facts
from tests.support.clock import FakeClock
from tests.support.testca import CA, Leaf

ME = "spiffe://cluster.local/ns/a/sa/b"
CA_OF_ALL = CA()


def leaf(name: str = ME) -> Leaf:
    return CA_OF_ALL.issue(name)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (None, Verdict.UNPROVEN),
        (Facts(1, 0, 1, (ME,)), Verdict.SERVED),
        (Facts(2, 0, 1, (ME,)), Verdict.DIFFERS),
        (Facts(2, 0, 1, ("spiffe://other",)), Verdict.UNPROVEN),
        (Facts(2, 0, 1, ()), Verdict.UNPROVEN),
    ],
)
def test_only_the_workloads_own_certificate_can_differ(
    shown: Facts | None, expected: Verdict
) -> None:
    assert verdict(shown, [Facts(1, 0, 1, (ME,)), Facts(9, 0, 1, ())]) is expected


class World:
    """What we serve (``given``), what Envoy shows, and the proof between them."""

    def __init__(self, tmp: Path) -> None:
        self.clock, self.metrics = FakeClock(), Metrics()
        self.tmp = tmp
        self.given = leaf()
        self.addresses: list[Address] = []
        self.pushed: list[str] = []
        self.seen: list[tuple[str, ...]] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_verify_locations(cadata=CA_OF_ALL.certificate.decode())
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.proof = Proof(
            self.inbound, self.current, self.secret, self.pushed.append, self.clock, self.metrics
        )

    async def inbound(self) -> list[Address]:
        return self.addresses

    def current(self) -> dict[str, Facts]:
        return {"default": facts(self.given.chain)}

    async def secret(self, name: str) -> Secret:
        return Secret(name, chain=self.given.chain, key=self.given.key)

    def show(self, shown: Leaf) -> None:
        shown.write(self.tmp)
        self.context.load_cert_chain(self.tmp / "cert-chain.pem", self.tmp / "key.pem")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(on_connection, "127.0.0.1", 0, ssl=self.context)
        self.addresses = [("127.0.0.1", server.sockets[0].getsockname()[1])]
        async with server, asyncio.TaskGroup() as group:
            task = group.create_task(self.proof.run())
            yield
            task.cancel()

    async def until(self, wanted: Verdict, *, alarmed: bool = False) -> None:
        async with asyncio.timeout(30):
            while self.proof.verdict is not wanted or (alarmed and not self.pushed):
                await self.clock.advance(0.5)
                await asyncio.sleep(0.01)


async def test_what_is_shown_after_a_rotation_is_proven(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.show(world.given)
    async with world.running():
        world.proof.on_update("default")
        await world.until(Verdict.SERVED)
        status = world.proof.status()
        assert status["serial"] == f"{facts(world.given.chain).serial:x}"
        assert world.metrics.differs is False
        world.given = leaf()
        world.proof.on_update("default")
        await world.until(Verdict.DIFFERS)
        world.show(world.given)
        await world.until(Verdict.SERVED)
    assert world.pushed == []


async def test_what_stays_different_is_an_alarm_once_and_is_pushed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    old = leaf()
    world.show(old)
    async with world.running():
        world.proof.on_update("default")
        await world.until(Verdict.DIFFERS, alarmed=True)
        for _ in range(4):
            await world.clock.advance(AGAIN)
            await asyncio.sleep(0.05)
        assert world.pushed == ["default"]
        said = capsys.readouterr().out
        assert said.count("envoy serves another certificate than it was given") == 1
        assert f"{facts(old.chain).serial:x}" in said
        text = world.metrics.render(world.clock.now())
        assert "pilothouse_served_cert_differs 1\n" in text
        world.show(world.given)
        await world.until(Verdict.SERVED)
        assert "pilothouse_served_cert_differs 0\n" in world.metrics.render(world.clock.now())


async def test_an_applications_own_certificate_is_no_alarm(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.show(leaf("shop.example.com"))
    async with world.running():
        world.proof.on_update("default")
        for _ in range(60):
            await world.clock.advance(1.0)
            await asyncio.sleep(0.005)
        assert world.proof.verdict is Verdict.UNPROVEN
        assert world.metrics.differs is None
    assert world.pushed == []


async def test_an_envoy_that_comes_later_is_proven_later(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.show(world.given)
    async with world.running():
        later, world.addresses = world.addresses, []
        world.proof.on_update("default")
        for _ in range(80):
            await world.clock.advance(1.0)
        assert world.proof.verdict is Verdict.UNPROVEN
        world.addresses = later
        await world.until(Verdict.SERVED)


async def test_nothing_there_shows_nothing() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert await shown_by(("127.0.0.1", 1), context) is None


async def test_roots_alone_prove_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.show(world.given)
    async with world.running():
        world.proof.on_update("ROOTCA")
        for _ in range(30):
            await world.clock.advance(1.0)
        assert world.proof.verdict is Verdict.UNPROVEN
