# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from agent.envoy.binary import CannotRun, architecture, cannot_run


def fault_of(path: Path) -> CannotRun:
    with pytest.raises(OSError) as caught:
        subprocess.run([path], check=False)
    return cannot_run(str(path), caught.value)


def elf(machine: int) -> bytes:
    """The head of a program that no kernel here runs."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little")
    return head + machine.to_bytes(2, "little") + bytes(44)


def test_missing(tmp_path: Path) -> None:
    assert "no such file" in fault_of(tmp_path / "envoy").why


def test_a_folder_on_the_way_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "bin").write_text("")
    assert "no such file" in fault_of(tmp_path / "bin" / "envoy").why


def test_not_executable(tmp_path: Path) -> None:
    path = tmp_path / "envoy"
    path.write_text("#!/bin/sh\n")
    assert "not executable" in fault_of(path).why


def test_wrong_architecture(tmp_path: Path) -> None:
    other = {"x86_64": (183, "aarch64")}.get(platform.machine(), (62, "x86_64"))
    path = tmp_path / "envoy"
    path.write_bytes(elf(other[0]))
    path.chmod(0o755)
    fault = fault_of(path)
    assert f"built for {other[1]}, this machine is {platform.machine()}" in fault.why
    assert fault.hint == "install Envoy for this machine"


def test_not_a_program(tmp_path: Path) -> None:
    path = tmp_path / "envoy"
    path.write_text("hello")
    path.chmod(0o755)
    assert "not a program" in fault_of(path).why


def test_the_loader_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "envoy"
    path.write_text("#!/nowhere/loader\n")
    path.chmod(0o755)
    assert "its loader is missing" in fault_of(path).why


def test_architecture_of_this_interpreter() -> None:
    assert architecture(sys.executable) == platform.machine()
    assert architecture("/nowhere") == ""
