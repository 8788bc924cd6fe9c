# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from ctl.demo.processes import ProgramEnded, Programs, find_envoy, free_ports, script
from mesh.errors import BadSetting

CHILD = "import subprocess,sys,time; subprocess.Popen([sys.executable,'-c','import time; time.sleep(60)']); time.sleep(60)"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_nothing_outlives_the_block(tmp_path: Path) -> None:
    with Programs(tmp_path) as programs:
        program = programs.start("parent", [sys.executable, "-c", CHILD], cwd=tmp_path, env={})
        deadline = time.monotonic() + 10
        while not children_of(program.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        (grandchild,) = children_of(program.pid)
        assert alive(grandchild)
    assert not alive(program.pid)
    assert not alive(grandchild)


def test_an_early_end_shows_the_log(tmp_path: Path) -> None:
    with Programs(tmp_path) as programs:
        program = programs.start(
            "short",
            [sys.executable, "-c", "print('no such file'); raise SystemExit(3)"],
            cwd=tmp_path,
            env={},
        )
        assert program.wait(10) == 3
        with pytest.raises(ProgramEnded, match=r"short ended with status 3:\n    no such file"):
            programs.check([program])


def test_environment_is_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTIO_META_STRAY", "1")
    with Programs(tmp_path) as programs:
        shown = programs.start(
            "env",
            [sys.executable, "-c", "import os; print(sorted(os.environ))"],
            cwd=tmp_path,
            env={"A": "b"},
        )
        shown.wait(10)
    text = shown.log.read_text()
    assert "'A'" in text
    assert "ISTIO_META_STRAY" not in text


def test_free_ports_differ_and_are_free() -> None:
    ports = free_ports("127.0.0.1", 5)
    assert len(set(ports)) == 5
    with socket.socket() as one:
        one.bind(("127.0.0.1", ports[0]))
    with socket.socket() as outgoing:
        outgoing.bind(("127.0.0.1", 0))
        assert max(ports) < outgoing.getsockname()[1] or max(ports) < 32768


def test_envoy_is_found_by_flag_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "envoy"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    assert find_envoy(str(fake)) == str(fake)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("ENVOY_BINARY", raising=False)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "none"))
    with pytest.raises(BadSetting, match="no Envoy binary"):
        find_envoy("")


def test_scripts_stand_beside_the_interpreter() -> None:
    assert os.access(script("pilotctl"), os.X_OK)
    with pytest.raises(BadSetting, match="not installed"):
        script("no-such-script")
