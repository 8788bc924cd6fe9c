# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from sdsserver.chain import directories, find_link, link_target


def test_a_plain_file_is_watched_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert directories(str(tmp_path / "file")) == (str(tmp_path),)
    assert find_link(str(tmp_path / "file")) == ""


def test_a_file_that_is_not_there_is_awaited_where_it_can_appear(tmp_path: Path) -> None:
    assert directories(str(tmp_path / "no" / "such" / "file")) == (str(tmp_path),)


def test_a_kubernetes_volume_is_watched_at_each_link(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "..2026").mkdir(parents=True)
    (volume / "..2026" / "tls.crt").write_text("x")
    (volume / "..data").symlink_to("..2026")
    (volume / "tls.crt").symlink_to("..data/tls.crt")
    assert directories(str(volume / "tls.crt")) == (str(volume), str(volume / "..2026"))


def test_links_through_other_places_are_all_watched(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "c" / "file").write_text("x")
    (tmp_path / "b" / "link").symlink_to("../c/file")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b" / "link")
    found = directories(str(tmp_path / "a" / "link"))
    assert found == tuple(str(tmp_path / name) for name in ("a", "b", "c"))


def test_a_link_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert directories(str(tmp_path / "loop")) == (str(tmp_path),)


def test_where_a_link_points(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert link_target(str(tmp_path / "link")) == str(tmp_path / "nowhere")
    with pytest.raises(OSError):
        link_target(str(tmp_path / "nowhere"))
