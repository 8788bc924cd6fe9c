# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import sys
from collections.abc import AsyncIterator

import pytest
import zstandard

from agent.httpd import Reply, Request, Stream
from agent.status.encoding import chosen, encoded

LONG = b"a metric 1\n" * 1000


class Body:
    """A body in pieces."""

    def __init__(self) -> None:
        self.closed = False

    async def pieces(self) -> AsyncIterator[bytes]:
        for at in range(0, len(LONG), 700):
            yield LONG[at : at + 700]

    async def aclose(self) -> None:
        self.closed = True


def asked(accept: str) -> Request:
    return Request("GET", "/", "", (("accept-encoding", accept),) if accept else (), "")


async def whole(body: bytes | Stream) -> bytes:
    if isinstance(body, bytes):
        return body
    joined = b"".join([piece async for piece in body.pieces()])
    await body.aclose()
    return joined


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, zstd", "zstd"),
        ("deflate, gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("br, lz4", ""),
        ("gzip;q=0", ""),
        ("gzip;q=nonsense", ""),
        ("GZIP ; q=0.3", "gzip"),
    ],
)
def test_what_is_chosen(accept: str, name: str) -> None:
    assert chosen(accept) == name


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", ["gzip", "zstd"])
async def test_what_comes_out_is_what_went_in(name: str, *, streamed: bool) -> None:
    body = Body()
    reply = encoded(asked(name), Reply(200, body if streamed else LONG))
    assert ("Content-Encoding", name) in reply.headers
    raw = await whole(reply.body)
    assert len(raw) < len(LONG) / 5
    if name == "gzip":
        assert gzip.decompress(raw) == LONG
    else:
        assert zstandard.ZstdDecompressor().decompressobj().decompress(raw) == LONG
    assert body.closed is streamed


def test_short_bodies_stay_as_they_are() -> None:
    reply = Reply(200, b"x" * 1023)
    assert encoded(asked("gzip"), reply) == reply


def test_without_zstandard_nothing_is_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert encoded(asked("zstd"), Reply(200, LONG)) == Reply(200, LONG)
