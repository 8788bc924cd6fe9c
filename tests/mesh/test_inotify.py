# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.inotify import Event, Inotify, Mask


@pytest.fixture
def inotify() -> Iterator[Inotify]:
    made = Inotify()
    yield made
    made.close()


def events(inotify: Inotify) -> list[Event]:
    select.select([inotify.fileno()], [], [], 5.0)
    return inotify.read()


def test_nothing_happened_is_an_empty_list(inotify: Inotify, tmp_path: Path) -> None:
    inotify.add(str(tmp_path))
    assert inotify.read() == []


def test_a_rename_into_the_directory_is_told_by_name(inotify: Inotify, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    watch = inotify.add(str(tmp_path / "inside"))
    (tmp_path / "new").write_text("x")
    (tmp_path / "new").rename(tmp_path / "inside" / "named ü")
    assert Event(watch, Mask.MOVED_TO, "named ü") in events(inotify)


def test_several_changes_come_in_order(inotify: Inotify, tmp_path: Path) -> None:
    inotify.add(str(tmp_path))
    (tmp_path / "a").write_text("x")
    (tmp_path / "bb").symlink_to("a")
    found = events(inotify)
    assert [e.name for e in found if e.mask & Mask.CREATE] == ["a", "bb"]
    assert Mask.CLOSE_WRITE in {Mask(e.mask) for e in found}


def test_the_same_directory_twice_is_one_watch(inotify: Inotify, tmp_path: Path) -> None:
    assert inotify.add(str(tmp_path)) == inotify.add(str(tmp_path))


def test_a_removed_directory_says_that_it_is_gone(inotify: Inotify, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    watch = inotify.add(str(tmp_path / "gone"))
    (tmp_path / "gone").rmdir()
    assert Mask.IGNORED in {Mask(e.mask) for e in events(inotify)}
    inotify.remove(watch)


def test_a_missing_path_is_an_oserror_with_its_name(inotify: Inotify, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        inotify.add(str(tmp_path / "missing"))
    assert caught.value.filename == str(tmp_path / "missing")


def test_removing_stops_the_telling(inotify: Inotify, tmp_path: Path) -> None:
    inotify.remove(inotify.add(str(tmp_path)))
    inotify.read()
    (tmp_path / "later").write_text("x")
    assert inotify.read() == []


def test_closing_twice_is_harmless() -> None:
    made = Inotify()
    made.close()
    made.close()
