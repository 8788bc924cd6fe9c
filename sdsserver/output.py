# SPDX-License-Identifier: Apache-2.0
"""Writes certificates to OUTPUT_CERTS: each file only when it changed, and whole or not at all.

Source: spec/agent.md 7.7. Faults are logged and never stop what works.
"""

from __future__ import annotations

import os

import mesh.log
from mesh import paths
from sdsserver.secret import Secret

log = mesh.log.get("sds")


def write_secret(directory: str, secret: Secret, mode: int) -> None:
    """The files of one secret: the root, or chain and key."""
    pair = {paths.KEY: secret.key, paths.CERT_CHAIN: secret.chain}
    files = {paths.ROOT_CERT: secret.root} if secret.root else pair
    for name, content in files.items():
        path = f"{directory}/{name}"
        try:
            replace_if_changed(path, content, mode)
        except OSError as error:
            log.warning("certificate not written", path=path, why=error.strerror)


def replace_if_changed(path: str, content: bytes, mode: int) -> bool:
    """Whether ``path`` had to be written: to a temporary file beside it, then renamed. Raises OSError."""
    if _holds(path, content):
        return False
    temporary = f"{path}.tmp.{os.urandom(8).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return True


def _holds(path: str, content: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read() == content
    except OSError:
        return False
