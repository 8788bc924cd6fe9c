# SPDX-License-Identifier: Apache-2.0
"""Files that must be whole or absent: written aside, synced, renamed. Modes are set before content is there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mesh.errors import BadSetting

PRIVATE_DIR = 0o700
PRIVATE = 0o600
PUBLIC = 0o644


def private_directory(path: str, *, setting: str) -> Path:
    """The directory, made 0700 when missing. Raises BadSetting naming ``setting`` when it cannot be used."""
    directory = Path(path)
    try:
        directory.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
        if directory.stat().st_uid == os.geteuid():
            directory.chmod(PRIVATE_DIR)
    except OSError as error:
        raise BadSetting(setting, path, error.strerror or str(error)) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise BadSetting(setting, path, "cannot be written")
    return directory


def write(path: Path, content: bytes, *, mode: int) -> None:
    """Put ``content`` at ``path`` in one step; readers see the old file or the new one."""
    temporary = _aside(path, content, mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_new(path: Path, content: bytes, *, mode: int) -> bool:
    """As ``write``, but only where nothing is yet: False when another was first."""
    temporary = _aside(path, content, mode)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    else:
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _aside(path: Path, content: bytes, mode: int) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)
