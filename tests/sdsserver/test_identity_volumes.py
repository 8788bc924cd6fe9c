# SPDX-License-Identifier: Apache-2.0
"""The stored identity on volumes as pods have them: memory and disk, owners and modes, an agent that is not root.

Each case is a process of its own in a mount namespace, which becomes the proxy's user before it does what an agent does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mesh.errors import BadSetting
from mesh.identity import Identity
from mesh.ports import PROXY_UID
from sdsserver.identity import OWN, open_store
from sdsserver.secret import KeyPair
from sdsserver.x509 import facts
from tests.support.needs import REPO
from tests.support.testca import CA

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")
VOLUME = "/mnt"
"""Where it is mounted, seen by the child alone; the proxy's user could not reach a test's own directory."""
STORED = f"stored {OWN} 0o700 {PROXY_UID}, 1 file 0o600 {PROXY_UID}"


def on_volume(tmp: Path, options: str, *, trusted: bool = False, others_first: bool = False) -> str:
    """What becomes of an identity on a volume mounted so; empty ``options``: the disk that ``tmp`` is on."""
    if options:
        mount = f"mount -t tmpfs -o {options} none {VOLUME}"
    else:
        tmp.chmod(0o1777)
        mount = f"mount --bind {tmp} {VOLUME}"
    if others_first:
        mount += f" && mkdir -m 0777 {VOLUME}/{OWN}"
    child = f"exec {sys.executable} -m tests.sdsserver.test_identity_volumes {trusted}"
    words = ["unshare", "--mount", "sh", "-ec", f"{mount}; {child}"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPO, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.root
@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(f"uid={PROXY_UID},mode=0700", STORED, id="memory of its own"),
        pytest.param(f"uid=0,gid={PROXY_UID},mode=1777", STORED, id="root's, sticky"),
        pytest.param("uid=0,mode=0777", "others may replace our directory", id="root's, for all"),
        pytest.param(
            f"uid=0,gid={PROXY_UID},mode=2770", "others may replace our directory", id="by group"
        ),
        pytest.param("uid=7,mode=0755", "belongs to another user", id="another's"),
        pytest.param("uid=0,mode=0755", "identity not stored", id="root's, not writable"),
        pytest.param("", "not memory-backed: keys would reach a disk", id="disk"),
    ],
)
def test_where_an_identity_is_stored(tmp_path: Path, options: str, told: str) -> None:
    assert told in on_volume(tmp_path, options)


@pytest.mark.root
@pytest.mark.parametrize("options", ["uid=0,mode=0777", ""], ids=["an emptyDir for all", "a disk"])
def test_who_says_so_may_store_it_elsewhere(tmp_path: Path, options: str) -> None:
    assert STORED in on_volume(tmp_path, options, trusted=True)


@pytest.mark.root
def test_a_directory_that_somebody_made_first_is_not_used(tmp_path: Path) -> None:
    told = on_volume(tmp_path, "uid=0,mode=1777", others_first=True)
    assert "not ours alone" in told
    assert "0 file" in told


def main() -> None:
    """As the proxy's user: store an identity below the directory, and say what lies there."""
    parent, trusted = Path(VOLUME), sys.argv[1] == "True"
    leaf = CA().issue(str(ME))
    of = facts(leaf.chain)
    pair = KeyPair(
        leaf.chain, leaf.key, leaf.root, time.time(), of.not_after, of.serial, of.not_before
    )
    os.setgroups([])
    os.setgid(PROXY_UID)
    os.setuid(PROXY_UID)
    try:
        store = open_store(str(parent), ME, trusted=trusted)
    except BadSetting as fault:
        print(fault)
        return
    store.save(pair)
    own = parent / OWN
    if own.exists():
        print(
            "stored" if store.load(time.time()) == pair else "not stored", OWN, _told([own]), end=""
        )
        files = list(own.iterdir())
        print(f", {len(files)} file {_told(files)}")


def _told(paths: list[Path]) -> str:
    return " ".join(f"{path.stat().st_mode & 0o777:#o} {path.stat().st_uid}" for path in paths)


if __name__ == "__main__":
    main()
