# SPDX-License-Identifier: Apache-2.0
"""The file: whose it is, how long rows count, what damage and traps do to it."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from agent.xds.database import FILE_NAME, Database, StoreUnusable
from agent.xds.kept import Shelf, changes
from tests.support.accepted import delta, sotw
from wire import types

OWNER = ("n", "td")


def written(directory: Path, *names: str, now: float = 0.0) -> None:
    database = Database.in_directory(str(directory), OWNER)
    database.write(changes([delta(*names)]), now)
    database.close()


def found(directory: Path, owner: tuple[str, str] = OWNER, since: float = 0.0) -> list[str]:
    database = Database.in_directory(str(directory), owner)
    shelf: Shelf = database.read(since=since)
    database.close()
    return sorted(shelf.get(types.CLUSTER, {}))


def test_rows_outlive_the_process_and_are_added_to(tmp_path: Path) -> None:
    written(tmp_path, "a")
    written(tmp_path, "b")
    assert found(tmp_path) == ["a", "b"]


def test_full_state_replaces() -> None:
    database = Database.in_memory(OWNER)
    database.write(changes([delta("a", "b")]), 1.0)
    database.write(changes([sotw("c")]), 2.0)
    assert set(database.read(since=0.0)[types.CLUSTER]) == {"c"}
    database.close()


@pytest.mark.parametrize("other", [("m", "td"), ("n", "other")])
def test_another_owners_rows_are_wiped_not_hidden(tmp_path: Path, other: tuple[str, str]) -> None:
    written(tmp_path, "a")
    assert found(tmp_path, other) == []
    assert found(tmp_path) == []


def test_what_was_confirmed_too_long_ago_is_not_read(tmp_path: Path) -> None:
    written(tmp_path, "a", now=100.0)
    assert found(tmp_path, since=100.0) == ["a"]
    assert found(tmp_path, since=100.5) == []


def test_only_its_owner_may_open_it(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    written(directory, "a")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / FILE_NAME).stat().st_mode) == 0o600


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 100)
    assert found(tmp_path) == []
    written(tmp_path, "a")
    assert found(tmp_path) == ["a"]


def test_rows_of_another_schema_are_forgotten(tmp_path: Path) -> None:
    written(tmp_path, "a")
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        other.execute("PRAGMA user_version=1")
    other.close()
    assert found(tmp_path) == []


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("precious")
    directory = tmp_path / "state"
    directory.mkdir()
    os.symlink(target, directory / FILE_NAME)
    with pytest.raises(StoreUnusable) as caught:
        Database.in_directory(str(directory), OWNER)
    assert "PILOT_STATE_DIR" in caught.value.hint
    assert target.read_text() == "precious"


def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    written(tmp_path, "a")
    database = Database.in_directory(str(tmp_path), OWNER)
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        other.execute("DROP TABLE kind")  # the last statement of a write will miss it
    other.close()
    with pytest.raises(StoreUnusable):
        database.write(changes([delta("b")]), 0.0)
    database.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        assert other.execute("SELECT name FROM resource").fetchall() == [("a",)]
    other.close()


def test_rows_are_readable_by_any_sqlite(tmp_path: Path) -> None:
    written(tmp_path, "a")
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        assert database.execute("SELECT type, name FROM resource").fetchall() == [
            (types.CLUSTER, "a")
        ]
    database.close()


def test_the_age_of_what_is_here(tmp_path: Path) -> None:
    empty = Database.in_memory(OWNER)
    assert empty.newest() is None
    empty.close()
    written(tmp_path, "a", now=100.0)
    written(tmp_path, "b", now=90.0)
    for owner, newest in ((OWNER, 90.0), (("m", "td"), None)):
        database = Database.in_directory(str(tmp_path), owner)
        assert database.newest() == newest
        database.close()
