# SPDX-License-Identifier: Apache-2.0
"""The mesh config's file through good and bad edits."""

from __future__ import annotations

from pathlib import Path

import pytest

from upstream.config import MeshConfig
from upstream.sources.mesh import MeshFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mesh.yaml"


def test_no_file_means_defaults(path: Path) -> None:
    file = MeshFile(str(path))
    assert file.look() == (None, ())
    assert file.config == MeshConfig()


def test_first_look_reads_at_once_and_edits_need_two(path: Path) -> None:
    path.write_text("trustDomain: first.example\n")
    file = MeshFile(str(path))
    found = file.look().config
    assert found is not None
    assert found.trust_domain == "first.example"
    path.write_text("trustDomain: second.example\n")
    assert file.look().config is None
    found = file.look().config
    assert found is not None
    assert found.trust_domain == "second.example"


@pytest.mark.parametrize("wrong", ["trustDomain: [1", "- 1", "\x00"])
def test_bad_edit_keeps_the_last_good_version(path: Path, wrong: str) -> None:
    path.write_text("trustDomain: first.example\n")
    file = MeshFile(str(path))
    file.look()
    path.write_text(wrong)
    looks = [file.look() for _ in range(3)]
    assert [bool(look.faults) for look in looks] == [False, True, False]
    assert file.config.trust_domain == "first.example"


def test_unreadable(path: Path) -> None:
    path.mkdir()
    file = MeshFile(str(path))
    assert len(file.look().faults) == 1
    assert file.look().faults == ()
