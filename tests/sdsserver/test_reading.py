# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from pathlib import Path

import pytest

from sdsserver.names import FileName
from sdsserver.reading import contents, present, read, reason, untimely
from sdsserver.x509 import Facts
from tests.support.testca import CA

WITHIN = 10.0


def root(path: Path) -> FileName:
    return FileName(root=str(path))


def test_a_text_that_breaks_off_is_being_written_only_while_it_is_young(tmp_path: Path) -> None:
    path, now, whole = tmp_path / "root-cert.pem", time.time(), CA().certificate
    path.write_bytes(whole + b"-----BEGIN CERTIFICATE-----\nMII")
    found = contents(root(path))
    with pytest.raises(ValueError, match=r"root-cert.pem ends in the middle of a PEM block"):
        found.check_whole(now, within=WITHIN + 5)
    found.check_whole(now + WITHIN + 10, within=WITHIN)
    found.check_whole(now - 3600, within=WITHIN)  # the clock was set back: nothing is known
    assert read("r", root(path)).root == whole


def test_a_whole_text_may_be_young(tmp_path: Path) -> None:
    path = tmp_path / "root-cert.pem"
    path.write_bytes(CA().certificate + b"# the end\n")
    contents(root(path)).check_whole(time.time(), within=WITHIN)


def test_a_pair_is_read_together_and_its_faults_show_no_key(tmp_path: Path) -> None:
    leaf, other = CA().issue("a"), CA().issue("a")
    leaf.write(tmp_path)
    files = FileName(chain=f"{tmp_path}/cert-chain.pem", key=f"{tmp_path}/key.pem")
    assert (read("n", files).chain, read("n", files).key) == (leaf.chain, leaf.key)
    (tmp_path / "key.pem").write_bytes(other.key)
    with pytest.raises(ValueError, match="not a pair") as caught:
        read("n", files)
    for line in other.key.decode().splitlines():
        assert line not in reason(caught.value)
    assert other.key.decode()[40:60] not in repr(contents(files))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        contents(root(tmp_path / "none"))
    assert reason(caught.value) == f"{tmp_path}/none: no such file or directory"
    assert not present(str(tmp_path / "none"))


def test_what_is_wrong_with_a_time() -> None:
    leaf = Facts(1, 100.0, 200.0, ())
    assert untimely(leaf, 150.0) == ""
    assert untimely(leaf, 200.0) == "certificate expired 0 s ago"
    assert untimely(leaf, 90.0) == "certificate is not valid for another 10 s"
