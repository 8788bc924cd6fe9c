# SPDX-License-Identifier: Apache-2.0
"""A real process aborts with a key in its memory: with the refusal there is no dump, without it the key is in one."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from agent import coredumps
from tests.support.needs import REPO

PATTERN = Path("/proc/sys/kernel/core_pattern").read_text().strip()
CAN_DUMP = resource.getrlimit(resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY
ABORTS = """
import os, resource, sys
sys.path.insert(0, sys.argv[1])
from agent import coredumps
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if sys.argv[2] == "refuse":
    coredumps.refuse()
    assert resource.getrlimit(resource.RLIMIT_CORE) == (1, resource.RLIM_INFINITY)
key = bytes(reversed(b"yek eht fo stniop")) * 64
os.abort()
"""


def aborted(directory: Path, how: str) -> list[bytes]:
    """What a process that aborted left in its directory."""
    argv = [sys.executable, "-c", ABORTS, str(REPO), how]
    assert subprocess.run(argv, cwd=directory, capture_output=True, check=False).returncode == -6
    return [path.read_bytes() for path in directory.iterdir()]


@pytest.mark.skipif(
    PATTERN.startswith("|") or "/" in PATTERN or not CAN_DUMP,
    reason="group core dumps: the kernel's core_pattern leads elsewhere, or the hard limit forbids them",
)
def test_a_key_is_in_a_dump_unless_dumps_are_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "refused").mkdir()
    [dump] = aborted(tmp_path / "open", "allow")
    assert b"points of the key" in dump
    assert aborted(tmp_path / "refused", "refuse") == []


def test_a_child_gets_back_what_its_parent_had() -> None:
    former = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        assert coredumps.refuse() == former
        with subprocess.Popen(["sleep", "60"]) as child:
            try:
                coredumps.give_back(child.pid, former)
                assert resource.prlimit(child.pid, resource.RLIMIT_CORE) == former
            finally:
                child.kill()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, former)


def test_a_child_that_is_gone_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    coredumps.give_back(child.pid, (0, 0))
    assert "core limit not given back" in capsys.readouterr().out
