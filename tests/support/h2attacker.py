# SPDX-License-Identifier: Apache-2.0
"""A client that keeps no rule: a plain socket that says anything, and reads only where it is told to."""

from __future__ import annotations

import select
import socket
import time
from typing import Self

from tests.support.h2frames import (
    EMPTY_SETTINGS,
    Frame,
    goaway_codes,
    headers_frame,
    reset_codes,
    take_frames,
)
from wire.h2 import frames
from wire.h2.frames import ErrorCode
from wire.h2.headers import Headers

DEADLINE = 60.0
GREETING = frames.PREFACE + EMPTY_SETTINGS + frames.SETTINGS_ACK


def asking(path: str, *more: tuple[str, str]) -> Headers:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        ("content-type", "application/grpc"),
        *more,
    ]


class Attacker:
    """Use it as a context. All waits end at ``DEADLINE``."""

    def __init__(self, port: int, greeting: bytes = GREETING, *, receives: int = 262_144) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(DEADLINE)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 262_144)  # little is under way
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect(("127.0.0.1", port))
        self.heard: list[Frame] = []
        self.ended = False
        self._raw = bytearray()
        self.sock.sendall(greeting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(self, stream: int, path: str, *more: tuple[str, str], flags: int = 4) -> None:
        self.say(headers_frame(stream, asking(path, *more), flags))

    def read(self) -> None:
        """Once, what there is."""
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionError:
            data = b""
        self.ended = not data
        self._raw += data
        self.heard += take_frames(self._raw)

    def read_to_the_end(self) -> None:
        while not self.ended:
            self.read()

    def read_until(self, kind: int, flags: int = 0) -> Frame:
        """The first such frame, with all those flags."""
        while True:
            for each in self.heard:
                if each.kind == kind and each.flags & flags == flags:
                    return each
            assert not self.ended, f"the server closed: {self.goaway}"
            self.read()

    def drown(self, chunk: bytes, *, listening: bool = True, most: int = 256 << 20) -> None:
        """Say the same again and again until the server has enough."""
        sent, until = 0, time.monotonic() + DEADLINE
        left = memoryview(chunk)
        self.sock.setblocking(False)
        try:
            while not self.ended and not self.goaway:
                assert time.monotonic() < until, "nobody stops this client"
                assert sent < most, "nobody stops this client"
                ears = [self.sock] if listening else []
                readable, writable, _ = select.select(ears, [self.sock], [], 1.0)
                if readable:
                    self.read()
                elif writable:
                    try:
                        done = self.sock.send(left)
                    except BlockingIOError:
                        continue
                    except ConnectionError:
                        self.ended = True
                        return
                    sent += done
                    left = left[done:] or memoryview(chunk)
        finally:
            self.sock.settimeout(DEADLINE)

    @property
    def goaway(self) -> list[ErrorCode]:
        """The codes of its GOAWAY frames."""
        return goaway_codes(self.heard)

    def resets(self, stream: int) -> list[ErrorCode]:
        """The codes of its RST_STREAM frames."""
        return reset_codes(self.heard, stream)
