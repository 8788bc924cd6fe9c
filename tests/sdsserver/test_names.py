# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsserver.names import FileName


@pytest.mark.parametrize(
    "name",
    ["default", "ROOTCA", "", "file:root", "file-root:a~b", "file-cert:a", "file-cert:a~b~c"],
)
def test_other_names_are_not_files(name: str) -> None:
    assert FileName.parse(name) is None


def test_half_a_pair_is_a_file_name_that_names_nothing() -> None:
    half = FileName.parse("file-cert:a~")
    assert half is not None
    assert not half.is_pair
    assert half.pair_name == ""


paths = st.text(st.characters(exclude_characters="~"), min_size=1)


@given(paths, paths)
def test_pairs_survive_the_round_trip(chain: str, key: str) -> None:
    name = f"file-cert:{chain}~{key}"
    parsed = FileName.parse(name)
    assert parsed == FileName(chain=chain, key=key)
    assert parsed.pair_name == name


@given(paths)
def test_roots_survive_the_round_trip(path: str) -> None:
    parsed = FileName.parse(f"file-root:{path}")
    assert parsed == FileName(root=path)
    assert parsed.root_name == f"file-root:{path}"
