# SPDX-License-Identifier: Apache-2.0
"""Texts of certificates: joining chains, merging roots. Pure. Source: spec/agent.md 7.5, 7.6."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_BLOCK = re.compile(
    rb"-----BEGIN (?P<kind>[A-Z0-9 ]+)-----\r?\n(?P<body>(?:(?!-----).)*)-----END (?P=kind)-----[^\n]*\n?",
    re.DOTALL,
)
_CERTIFICATE = b"CERTIFICATE"
_BEGIN = b"-----BEGIN "


def concat_certs(certs: Iterable[str]) -> str:
    """The texts one after another, each but the last ending its line."""
    joined = ""
    for cert in certs:
        if joined and not joined.endswith("\n"):
            joined += "\n"
        joined += cert
    return joined


def certificate_blocks(pem: bytes) -> Iterator[bytes]:
    """Each CERTIFICATE block of ``pem`` as it stands there; whatever lies between is skipped."""
    for match in _BLOCK.finditer(pem):
        if match["kind"] == _CERTIFICATE:
            yield match[0]


def unfinished(pem: bytes) -> bool:
    """Whether the text breaks off within a block, or within the line that begins one."""
    end = max((match.end() for match in _BLOCK.finditer(pem)), default=0)
    tail = pem[end:].rstrip()
    last = tail.rpartition(b"\n")[2]
    return _BEGIN in tail or (bool(last) and _BEGIN.startswith(last))


def merge_roots(*bundles: bytes) -> bytes:
    """The union of the bundles' blocks, sorted, joined by single newlines, none at the end."""
    blocks = {block.strip() for bundle in bundles for block in certificate_blocks(bundle)}
    return b"\n".join(sorted(blocks))
