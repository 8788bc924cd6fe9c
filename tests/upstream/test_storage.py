# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or absent."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mesh.errors import BadSetting
from upstream import storage


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_write_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    storage.write(path, b"new", mode=0o600)
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        storage.write(tmp_path / "a", b"new", mode=0o600)
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_write_new_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert storage.write_new(path, b"first", mode=0o600)
    assert not storage.write_new(path, b"second", mode=0o600)
    assert (path.read_bytes(), mode(path)) == (b"first", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_private_directory(tmp_path: Path) -> None:
    made = storage.private_directory(str(tmp_path / "a" / "b"), setting="--state-dir")
    assert mode(made) == 0o700
    made.chmod(0o755)
    assert mode(storage.private_directory(str(made), setting="--state-dir")) == 0o700


def test_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSetting, match="--state-dir"):
        storage.private_directory(str(tmp_path / "file" / "x"), setting="--state-dir")
