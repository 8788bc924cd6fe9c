# SPDX-License-Identifier: Apache-2.0
"""What a socket does not take at once: it arrives whole and in order, and only memory that changes is copied for it."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wire.h2.connection import Side
from wire.h2.limits import Limits
from wire.h2.outbound import Buffer
from wire.h2io.link import Link
from wire.h2io.types import Peer

BIG = random.Random(3).randbytes(3_000_000)


@contextmanager
def linked() -> Iterator[tuple[Link, socket.socket]]:
    """A link that was not started, and the other end of its socket, which nobody reads yet."""
    near, far = socket.socketpair()
    for end in (near, far):
        end.setblocking(False)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    link = Link(near, Side.SERVER, peer=Peer("test"), limits=Limits(), keepalive=None)
    try:
        yield link, far
    finally:
        link.abort("over")
        far.close()


async def all_of(far: socket.socket, size: int) -> bytes:
    found = bytearray()
    async with asyncio.timeout(60):
        while len(found) < size:
            data = await asyncio.get_running_loop().sock_recv(far, 50_000)
            assert data, "cut"
            found += data
    return bytes(found)


def queue(link: Link, *buffers: Buffer) -> bytes:
    """Flush them, then change whatever memory can change; what has to arrive."""
    wanted = b"".join(buffers)
    link.h2.out.extend(buffers)
    link.flush()
    for buffer in buffers:
        if isinstance(buffer, memoryview) and not buffer.readonly:
            buffer[:] = bytes(len(buffer))
    return wanted


async def test_all_kinds_of_memory_arrive_in_order() -> None:
    with linked() as (link, far):
        rng, wanted = random.Random(5), b""
        for _ in range(30):
            row: list[Buffer] = []
            for _ in range(rng.randrange(1, 40)):
                at, size = rng.randrange(len(BIG)), rng.choice((0, 1, 9, 1000, 30_000))
                part = BIG[at : at + size]
                view = memoryview(BIG)[at : at + size]
                row.append(rng.choice((part, view, memoryview(bytearray(part)))))
            wanted += queue(link, *row)
        assert link.backlog > 0
        assert await all_of(far, len(wanted)) == wanted
        assert link.backlog == 0


@pytest.mark.parametrize("before", [0, 1_000_000], ids=["at once", "behind a backlog"])
async def test_a_message_that_waits_is_not_copied(before: int) -> None:
    with linked() as (link, far):
        wanted = queue(link, bytes(before)) + queue(link, b"head", memoryview(BIG))
        kept = [each for each in link._backlog if isinstance(each, memoryview)]
        assert any(each.obj is BIG for each in kept)
        assert await all_of(far, len(wanted)) == wanted
