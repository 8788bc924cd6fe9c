# SPDX-License-Identifier: Apache-2.0
"""A hundred rude peers: a few are told of, the others are counted."""

from __future__ import annotations

import asyncio

import pytest

from mesh.sparing import BURST
from tests.support.grpc_running import serving
from wire.h2io import ServerCall
from wire.h2io.complaints import Complaints


async def test_the_next_line_says_how_many_were_not_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints, now = Complaints(), 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    for turn in range(BURST + 7):
        complaints.tell("rude", turn=turn)
    now = 1e6
    complaints.tell("rude", turn="last")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == BURST + 1
    assert "untold=7" in lines[-1]
    assert "untold" not in lines[0]


async def test_rude_peers_do_not_fill_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    async def never(call: ServerCall) -> None:
        await call.receive()

    async with serving({"/s/One": never}) as running:
        host, _, port = running.target.rpartition(":")
        for _ in range(3 * BURST):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET / HTTP/1.1\r\n\r\n" + bytes(24))
            async with asyncio.timeout(10):
                assert await reader.read()  # GOAWAY, then the end
            writer.close()
            await writer.wait_closed()
    told = capsys.readouterr().out.count("peer broke the protocol")
    assert BURST <= told < 2 * BURST
