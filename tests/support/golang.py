# SPDX-License-Identifier: Apache-2.0
"""The witnesses written in Go: each a directory of ``tools`` with its versions pinned, built once.

Programs are kept beside the virtual environment under a name that changes with their sources, so that a second run
needs neither Go's proxy nor time, and an old program is never taken for a new one.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

_REPO = Path(__file__).resolve().parents[2]
_CACHE = _REPO / ".venv" / "cache"
_BUILD_DEADLINE = 600.0


@functools.cache
def go_version() -> tuple[int, ...]:
    """Major and minor; empty without Go."""
    go = shutil.which("go")
    if go is None:
        return ()
    said = subprocess.run([go, "version"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"go(\d+)\.(\d+)", said.stdout)
    return tuple(map(int, found.groups())) if found else ()


def build(name: str, package: str = ".") -> Path:
    """The program of ``tools/<name>``. Several test workers may ask at once: one builds, the others wait."""
    source = _REPO / "tools" / name
    program = _CACHE / f"{name}-{_digest(source, package)}"
    if program.exists():
        return program
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # no deadline: who holds it has one
        if not program.exists():
            _build(source, package, program)
    return program


def _build(source: Path, package: str, program: Path) -> None:
    unfinished = program.with_suffix(".new")
    built = subprocess.run(
        ["go", "build", "-mod=readonly", "-o", str(unfinished), package],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=_BUILD_DEADLINE,
        check=False,
    )
    assert built.returncode == 0, f"tools/{source.name} cannot be built:\n{built.stderr}"
    unfinished.rename(program)
    for former in _CACHE.glob(f"{source.name}-*"):
        if former != program:
            former.unlink()


def _digest(source: Path, package: str) -> str:
    digest = hashlib.sha256(package.encode())
    for path in sorted(source.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
