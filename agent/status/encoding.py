# SPDX-License-Identifier: Apache-2.0
"""Compression of answers, as the other side accepts it: zstd before gzip, bodies of 1 KiB and more. No I/O.

A body in pieces is compressed piece by piece. zstandard is imported by the first who asks for it.
Source: spec/agent.md 9.1, Appendix E.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from agent.httpd import Reply, Request, Stream

MINIMUM = 1024
_PREFERENCE = ("zstd", "gzip")
_GZIP = 31
"""zlib's window bits for the gzip format."""
_GZIP_LEVEL = 1
"""On the loop's thread: 50 MB in half a second, a fifth of the size."""


class Compressor(Protocol):
    """What zlib and zstandard have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """What is ready so far."""

    def flush(self) -> bytes:
        """The rest."""


def chosen(accept: str) -> str:
    """The encoding of an Accept-Encoding header that is used; empty: none."""
    best, best_quality = "", 0.0
    asked = dict(_elements(accept))
    for name in _PREFERENCE:
        quality = asked.get(name, 0.0)
        if quality > best_quality:
            best, best_quality = name, quality
    return best


def _elements(accept: str) -> list[tuple[str, float]]:
    found = []
    for element in accept.lower().split(","):
        name, _, parameters = element.partition(";")
        found.append((name.strip(), _quality(parameters)))
    return found


def _quality(parameters: str) -> float:
    key, _, value = parameters.partition("=")
    if key.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def encoded(request: Request, reply: Reply) -> Reply:
    """The reply as the asker accepts it."""
    name = chosen(request.header("accept-encoding"))
    if not name or (isinstance(reply.body, bytes) and len(reply.body) < MINIMUM):
        return reply
    compressor = _compressor(name)
    if compressor is None:
        return reply
    headers = (*reply.headers, ("Content-Encoding", name), ("Vary", "Accept-Encoding"))
    if isinstance(reply.body, bytes):
        body: bytes | Stream = compressor.compress(reply.body) + compressor.flush()
    else:
        body = _Compressed(reply.body, compressor)
    return reply._replace(body=body, headers=headers)


def _compressor(name: str) -> Compressor | None:
    if name == "gzip":
        import zlib

        return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    try:
        import zstandard
    except ImportError:  # an installation without it
        return None
    return zstandard.ZstdCompressor(level=1).compressobj()


class _Compressed:
    """A stream on its way through a compressor."""

    def __init__(self, body: Stream, compressor: Compressor) -> None:
        self._body = body
        self._compressor = compressor

    async def pieces(self) -> AsyncIterator[bytes]:
        async for piece in self._body.pieces():
            if out := self._compressor.compress(piece):
                yield out
        if rest := self._compressor.flush():
            yield rest

    async def aclose(self) -> None:
        await self._body.aclose()
