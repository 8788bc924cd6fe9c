# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mesh.errors import BadSetting
from mesh.identity import Identity
from sdsserver.identity import OWN, IdentityStore, file_system, open_store, remove_stored
from sdsserver.secret import KeyPair
from sdsserver.x509 import facts
from tests.support.testca import CA

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")
SHM = Path("/dev/shm")


def issued(name: str = str(ME), **options: float) -> KeyPair:
    leaf = CA().issue(name, **options)
    of = facts(leaf.chain)
    return KeyPair(leaf.chain, leaf.key, leaf.root, 1000.0, of.not_after, of.serial, of.not_before)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    pair, store = issued(), IdentityStore(str(tmp_path), ME)
    assert store.load(time.time()) is None
    store.save(pair)
    assert store.load(time.time()) == pair
    own = tmp_path / OWN
    assert own.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in own.iterdir()] == [0o600]


def test_a_later_one_replaces_it(tmp_path: Path) -> None:
    store, later = IdentityStore(str(tmp_path), ME), issued()
    store.save(issued())
    store.save(later)
    assert store.load(time.time()) == later
    assert len(list((tmp_path / OWN).iterdir())) == 1


def test_only_while_valid_and_only_for_the_same_identity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = IdentityStore(str(tmp_path), ME)
    pair = issued()
    store.save(pair)
    assert store.load(pair.dies) is None
    assert store.load(time.time() - 3600) is None
    store.save(issued("spiffe://cluster.local/ns/a/sa/other"))
    assert store.load(time.time()) is None
    said = capsys.readouterr().out
    assert "of another identity, removed" in said
    assert list((tmp_path / OWN).iterdir()) == []
    assert "expired or not valid yet" in said


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"chain": "x", "key": "y", "root": "", "born": 1}']
)
def test_damage_is_not_used(tmp_path: Path, content: str) -> None:
    store = IdentityStore(str(tmp_path), ME)
    store.save(issued())
    [file] = (tmp_path / OWN).iterdir()
    file.write_text(content)
    assert store.load(time.time()) is None


def test_a_directory_or_file_open_to_others_is_not_used(tmp_path: Path) -> None:
    store = IdentityStore(str(tmp_path), ME)
    store.save(issued())
    [file] = (tmp_path / OWN).iterdir()
    file.chmod(0o640)
    assert store.load(time.time()) is None
    file.chmod(0o600)
    (tmp_path / OWN).chmod(0o755)
    assert store.load(time.time()) is None
    store.save(issued())  # said, not raised, and nothing written
    (tmp_path / OWN).chmod(0o700)
    assert store.load(time.time()) is not None


def test_a_link_in_place_of_our_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / OWN).symlink_to("elsewhere")
    IdentityStore(str(tmp_path), ME).save(issued())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_stored_is_removed_on_request(tmp_path: Path) -> None:
    store, own = IdentityStore(str(tmp_path), ME), tmp_path / OWN
    assert remove_stored(str(tmp_path)) == ""
    store.save(issued())
    (own / "identity.json.tmp.5a").write_text("what a killed writer left")
    assert remove_stored(str(tmp_path)) == str(own)
    assert list(tmp_path.iterdir()) == []
    store.save(issued())  # an agent that runs goes on
    assert store.load(time.time())


def test_what_is_not_ours_alone_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / OWN).mkdir()
    (tmp_path / OWN).chmod(0o755)
    (tmp_path / OWN / "file").write_text("somebody's")
    with pytest.raises(BadSetting, match="not ours alone"):
        remove_stored(str(tmp_path))
    assert (tmp_path / OWN / "file").exists()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "elsewhere" / "file").write_text("")
    (tmp_path / "parent").mkdir()
    (tmp_path / "parent" / OWN).symlink_to("../elsewhere")
    with pytest.raises(BadSetting, match="not ours alone"):
        remove_stored(str(tmp_path / "parent"))
    assert (tmp_path / "elsewhere" / "file").exists()


def test_a_parent_must_be_there_and_memory_backed(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="no such file"):
        open_store(str(tmp_path / "none"), ME, trusted=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSetting, match="not a directory"):
        open_store(str(tmp_path / "file"), ME, trusted=True)
    if file_system(tmp_path.stat().st_dev) not in {"tmpfs", "ramfs"}:
        with pytest.raises(BadSetting, match="not memory-backed"):
            open_store(str(tmp_path), ME, trusted=False)
    open_store(str(tmp_path), ME, trusted=True)


def test_memory_is_recognised_and_others_must_not_replace_us() -> None:
    parent = SHM / f"pilothouse-test-{os.getpid()}"
    parent.mkdir(mode=0o700)
    try:
        assert file_system(parent.stat().st_dev) == "tmpfs"
        open_store(str(parent), ME, trusted=False)
        parent.chmod(0o777)
        with pytest.raises(BadSetting, match="others may replace"):
            open_store(str(parent), ME, trusted=False)
        parent.chmod(0o1777)
        open_store(str(parent), ME, trusted=False)
    finally:
        parent.rmdir()


def test_an_unknown_device_has_no_kind(tmp_path: Path) -> None:
    assert file_system(os.makedev(250, 250)) == ""
    assert file_system(1, str(tmp_path / "none")) == ""
