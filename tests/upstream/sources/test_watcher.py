# SPDX-License-Identifier: Apache-2.0
"""Waking up: told by the kernel, or by time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from upstream.sources import watcher as module
from upstream.sources.watcher import Watcher

LONG = 30.0


@pytest.fixture
async def watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watcher]:
    monkeypatch.setattr(module, "TOLD_POLL", LONG)
    made = Watcher([str(tmp_path)], poll=LONG)
    made.open()
    yield made
    made.close()


async def test_told_of_a_new_file(watcher: Watcher, tmp_path: Path) -> None:
    async with asyncio.timeout(LONG / 3), asyncio.TaskGroup() as group:
        group.create_task(watcher.wait(), name="wait")
        (tmp_path / "a.yaml").write_text("x")


async def test_told_of_a_file_in_a_new_folder(watcher: Watcher, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    async with asyncio.timeout(LONG / 3):
        await watcher.wait()
        (tmp_path / "deep" / "a.yaml").write_text("x")
        await watcher.wait()


async def test_waits_no_longer_than_asked(watcher: Watcher) -> None:
    async with asyncio.timeout(LONG / 3):
        await watcher.wait(0.01)


async def test_polls_where_the_kernel_cannot_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise OSError("no instances left")

    monkeypatch.setattr(module, "Inotify", refuse)
    polling = Watcher([str(tmp_path)], poll=0.01)
    polling.open()
    async with asyncio.timeout(LONG / 3):
        await polling.wait()
    polling.close()
    assert "files are polled" in capsys.readouterr().out
