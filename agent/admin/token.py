# SPDX-License-Identifier: Apache-2.0
"""The token of the admin endpoint: made anew at each start, in a file that only our user reads. Effects only."""

from __future__ import annotations

import contextlib
import os
import secrets

import mesh.log

log = mesh.log.get()


def new_token(path: str) -> str:
    """The token, written to ``path``; empty, so that nothing passes, where it cannot be written."""
    token = secrets.token_urlsafe(32)
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{token}\n")
        os.replace(temporary, path)
    except OSError as error:
        why = error.strerror or str(error)
        log.warning("admin token cannot be written; what needs it is refused", path=path, why=why)
        return ""
    return token
