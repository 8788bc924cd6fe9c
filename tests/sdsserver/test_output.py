# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from sdsserver.output import replace_if_changed, write_secret
from sdsserver.secret import Secret

PAIR = Secret("default", chain=b"chain", key=b"key")


def test_pair_and_root_go_to_their_files(tmp_path: Path) -> None:
    write_secret(str(tmp_path), PAIR, 0o644)
    write_secret(str(tmp_path), Secret("ROOTCA", root=b"root"), 0o600)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"cert-chain.pem": b"chain", "key.pem": b"key", "root-cert.pem": b"root"}
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "root-cert.pem").stat().st_mode & 0o777 == 0o600


def test_unchanged_content_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert replace_if_changed(str(path), b"one", 0o600)
    before = path.stat().st_ino
    assert not replace_if_changed(str(path), b"one", 0o600)
    assert path.stat().st_ino == before
    assert replace_if_changed(str(path), b"two", 0o600)
    assert path.stat().st_ino != before


def test_a_failed_rename_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "inside").write_text("x")
    with pytest.raises(OSError):
        replace_if_changed(str(tmp_path / "file"), b"one", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_missing_directory_is_said_and_not_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_secret(str(tmp_path / "none"), PAIR, 0o600)
    assert "certificate not written" in capsys.readouterr().out
