# SPDX-License-Identifier: Apache-2.0
"""The manager with a fake clock and a CA in memory: what is served when, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mesh.errors import MeshError, SigningFailed
from mesh.identity import Identity
from sdsserver.identity import IdentityStore
from sdsserver.manager import NoCa, SecretManager, Sources
from sdsserver.metrics import Metrics
from sdsserver.mint import make
from sdsserver.minting import Minted
from sdsserver.options import CertFiles, SecretOptions
from sdsserver.schedule import ASKED
from sdsserver.trust import merge_roots
from sdsserver.x509 import facts
from tests.support.clock import FakeClock
from tests.support.testca import CA

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")


@dataclass(slots=True)
class FakeSigner:
    """Signs with ``ca`` at the clock's time; ``fail`` makes it refuse, ``hold`` makes it wait."""

    clock: FakeClock
    ca: CA = field(default_factory=CA)
    lifetime: float = 3600.0
    fail: bool = False
    hold: asyncio.Event | None = None
    count: int = 0
    ahead: float = 0.0
    """Seconds by which the CA's clock is ahead."""

    async def sign(self, csr: str, ttl: float) -> list[str]:
        self.count += 1
        if self.hold:
            await self.hold.wait()
        if self.fail:
            raise SigningFailed("fake", "down")
        import time

        begin = self.clock.now() + self.ahead - time.time()
        leaf = self.ca.sign(csr.encode(), lifetime=self.lifetime, begin=begin)
        return [leaf.decode(), self.ca.certificate.decode()]


class World:
    """A running manager."""

    def __init__(self, tmp: Path, *, store: IdentityStore | None = None, **options: Any) -> None:
        self.clock = FakeClock()
        self.signer: FakeSigner | None = FakeSigner(self.clock)
        self.told: list[str] = []
        self.metrics = Metrics()
        self._store = store
        self.options = SecretOptions(
            **{
                "identity": ME,
                "ca": None,
                "well_known": CertFiles.in_dir(str(tmp / "certs")),
                "grace_jitter": 0.0,
                **options,
            }
        )

    async def mint(self) -> Minted:
        made = make({"host": str(ME), "ec_algorithm": "ECDSA"})
        return Minted(made["key"], made["csr"])

    @property
    def ca(self) -> FakeSigner:
        assert self.signer is not None
        return self.signer

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SecretManager]:
        sources = Sources(self.mint, self.signer, self._store)
        manager = SecretManager(
            self.options, sources, self.clock, metrics=self.metrics, rng=Random(1)
        )
        manager.listen(self.told.append)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(manager.run())
            await settle()
            yield manager
            task.cancel()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def pass_time(world: World, seconds: float) -> None:
    """In steps shorter than the manager's own, so that each of its looks happens."""
    while seconds > 0:
        await world.clock.advance(min(4.0, seconds))
        await settle()
        seconds -= 4.0


async def test_the_first_certificate_comes_without_being_asked_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running() as manager:
        assert manager.first.is_set()
        pair = await manager.secret("default")
        root = await manager.secret("ROOTCA")
        assert world.ca.count == 1
        assert facts(pair.chain).uris == (str(ME),)
        assert root.root == merge_roots(world.ca.ca.certificate)
        assert world.told == []


async def test_everyone_who_asks_meanwhile_shares_one_request(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ca.hold = asyncio.Event()
    async with world.running() as manager, asyncio.TaskGroup() as group:
        tasks = [group.create_task(manager.secret("default")) for _ in range(20)]
        await settle()
        world.ca.hold.set()
        results = {(await task).chain for task in tasks}
        assert len(results) == 1
        assert world.ca.count == 1
        assert world.told == []


async def test_any_other_name_is_the_workloads_certificate(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running() as manager:
        odd = await manager.secret("file-cert:only-one-part")
        assert odd.name == "file-cert:only-one-part"
        assert odd.chain == (await manager.secret("default")).chain


async def test_renewal_is_in_time_and_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running() as manager:
        before = await manager.secret("default")
        await pass_time(world, 1790)
        assert world.ca.count == 1
        await pass_time(world, 15)
        assert world.ca.count == 2
        assert world.told == ["default"]
        after = await manager.secret("default")
        assert facts(after.chain).serial != facts(before.chain).serial
        assert after.key != before.key


async def test_a_new_root_is_told_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running() as manager:
        await manager.secret("ROOTCA")
        world.ca.ca = CA("another")
        await pass_time(world, 1805)
        assert sorted(world.told) == ["ROOTCA", "default"]
        assert (await manager.secret("ROOTCA")).root == merge_roots(world.ca.ca.certificate)


async def test_a_failing_ca_never_drops_a_valid_certificate(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running() as manager:
        first = await manager.secret("default")
        world.ca.fail = True
        await pass_time(world, 3595)
        assert world.ca.count > 3
        assert (await manager.secret("default")).chain == first.chain
        assert manager.status()["last_error"]
        await pass_time(world, 10)  # expired now: of no use to anyone
        with pytest.raises(SigningFailed, match="down"):
            await asked(world, manager)
        world.ca.fail = False
        assert (await asked(world, manager)) != first.chain
        assert manager.status()["last_error"] == ""


async def asked(world: World, manager: SecretManager) -> bytes:
    """The chain, for somebody who waits until the CA may be asked again."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(told(manager))
        await settle()
        await pass_time(world, ASKED)
        found = await task
    if isinstance(found, MeshError):
        raise found
    return found


async def told(manager: SecretManager) -> bytes | MeshError:
    try:
        return (await manager.secret("default")).chain
    except MeshError as error:
        return error


async def test_many_who_ask_a_dead_ca_cost_one_request_each_two_seconds(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ca.fail = True
    async with world.running() as manager:
        before = world.ca.count
        for _ in range(30):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(told(manager)) for _ in range(20)]
                await settle()
                await pass_time(world, ASKED)
            assert all(isinstance(task.result(), SigningFailed) for task in tasks)
        assert world.ca.count - before <= 31


async def test_three_lifetimes_without_a_ca_and_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    world.ca.lifetime = 60.0
    async with world.running() as manager:
        await manager.secret("default")
        world.ca.fail = True
        await pass_time(world, 56)
        assert "has expired" not in capsys.readouterr().out
        await pass_time(world, 124)
        told = [line for line in capsys.readouterr().out.splitlines() if "has expired" in line]
        assert len(told) == 1
        assert "error" in told[0]
        assert "why=certificate request to fake failed: down" in told[0]
        assert manager.status()["last_error"]
        assert b"cert_expiry_seconds" in world.metrics.render(world.clock.now()).encode()
        world.ca.fail = False
        await pass_time(world, 61)
        assert manager.status()["last_error"] == ""
        assert world.told == ["default"]


async def test_a_machine_that_was_suspended_in_the_backoff_asks_within_five_seconds(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.ca.fail = True
    async with world.running():
        await pass_time(world, 600)
        world.ca.fail = False
        world.clock.jump(26 * 3600.0)
        before = world.ca.count
        await pass_time(world, 5.1)
        assert world.ca.count == before + 1


async def test_a_certificate_of_tomorrow_waits_while_todays_serves(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running() as manager:
        first = await manager.secret("default")
        world.ca.ahead = 600.0
        await pass_time(world, 1805)
        assert world.ca.count == 2
        assert (await manager.secret("default")).chain == first.chain
        assert world.told == []
        await pass_time(world, 605)
        assert world.ca.count == 2
        assert world.told == ["default"]
        assert facts((await manager.secret("default")).chain).valid_at(world.clock.now())


async def test_a_certificate_of_tomorrow_is_better_than_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ca.ahead = 600.0
    async with world.running() as manager:
        assert facts((await manager.secret("default")).chain).not_before > world.clock.now()
        await pass_time(world, 100)
        assert world.ca.count == 1


async def test_what_expired_by_our_clock_is_said_and_asked_for_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ca.ahead = -7200.0
    async with world.running() as manager:
        with pytest.raises(SigningFailed, match=r"expired .* by our clock"):
            await asked(world, manager)
        world.ca.ahead = 0.0
        await pass_time(world, 10)
        assert manager.first.is_set()


async def test_after_a_suspend_the_wall_clock_counts(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running() as manager:
        await manager.secret("default")
        world.clock.jump(365 * 86400.0)
        await pass_time(world, 5.1)
        assert world.ca.count == 2


async def test_a_clock_set_back_gives_a_certificate_of_that_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running() as manager:
        await manager.secret("default")
        world.clock.jump(-365 * 86400.0)
        await pass_time(world, 6)
        assert world.ca.count == 2
        await pass_time(world, 60)
        assert world.ca.count == 2


@dataclass(slots=True)
class TrueTime:
    """The CA's clock, which nobody sets, beside ours, which is moved."""

    world: World

    def move(self, seconds: float) -> None:
        self.world.clock.jump(seconds)
        self.world.ca.ahead -= seconds

    async def least_left(self, manager: SecretManager, seconds: float) -> float:
        """What is left, by the CA's clock, of what is served while ``seconds`` pass."""
        least = float("inf")
        for _ in range(int(seconds / 60)):
            await pass_time(self.world, 60)
            found = facts((await manager.secret("default")).chain)
            least = min(least, found.not_after - self.world.clock.now() - self.world.ca.ahead)
        return least


@pytest.mark.parametrize(
    ("behind", "after", "grace"),
    [
        (1200.0, 1500.0, 0.5),
        (1200.0, 1500.0, 0.2),
        (3 * 3600.0, 0.0, 0.5),
        (365 * 86400.0, 0.0, 0.5),
    ],
)
async def test_a_clock_that_falls_behind_makes_nothing_late(
    tmp_path: Path, behind: float, after: float, grace: float
) -> None:
    """The CA's clock stays right: by it no certificate ends in our hands, nor is the CA asked without need."""
    world = World(tmp_path, grace_ratio=grace)
    async with world.running() as manager:
        truth = TrueTime(world)
        await pass_time(world, after)
        truth.move(-behind)
        least = await truth.least_left(manager, 4500.0)
        assert least > 300
        assert world.ca.count <= 5


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_a_clock_that_moves_to_and_fro_makes_nothing_late(tmp_path: Path, seed: int) -> None:
    """It is never ahead of the CA's: then what the CA issues can be over by our clock."""
    world, rng = World(tmp_path), Random(seed)
    async with world.running() as manager:
        truth, behind, least = TrueTime(world), 0.0, float("inf")
        for _ in range(8):
            to = rng.choice((0.0, 2.0, 60.0, 1000.0, 3000.0, 86400.0, 365 * 86400.0))
            truth.move(behind - to)
            behind = to
            least = min(least, await truth.least_left(manager, rng.choice((60, 600, 2400))))
        assert least > 0


async def test_a_grace_ratio_of_one_is_paced(tmp_path: Path) -> None:
    world = World(tmp_path, grace_ratio=1.0)
    async with world.running():
        for _ in range(10):
            await pass_time(world, 1.0)
        assert 5 <= world.ca.count <= 12


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
async def test_renewals_of_short_lives_are_never_late(tmp_path: Path, count: int) -> None:
    """TTL 60 s, jitter, and a CA that fails every seventh request: what is served is always far from its end."""
    world = World(tmp_path, grace_jitter=0.01)
    world.ca.lifetime = 60.0
    least = 60.0
    async with world.running() as manager:
        while len(world.told) < count:
            world.ca.fail = world.ca.count % 7 == 6 and not world.ca.fail
            await pass_time(world, 4.0)
            found = facts((await manager.secret("default")).chain)
            least = min(least, found.not_after - world.clock.now())
    print(f"{count} renewals, never closer to the end than {least:.1f} s of 60 s")
    assert least > 20


async def test_retries_are_fewer_and_fewer_but_fit_the_lifetime(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ca.fail = True
    async with world.running():
        await pass_time(world, 600)
        early = world.ca.count
        await pass_time(world, 600)
        assert 10 < early < 40
        assert world.ca.count - early < 20


async def test_new_anchors_mean_new_roots_and_a_new_certificate(tmp_path: Path) -> None:
    world = World(tmp_path)
    extra = CA("extra").certificate
    async with world.running() as manager:
        await manager.secret("default")
        await pass_time(world, 2)
        manager.set_anchors([extra])
        manager.set_anchors([extra])
        await pass_time(world, 6)
        assert world.ca.count == 2
        assert world.told == ["ROOTCA", "default"]
        root = (await manager.secret("ROOTCA")).root
        assert root == merge_roots(world.ca.ca.certificate, extra)


async def test_files_come_first_and_the_ca_is_never_asked(tmp_path: Path) -> None:
    world = World(tmp_path)
    leaf = CA().issue(str(ME))
    leaf.write(tmp_path / "certs")
    async with world.running() as manager:
        assert (await manager.secret("default")).chain == leaf.chain
        assert (await manager.secret("ROOTCA")).root == merge_roots(leaf.root)
        assert manager.first.is_set()
        await pass_time(world, 400)
        assert world.ca.count == 0


async def test_anchors_join_the_well_known_root_but_not_a_named_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    leaf, extra = CA().issue(str(ME)), CA("extra").certificate
    leaf.write(tmp_path / "certs")
    async with world.running() as manager:
        manager.set_anchors([extra])
        named = f"file-root:{tmp_path}/certs/root-cert.pem"
        assert (await manager.secret("ROOTCA")).root == merge_roots(leaf.root, extra)
        assert (await manager.secret(named)).root == leaf.root


async def test_without_a_ca_other_names_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.signer = None
    async with world.running() as manager:
        assert manager.first.is_set()
        with pytest.raises(NoCa):
            await manager.secret("default")


async def test_output_is_written_at_once_and_at_each_renewal(tmp_path: Path) -> None:
    world = World(tmp_path, output_dir=str(tmp_path))
    async with world.running() as manager:
        chain = (tmp_path / "cert-chain.pem").read_bytes()
        assert chain == (await manager.secret("default")).chain
        assert (tmp_path / "root-cert.pem").exists()
        assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
        await pass_time(world, 1805)
        assert (tmp_path / "cert-chain.pem").read_bytes() != chain


async def test_own_output_is_not_taken_for_a_source(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    world = World(tmp_path, output_dir=str(tmp_path / "certs"))
    async with world.running():
        await pass_time(world, 1805)
        assert world.ca.count == 2


async def test_a_stored_identity_serves_without_a_ca(tmp_path: Path) -> None:
    world = World(tmp_path, store=IdentityStore(str(tmp_path), ME))
    async with world.running() as manager:
        chain = (await manager.secret("default")).chain
    again = World(tmp_path, store=IdentityStore(str(tmp_path), ME))
    again.ca.fail = True
    async with again.running() as manager:
        assert manager.first.is_set()
        assert (await manager.secret("default")).chain == chain
        assert (await manager.secret("ROOTCA")).root == merge_roots(world.ca.ca.certificate)
        assert again.ca.count == 0


@pytest.mark.parametrize("chain", [["garbage", "garbage"], ["", ""]])
async def test_a_bad_chain_is_an_error_that_shows_nothing(
    tmp_path: Path, chain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)

    async def sign(csr: str, ttl: float) -> list[str]:
        return chain

    monkeypatch.setattr(FakeSigner, "sign", staticmethod(sign))
    async with world.running() as manager:
        with pytest.raises(MeshError) as caught:
            await asked(world, manager)
        assert "BEGIN" not in str(caught.value)
    assert world.metrics.failed_requests >= 1


async def test_someone_elses_certificate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    other = world.ca.ca.issue(str(ME))

    async def sign(self: FakeSigner, csr: str, ttl: float) -> list[str]:
        return [other.certificate.decode(), other.root.decode()]

    monkeypatch.setattr(FakeSigner, "sign", sign)
    async with world.running() as manager:
        with pytest.raises(SigningFailed, match="not a pair"):
            await asked(world, manager)


async def test_a_cancelled_asker_harms_nobody(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ca.hold = asyncio.Event()
    async with world.running() as manager, asyncio.TaskGroup() as group:
        gone = group.create_task(manager.secret("default"))
        stays = group.create_task(manager.secret("default"))
        await settle()
        gone.cancel()
        await settle()
        world.ca.hold.set()
        assert (await stays).chain
