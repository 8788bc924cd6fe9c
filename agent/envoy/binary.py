# SPDX-License-Identifier: Apache-2.0
"""Why a program cannot be run, said better than the kernel says it. Reads the first bytes of the file, nothing else.

Missing, not executable and for another machine are told apart. Source: execve(2), elf(5).
"""

from __future__ import annotations

import errno
import os
import platform

from mesh.errors import EnvoyFailed

_MACHINES = {3: "i686", 8: "mips", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "x86_64"} | {
    183: "aarch64",
    243: "riscv64",
}
"""ELF e_machine to what uname says."""
_ELF_HEAD = 20


class CannotRun(EnvoyFailed):
    """Nothing was started."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint


def cannot_run(path: str, error: OSError) -> CannotRun:
    """What ``error``, met when ``path`` was to be executed, means."""
    match error.errno:
        case errno.ENOENT if os.path.lexists(path):
            why, hint = "its loader is missing", "is it linked for another libc?"
        case errno.ENOENT | errno.ENOTDIR:
            why, hint = "no such file", "check binaryPath and what the image has there"
        case errno.EACCES | errno.EISDIR:
            why, hint = "not executable", "check the file's mode and the mount's options"
        case errno.ENOEXEC:
            why, hint = _strange(path), "install Envoy for this machine"
        case _:
            why, hint = error.strerror or str(error), "check binaryPath"
    return CannotRun(f"cannot run {path}: {why}", hint)


def _strange(path: str) -> str:
    found = architecture(path)
    if found in ("", platform.machine()):
        return "not a program"
    return f"built for {found}, this machine is {platform.machine()}"


def architecture(path: str) -> str:
    """What machine an ELF file is for; empty for anything else."""
    try:
        with open(path, "rb") as file:
            head = file.read(_ELF_HEAD)
    except OSError:
        return ""
    if len(head) < _ELF_HEAD or not head.startswith(b"\x7fELF"):
        return ""
    machine = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    return _MACHINES.get(machine, f"machine {machine}")
