# SPDX-License-Identifier: Apache-2.0
"""The machine's own token: asked for as Google's metadata server wants it, kept fresh, and never lost."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from agent.branches import google_token_branch
from agent.environment import Environment
from agent.google_token import EVERY, HOST, SPARE, GoogleToken, GoogleTokenOptions, address, is_due
from tests.support.clock import FakeClock

AUDIENCE = "trust domain"


def token(expiry: float) -> str:
    body = base64.urlsafe_b64encode(json.dumps({"exp": expiry}).encode()).decode().rstrip("=")
    return f"head.{body}.signature"


class Metadata:
    """Google's metadata server on loopback."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.status = 200
        self.answer = ""
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        body = self.answer.encode()
        writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        writer.write(body)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Metadata]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()


def made(server: Metadata, folder: Path, clock: FakeClock) -> tuple[GoogleToken, Path]:
    path = folder / "tokens/istio-token"
    options = GoogleTokenOptions(AUDIENCE, server.address, str(path))
    return GoogleToken(options, clock), path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("169.254.169.254", ("169.254.169.254", 80)),
        ("metadata:8080", ("metadata", 8080)),
        ("[fd20:ce::254]", ("fd20:ce::254", 80)),
        ("[fd20:ce::254]:81", ("fd20:ce::254", 81)),
    ],
)
def test_where_the_metadata_server_is(text: str, found: tuple[str, int]) -> None:
    assert address(text) == found


@pytest.mark.parametrize("text", ["metadata:http", "fd20:ce::254", ":80", "metadata:0"])
def test_what_is_no_address_is_said_and_the_default_used(text: str) -> None:
    with pytest.raises(ValueError, match=r"port|host|brackets"):
        address(text)
    env = Environment({"CREDENTIAL_FETCHER_TYPE": "GoogleComputeEngine", "GCE_METADATA_HOST": text})
    options = google_token_branch(env)
    assert options is not None
    assert options.host == HOST
    assert [(fault.name, fault.value) for fault in env.tolerated] == [("GCE_METADATA_HOST", text)]


@pytest.mark.parametrize(
    ("left", "due"), [(SPARE + 1, False), (SPARE - 1, True), (-10, True), (3600, False)]
)
def test_a_token_is_replaced_with_time_to_spare(left: float, due: bool) -> None:
    assert is_due(token(1000.0 + left), 1000.0) is due


def test_what_does_not_say_when_it_ends_is_due() -> None:
    assert is_due("", 0.0)
    assert is_due("x.y.z", 0.0)


async def test_it_is_asked_for_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = FakeClock()
    async with Metadata().running() as server:
        google, path = made(server, tmp_path, clock)
        server.answer = token(clock.now() + 3600) + "\n"
        assert await google.refresh()
        assert path.read_text() == server.answer.strip()
        assert path.stat().st_mode & 0o777 == 0o640
        [head] = server.heads
        assert head.startswith(
            "GET /computeMetadata/v1/instance/service-accounts/default/identity"
            "?audience=trust%20domain&format=full HTTP/1.1\r\n"
        )
        assert "metadata-flavor: google" in head.lower()
        assert await google.refresh()  # young enough
        assert len(server.heads) == 1
    assert "signature" not in capsys.readouterr().out


async def test_it_is_renewed_before_its_end(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Metadata().running() as server, asyncio.TaskGroup() as group:
        google, path = made(server, tmp_path, clock)
        server.answer = token(clock.now() + 3600)
        await google.refresh()
        second = server.answer = token(clock.now() + 7200)
        task = group.create_task(google.run())
        async with asyncio.timeout(20):
            while path.read_text() != second:
                await asyncio.sleep(0.005)
                await clock.advance(EVERY / 4)
        assert clock.now() < 1_700_000_000 + 3600 - SPARE + 2 * EVERY
        task.cancel()


@pytest.mark.parametrize(
    ("status", "answer", "why"),
    [(404, "", "answers 404"), (200, "<html>", "no token"), (200, "", "no token")],
)
async def test_a_bad_answer_leaves_the_old_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, answer: str, why: str
) -> None:
    clock = FakeClock()
    async with Metadata().running() as server:
        google, path = made(server, tmp_path, clock)
        old = server.answer = token(clock.now() + 3600)
        await google.refresh()
        server.status, server.answer = status, answer
        await clock.advance(3000)
        assert not await google.refresh()
        assert path.read_text() == old
    assert why in capsys.readouterr().out


async def test_nobody_there_is_said_and_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = FakeClock()
    async with Metadata().running() as server:
        pass
    google, path = made(server, tmp_path, clock)
    assert not await google.refresh()
    assert "identity token not fetched, will retry" in capsys.readouterr().out
    assert not path.exists()
