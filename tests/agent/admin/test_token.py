# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import stat
from pathlib import Path

from agent.admin.token import new_token


def test_a_new_one_each_time_in_a_file_of_our_own(tmp_path: Path) -> None:
    path = tmp_path / "state" / "admin.token"
    first = new_token(str(path))
    path.chmod(0o644)
    second = new_token(str(path))
    assert first != second
    assert path.read_text() == f"{second}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(second) >= 32
    assert list(path.parent.iterdir()) == [path]


def test_where_it_cannot_be_written_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert new_token(str(tmp_path / "file" / "token")) == ""
