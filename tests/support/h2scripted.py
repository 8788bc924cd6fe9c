# SPDX-License-Identifier: Apache-2.0
"""A server that says what it is told to say, right or wrong, and remembers all that it hears."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tests.support.h2frames import EMPTY_SETTINGS, Frame, goaway_codes, reset_codes, take_frames
from wire.h2 import frames
from wire.h2.frames import ErrorCode

DEADLINE = 20.0


class Conversation:
    """One client as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard: list[Frame] = []
        self._cut = False
        self._reader = reader
        self._writer = writer
        self._raw = bytearray()
        self._preface = frames.PREFACE

    async def say(self, data: bytes) -> None:
        """Without an error where the client is gone: then it has said why."""
        with suppress(OSError):
            self._writer.write(data)
            await self._writer.drain()

    async def hear(self, until: Callable[[Frame], bool]) -> bool:
        """Listen until such a frame came: False if the client closed before."""
        async with asyncio.timeout(DEADLINE):
            while not any(until(each) for each in await self._listen()):
                if self._reader.at_eof():
                    return False
        return True

    async def _listen(self) -> list[Frame]:
        try:
            data = await self._reader.read(65_536)
        except OSError:
            self._cut = True
            self._reader.feed_eof()
            return []
        if self._preface:
            self._raw += data
            if len(self._raw) < len(self._preface):
                return []
            assert self._raw.startswith(self._preface)
            del self._raw[: len(self._preface)]
            self._preface = b""
        else:
            self._raw += data
        found = take_frames(self._raw)
        self.heard += found
        return found

    async def hear_request(self) -> None:
        """Until a half is ended, as a call with one message does."""
        await self.hear(lambda each: each.kind == frames.DATA and bool(each.flags & 1))

    async def hear_pong(self) -> bool:
        """The client has acted on all that was said: False if it closed instead."""
        await self.say(frames.ping_frame(b"all said"))
        return await self.hear(lambda each: each.kind == frames.PING and each.flags == frames.ACK)

    async def hear_end(self) -> None:
        await self.hear(lambda _: False)

    @property
    def closed_well(self) -> bool:
        """The client ended with an end, and not with a reset."""
        return self._reader.at_eof() and not self._cut

    @property
    def goaway(self) -> list[ErrorCode]:
        """The codes of the client's GOAWAY frames."""
        return goaway_codes(self.heard)

    def resets(self, stream: int) -> list[ErrorCode]:
        """The codes of its RST_STREAM frames."""
        return reset_codes(self.heard, stream)


Script = Callable[[Conversation], Awaitable[None]]


class Scripted:
    """A server for one client."""

    def __init__(self, script: Script, greeting: bytes) -> None:
        self.target = ""
        self._script = script
        self._greeting = greeting
        self._conversation: Conversation | None = None
        self._over = asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._conversation = Conversation(reader, writer)
        try:
            await self._conversation.say(self._greeting)
            await self._script(self._conversation)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self._over.set()

    async def conversation(self) -> Conversation:
        """What was heard, once the script is over."""
        await asyncio.wait_for(self._over.wait(), DEADLINE)
        assert self._conversation is not None
        return self._conversation


@asynccontextmanager
async def scripted(
    script: Script, *, greeting: bytes = EMPTY_SETTINGS, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    served = Scripted(script, greeting)
    server = await asyncio.start_server(served.talk, "127.0.0.1", 0, ssl=tls)
    async with server:
        served.target = f"localhost:{server.sockets[0].getsockname()[1]}"
        yield served
