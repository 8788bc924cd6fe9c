# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.inotify import Inotify
from sdsserver.metrics import Metrics
from sdsserver.notices import Notices

PATIENCE = 20.0


class World:
    def __init__(self) -> None:
        self.noticed = asyncio.Event()
        self.metrics = Metrics()
        self.notices = Notices(self.noticed.set, self.metrics)

    async def notice(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.noticed.wait()
        self.noticed.clear()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    made.notices.close()


async def test_a_directory_replaced_by_a_like_one_is_followed(world: World, tmp_path: Path) -> None:
    """The content is the same, so nothing else would tell that other inodes count now."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "key.pem").write_text("same")
    path = str(tmp_path / "a" / "key.pem")
    world.notices.follow([path])
    (tmp_path / "a").rename(tmp_path / "old")
    await world.notice()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "key.pem").write_text("same")
    world.notices.follow([path])
    world.noticed.clear()
    (tmp_path / "a" / "key.pem").write_text("other")
    await world.notice()


async def test_what_is_no_longer_followed_is_not_told(world: World, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("x")
    world.notices.follow([str(tmp_path / "a" / "f"), str(tmp_path / "b" / "f")])
    world.notices.follow([str(tmp_path / "b" / "f")])
    world.notices._drain()
    (tmp_path / "a" / "f").write_text("y")
    assert not world.notices._drain()
    (tmp_path / "b" / "f").write_text("y")
    assert world.notices._drain()


async def test_a_writer_that_is_not_done_is_known(world: World, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    world.notices.follow([str(path)])
    assert not world.notices.being_written(str(path), within=60)
    with path.open("w") as file:
        file.write("half")
        file.flush()
        assert world.notices.being_written(str(path), within=60)
        assert not world.notices.being_written(str(path), within=0)
    assert not world.notices.being_written(str(path), within=60)


async def test_a_new_file_that_is_being_written_is_known_too(world: World, tmp_path: Path) -> None:
    """It was not there when its directory was followed; it is reached through a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    path = tmp_path / "link" / "f"
    world.notices.follow([str(path)])
    with path.open("w") as file:
        file.write("half")
        file.flush()
        assert world.notices.being_written(str(path), within=60)
    assert not world.notices.being_written(str(path), within=60)


async def test_renaming_over_a_file_ends_its_writing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "f"
    world.notices.follow([str(path)])
    with path.open("w") as file:
        file.write("half")
        file.flush()
        (tmp_path / "whole").write_text("whole")
        (tmp_path / "whole").rename(path)
        assert not world.notices.being_written(str(path), within=60)


async def test_what_cannot_be_watched_makes_it_blind_and_is_counted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Inotify, path: str, mask: int = 0) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Inotify, "add", full)
        world.notices.follow([str(tmp_path / "f")])
    assert world.notices.blind
    assert world.metrics.file_watcher_failures > 0
    world.notices.follow([str(tmp_path / "f")])
    blind: object = world.notices.blind
    assert blind is False


async def test_without_inotify_nothing_is_known_and_nothing_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(self: Inotify) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Inotify, "__init__", refuse)
    world = World()
    world.notices.follow([str(tmp_path)])
    assert world.notices.blind
    assert not world.notices.being_written(str(tmp_path), within=60)
    world.notices.close()
    world.notices.close()
