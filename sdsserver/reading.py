# SPDX-License-Identifier: Apache-2.0
"""Secret files as they are at one moment: their bytes, whether these are whole, and the secret that they make.

Nothing waits here. Faults are said in words that never show the content. Source: spec/agent.md 7.4.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import mesh.log
from sdsserver import pem
from sdsserver.names import FileName
from sdsserver.secret import Secret
from sdsserver.trust import unfinished
from sdsserver.x509 import Facts

log = mesh.log.get("sds")


class Contents(NamedTuple):
    """The bytes of one name's files."""

    paths: tuple[str, ...]
    raw: tuple[bytes, ...]
    written: float
    """When the file system says that the youngest was written."""

    def __repr__(self) -> str:
        return f"<Contents: {len(self.raw)} files>"

    def check_whole(self, now: float, *, within: float) -> None:
        """Raises ValueError for a text that breaks off, if it was written in the last ``within`` seconds.

        One that has stood so for longer is as somebody wants it: what can be used of it is.
        """
        if abs(now - self.written) >= within:  # another machine's clock may be a little ahead
            return
        for path, text in zip(self.paths, self.raw, strict=True):
            if unfinished(text):
                raise ValueError(f"{path} ends in the middle of a PEM block")


def contents(files: FileName) -> Contents:
    """What the files hold. Raises OSError."""
    paths = tuple(path for path in files if path)
    found = [_content(path) for path in paths]
    return Contents(paths, tuple(raw for raw, _ in found), max(written for _, written in found))


def read(name: str, files: FileName) -> Secret:
    """The secret as the files have it now. Raises OSError, and ValueError for content that is not right."""
    return parse(name, files, contents(files).raw)


def parse(name: str, files: FileName, raw: tuple[bytes, ...]) -> Secret:
    """The secret that ``raw``, read of ``files``, makes. Raises ValueError for content that is not right."""
    if files.is_root:
        roots, dropped = pem.valid_roots(raw[0])
        if dropped:
            log.warning(
                "invalid certificates in root file left out", path=files.root, count=dropped
            )
        return Secret(name, root=roots)
    pair = Secret(name, chain=raw[0], key=raw[1])
    pem.check_pair(pair.chain, pair.key)
    return pair


def present(path: str) -> bool:
    """Whether the file is readable and not empty."""
    try:
        return os.stat(path).st_size > 0 and os.access(path, os.R_OK)
    except OSError:
        return False


def reason(error: Exception) -> str:
    """What to tell of a fault: never the content, only what is wrong with it."""
    if isinstance(error, OSError):
        return f"{error.filename}: {(error.strerror or 'unreadable').lower()}"
    return str(error)


def untimely(leaf: Facts, now: float) -> str:
    """What is wrong with the certificate's time; empty when nothing is."""
    if now >= leaf.not_after:
        return f"certificate expired {now - leaf.not_after:.0f} s ago"
    if now < leaf.not_before:
        return f"certificate is not valid for another {leaf.not_before - now:.0f} s"
    return ""


def _content(path: str) -> tuple[bytes, float]:
    with open(path, "rb") as file:
        return file.read(), os.fstat(file.fileno()).st_mtime
