# SPDX-License-Identifier: Apache-2.0
"""Secrets from files, on the real file system with the real clock: what is told after which change."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.clock import Clock, SystemClock
from mesh.identity import Identity
from mesh.inotify import Inotify
from sdsserver import files as files_module
from sdsserver.files import FileSecretFailed, FileSecrets
from sdsserver.metrics import Metrics
from sdsserver.names import SYSTEM_ROOT, FileName
from sdsserver.options import CertFiles, SecretOptions
from sdsserver.reading import Contents, parse, read
from sdsserver.reading import contents as read_contents
from tests.support.clock import FakeClock
from tests.support.testca import CA, Leaf

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")
ROOTS = CA("files")


class World:
    def __init__(self, tmp: Path, *, clock: Clock | None = None, **options: Any) -> None:
        self.tmp = tmp
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.metrics = Metrics()
        found = SecretOptions(
            **{
                "identity": ME,
                "ca": None,
                "well_known": CertFiles.in_dir(str(tmp / "well-known")),
                "debounce": 0.02,
                "file_deadline": 0.3,
                "poll": 30.0,
                **options,
            }
        )
        self.files = FileSecrets(found, clock or SystemClock(), self.metrics, self.told.put_nowait)

    @property
    def pair(self) -> str:
        return f"file-cert:{self.tmp}/cert-chain.pem~{self.tmp}/key.pem"

    @property
    def root(self) -> str:
        return f"file-root:{self.tmp}/root-cert.pem"

    async def load(self, name: str) -> None:
        files = self.files.source(name)
        assert files is not None
        await self.files.load(name, files)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.files.run())
            await asyncio.sleep(0)
            yield
            task.cancel()

    async def hours_pass(self, clock: FakeClock, holds: Callable[[], bool]) -> None:
        """Until ``holds``; events of the kernel come in real time, debouncing is on ``clock``."""
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.005)
                await clock.advance(0.05)

    async def next(self) -> str:
        async with asyncio.timeout(20):
            return await self.told.get()

    async def silence(self) -> bool:
        """A later change of another file is the only thing told: nothing was under way before it."""
        marker = self.tmp / "marker.pem"
        marker.write_bytes(CA("before").certificate)
        await self.load(f"file-root:{marker}")
        replace(marker, CA("after").certificate)
        return await self.next() == f"file-root:{marker}"


def replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(content)
    temporary.rename(path)


def leaf() -> Leaf:
    return ROOTS.issue(str(ME))


async def test_cert_and_key_replaced_are_told_once_when_they_match(tmp_path: Path) -> None:
    leaf().write(tmp_path)
    world = World(tmp_path)
    async with world.running():
        await world.load(world.pair)
        await world.load(world.root)
        new = leaf()
        replace(tmp_path / "cert-chain.pem", new.chain)
        await asyncio.sleep(0.1)
        assert world.told.empty()
        replace(tmp_path / "key.pem", new.key)
        assert await world.next() == world.pair
        assert await world.silence()


async def test_a_new_root_is_told(tmp_path: Path) -> None:
    leaf().write(tmp_path)
    world = World(tmp_path)
    async with world.running():
        await world.load(world.root)
        replace(tmp_path / "root-cert.pem", CA("new").certificate)
        assert await world.next() == world.root


async def test_writing_in_place_is_noticed_and_half_of_it_never_told(tmp_path: Path) -> None:
    leaf().write(tmp_path)
    world = World(tmp_path)
    async with world.running():
        await world.load(world.root)
        new = CA("new").certificate
        with open(tmp_path / "root-cert.pem", "wb") as file:
            file.write(new[:100])
            file.flush()
            await asyncio.sleep(0.1)
            assert world.told.empty()
            file.write(new[100:])
        assert await world.next() == world.root


async def test_the_same_content_again_is_not_told(tmp_path: Path) -> None:
    leaf().write(tmp_path)
    world = World(tmp_path)
    async with world.running():
        await world.load(world.pair)
        content = (tmp_path / "cert-chain.pem").read_bytes()
        os.chmod(tmp_path / "cert-chain.pem", 0o600)
        replace(tmp_path / "cert-chain.pem", content)
        assert await world.silence()


async def test_removed_and_made_again_is_told(tmp_path: Path) -> None:
    leaf().write(tmp_path)
    world = World(tmp_path)
    async with world.running():
        await world.load(world.pair)
        (tmp_path / "cert-chain.pem").unlink()
        (tmp_path / "key.pem").unlink()
        await asyncio.sleep(0.1)
        assert world.told.empty()
        leaf().write(tmp_path)
        assert await world.next() == world.pair


async def test_a_kubernetes_volume_swap_is_told_each_time(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    leaf().write(volume / "..1")
    (volume / "..data").symlink_to("..1")
    for name in ("cert-chain.pem", "key.pem", "root-cert.pem"):
        (volume / name).symlink_to(f"..data/{name}")
    world = World(volume)
    async with world.running():
        await world.load(world.pair)
        for number in range(2, 6):
            leaf().write(volume / f"..{number}")
            (volume / "..data_tmp").symlink_to(f"..{number}")
            (volume / "..data_tmp").rename(volume / "..data")
            assert await world.next() == world.pair


async def test_a_chain_of_links_through_other_places(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for number in (1, 2):
        (tmp_path / f"c{number}").mkdir()
        (tmp_path / f"c{number}" / "root-cert.pem").write_bytes(CA(str(number)).certificate)
    (tmp_path / "b" / "link").symlink_to(tmp_path / "c1" / "root-cert.pem")
    (tmp_path / "a" / "root-cert.pem").symlink_to("../b/link")
    world = World(tmp_path / "a")
    async with world.running():
        await world.load(world.root)
        (tmp_path / "b" / "next").symlink_to(tmp_path / "c2" / "root-cert.pem")
        (tmp_path / "b" / "next").rename(tmp_path / "b" / "link")
        assert await world.next() == world.root
        replace(tmp_path / "c2" / "root-cert.pem", CA("3").certificate)
        assert await world.next() == world.root


async def test_without_notifications_the_poll_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Inotify) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Inotify, "__init__", refuse)
    leaf().write(tmp_path)
    world = World(tmp_path, poll=0.05)
    async with world.running():
        await world.load(world.root)
        replace(tmp_path / "root-cert.pem", CA("new").certificate)
        assert await world.next() == world.root
    assert world.metrics.file_watcher_failures == 1


async def test_a_file_that_appears_in_time_is_served(tmp_path: Path) -> None:
    world = World(tmp_path, file_deadline=20.0)
    async with asyncio.TaskGroup() as group:
        group.create_task(world.load(world.pair))
        await asyncio.sleep(0.05)
        leaf().write(tmp_path)


async def test_a_file_that_never_appears_is_an_error_after_the_deadline(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(FileSecretFailed, match="no such file or directory"):
        await world.load(world.root)
    with pytest.raises(FileSecretFailed, match="no such file or directory"):
        await world.load(world.pair)
    assert world.metrics.file_secret_failures == 2


async def test_a_mismatched_pair_is_never_served(tmp_path: Path) -> None:
    leaf().write(tmp_path)
    (tmp_path / "key.pem").write_bytes(leaf().key)
    world = World(tmp_path)
    with pytest.raises(FileSecretFailed, match="not a pair"):
        await world.load(world.pair)


def test_what_is_a_file_source(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.files.source("default") is None
    assert world.files.source("file-cert:a~") is None
    assert world.files.source("file-root:a~b") is None
    leaf().write(tmp_path / "well-known")
    assert world.files.source("default") is not None
    assert world.files.source("ROOTCA") is not None
    (tmp_path / "well-known" / "key.pem").write_bytes(b"")
    assert world.files.source("default") is None
    own = World(tmp_path, output_dir=str(tmp_path / "x" / ".." / "well-known"))
    assert own.files.source("ROOTCA") is None


def test_the_machines_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        files_module, "SYSTEM_BUNDLES", (str(tmp_path / "none"), str(tmp_path / "b"))
    )
    assert World(tmp_path).files.source(SYSTEM_ROOT) is None
    (tmp_path / "b").write_bytes(ROOTS.certificate)
    found = World(tmp_path).files.source(SYSTEM_ROOT)
    assert found == FileName(root=str(tmp_path / "b"))
    assert read(SYSTEM_ROOT, found).root == ROOTS.certificate


def test_invalid_roots_are_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    (tmp_path / "root-cert.pem").write_bytes(ROOTS.certificate + bad)
    name = FileName(root=str(tmp_path / "root-cert.pem"))
    assert read("r", name).root == ROOTS.certificate
    assert "count=1" in capsys.readouterr().out


async def test_content_counts_where_the_file_system_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same size, same inode, same times, no notification: as a network file system may have it."""
    monkeypatch.setattr(Inotify, "add", lambda self, path, mask=0: 1)
    leaf().write(tmp_path)
    path = tmp_path / "root-cert.pem"
    world = World(tmp_path, poll=0.05)
    async with world.running():
        await world.load(world.root)
        before = path.stat()
        new = CA("files").certificate
        while len(new) != before.st_size:
            new = CA("files").certificate
        with path.open("r+b") as file:
            file.write(new)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert await world.next() == world.root


async def test_a_change_between_reading_and_watching_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf().write(tmp_path)
    world, new = World(tmp_path), leaf()

    def read_and_then_rotate(name: str, files: FileName, raw: tuple[bytes, ...]) -> Any:
        monkeypatch.setattr(files_module, "parse", parse)
        new.write(tmp_path)
        return parse(name, files, raw)

    monkeypatch.setattr(files_module, "parse", read_and_then_rotate)
    async with world.running():
        await world.load(world.pair)
        assert await world.next() == world.pair


@pytest.mark.parametrize(
    ("options", "why"),
    [({"lifetime": -100.0}, "expired"), ({"begin": 3600.0}, "not valid for another")],
)
async def test_a_bad_time_does_not_replace_a_good_one(
    tmp_path: Path, options: dict[str, float], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    leaf().write(tmp_path)
    world = World(tmp_path, poll=0.05)
    async with world.running():
        await world.load(world.pair)
        ROOTS.issue(str(ME), **options).write(tmp_path)
        async with asyncio.timeout(20):
            while why not in (said := capsys.readouterr().out):
                await asyncio.sleep(0.02)
        assert "the old one is still good" in said
        assert world.told.empty()
        leaf().write(tmp_path)
        assert await world.next() == world.pair


async def test_what_is_expired_from_the_start_is_served_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ROOTS.issue(str(ME), lifetime=-100.0).write(tmp_path)
    world = World(tmp_path)
    async with world.running():
        await world.load(world.pair)
        assert "certificate expired" in capsys.readouterr().out
        leaf().write(tmp_path)
        assert await world.next() == world.pair


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files, one for each time that some are read."""
    found: list[str] = []

    def contents(files: FileName) -> Contents:
        found.append(next(filter(None, files)))
        return read_contents(files)

    monkeypatch.setattr(files_module, "contents", contents)
    return found


async def test_all_who_ask_for_a_name_share_one_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, reads = World(tmp_path, file_deadline=20.0), counted(monkeypatch)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(world.load(world.root)) for _ in range(50)]
        await asyncio.sleep(0)
        assert len(reads) == 1
        leaf().write(tmp_path)
        await asyncio.wait(tasks)
    assert len(reads) < 10


async def test_a_failed_load_fails_for_all_who_asked(tmp_path: Path) -> None:
    world = World(tmp_path)
    tasks = [asyncio.ensure_future(world.load(world.root)) for _ in range(5)]  # noqa: TID251  outcomes apart
    await asyncio.wait(tasks)
    assert all(isinstance(task.exception(), FileSecretFailed) for task in tasks)
    assert len({id(task.exception()) for task in tasks}) == 5
    assert world.metrics.file_secret_failures == 1


async def test_when_the_one_who_loads_goes_away_another_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path, file_deadline=20.0)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.load(world.root))
        second = group.create_task(world.load(world.root))
        await asyncio.sleep(0)
        first.cancel()
        leaf().write(tmp_path)
        await second
    assert world.files.watched()


async def test_a_name_that_failed_is_tried_more_slowly_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(auto=True)
    world = World(tmp_path, file_deadline=10.0, clock=clock, debounce=0.1)
    reads = counted(monkeypatch)
    for wanted in (range(7, 12), range(5, 7), range(5, 7)):
        reads.clear()
        with pytest.raises(FileSecretFailed):
            await world.load(world.root)
        assert len(reads) in wanted
    reads.clear()
    with pytest.raises(FileSecretFailed):
        await world.load(world.pair)
    assert len(reads) in range(7, 12)
    leaf().write(tmp_path)
    await world.load(world.root)
    (tmp_path / "root-cert.pem").unlink()
    reads.clear()
    with pytest.raises(FileSecretFailed):
        await world.load(world.root)
    assert len(reads) in range(7, 12)


async def test_no_debouncing_is_no_busy_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, file_deadline=10.0, clock=FakeClock(auto=True), debounce=0.0)
    reads = counted(monkeypatch)
    async with asyncio.timeout(20):
        with pytest.raises(FileSecretFailed):
            await world.load(world.root)
    assert len(reads) < 20


async def test_a_certificate_of_tomorrow_is_served_when_it_begins_without_any_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The poll is off: only the clock can tell."""
    clock = FakeClock(now=time.time())
    leaf().write(tmp_path)
    world = World(tmp_path, clock=clock, poll=0.0)
    async with world.running():
        await world.load(world.pair)
        ROOTS.issue(str(ME), begin=600.0).write(tmp_path)
        await world.hours_pass(clock, lambda: "not valid for another" in capsys.readouterr().out)
        assert world.metrics.files_unusable == 1
        assert world.told.empty()
        clock.jump(700.0)
        await clock.advance(6.0)
        await clock.advance(1.0)
        assert await world.next() == world.pair
    assert world.metrics.files_refused == 1
    assert world.metrics.files_unusable == 0


async def test_when_the_old_one_ends_the_new_one_is_served_however_bad(tmp_path: Path) -> None:
    """Both out of time: the newer is what the operator wants seen; the poll is off."""
    clock = FakeClock(now=time.time())
    ROOTS.issue(str(ME), lifetime=100.0).write(tmp_path)
    world = World(tmp_path, clock=clock, poll=0.0)
    async with world.running():
        await world.load(world.pair)
        ROOTS.issue(str(ME), begin=600.0).write(tmp_path)
        await world.hours_pass(clock, lambda: world.metrics.files_unusable == 1)
        clock.jump(101.0)
        await clock.advance(6.0)
        await clock.advance(1.0)
        assert await world.next() == world.pair


async def test_the_ends_of_file_certificates_are_told(tmp_path: Path) -> None:
    made = leaf()
    made.write(tmp_path)
    world = World(tmp_path)
    await world.load(world.pair)
    end = made.parsed.not_valid_after_utc.timestamp()
    assert world.metrics.file_expiry == {world.pair: end}
    text = world.metrics.render(end - 60)
    assert f'pilothouse_file_cert_expiry_seconds{{resource_name="{world.pair}"}} 60\n' in text
    assert "pilothouse_secret_files_unusable 0\n" in text
