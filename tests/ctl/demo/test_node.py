# SPDX-License-Identifier: Apache-2.0
"""What is said where capture cannot be shown; that it can, the captured story proves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ctl.demo import node
from ctl.demo.node import Node, NodeFailed, enter, missing, run, subordinate
from ctl.demo.processes import Programs
from mesh.errors import BadSetting
from tests.support.netns import REPO, needs_netns


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)


@pytest.mark.usefixtures("bare")
def test_everything_that_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    with pytest.raises(BadSetting, match="--capture='iptables'") as caught:
        enter("iptables", [])
    said = str(caught.value)
    for tool in ("unshare", "ip", "nft", "iptables-restore", "newuidmap", "newgidmap"):
        assert f"{tool} (package" in said


def test_a_user_without_subordinate_ids_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few, none = tmp_path / "subuid", tmp_path / "subgid"
    few.write_text("someone:100000:65536\n4242:1:5\n4242:9:7\nbroken\n")
    assert subordinate(few, "nobody", 4242) == 12
    assert subordinate(few, "someone", 4242) == 65548
    assert subordinate(none, "nobody", 4242) == 0
    monkeypatch.setattr(shutil, "which", lambda tool: f"/bin/{tool}")
    monkeypatch.setattr(node, "ID_MAPS", {"newuidmap": str(few), "newgidmap": str(none)})
    lacks = missing("nft", root=False)
    assert len(lacks) == 2
    assert "1337 subordinate ids" in lacks[0]
    assert missing("nft", root=True) == []


def test_a_command_that_fails_is_quoted() -> None:
    with pytest.raises(NodeFailed, match=r"sh -c echo no >&2; exit 3: no"):
        run(["sh", "-c", "echo no >&2; exit 3"])
    with pytest.raises(NodeFailed, match="no-such-tool"):
        run(["no-such-tool"])
    assert run(["echo", "yes"]) == "yes\n"


WIRED = """
import sys
from pathlib import Path
from ctl.demo.node import Node, run
from ctl.demo.processes import Programs
with Programs(Path(sys.argv[1])) as programs:
    node = Node(programs, Path(sys.argv[1]))
    node.prepare(15012)
    node.add_pod("a", "10.77.1.2")
    node.add_pod("b", "10.77.2.2")
    print(run([*node.inside("a"), "ip", "route", "get", "10.77.2.2"]))
    print(run([*node.inside("b", 1000), "id", "-u"]))
"""


@needs_netns
def test_pods_are_wired_in_namespaces_that_end_with_it(tmp_path: Path) -> None:
    words = ["unshare", "--net", sys.executable, "-c", WIRED, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, cwd=REPO)
    assert done.returncode == 0, done.stderr
    assert "via 10.77.1.1 dev eth0 src 10.77.1.2" in done.stdout
    assert "1000" in done.stdout.split()


def test_words_for_an_unknown_pod_are_a_bug(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Node(Programs(tmp_path), tmp_path).inside("nowhere")
