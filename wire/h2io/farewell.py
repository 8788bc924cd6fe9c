# SPDX-License-Identifier: Apache-2.0
"""How a socket ends so that the peer can read our last words. Part of the socket shell; knows no HTTP/2.

A socket that is closed while bytes of the peer are unread, or to which more of them come, answers with a
reset (RFC 1122 section 4.2.2.13), and a reset takes from the peer what it has not read yet: GOAWAY and its
reason would be lost just where they matter. So our half ends first, what still comes is thrown away, and the
socket is closed when the peer has ended its half too, or has sent more than it may have had under way. Time is
the owner's: it closes when it has waited ``LINGER`` seconds.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

LINGER: Final = 1.0
"""Seconds that a closing link has for its last words, and its peer to read them."""


class Farewell:
    """Reads from now on; ``end`` once all is sent. ``done`` is called when the socket may be closed."""

    __slots__ = ("_buffer", "_done", "_loop", "_most", "_sock")

    def __init__(
        self, sock: socket.socket, buffer: memoryview, *, most: int, done: Callable[[], None]
    ) -> None:
        self._sock = sock
        self._buffer = buffer
        self._most = most
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._throw_away)

    def end(self) -> None:
        """Our half is over. Over TLS by an alert: without it the peer must take it for a cut (RFC 8446 6.1)."""
        self._loop.remove_writer(self._sock)
        try:
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.unwrap()
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._sock, self.end)
            return
        except (OSError, ValueError):
            pass  # the peer's own alert is not waited for
        try:
            self._sock.shutdown(socket.SHUT_WR)  # a TLS socket reads plain bytes after it
        except OSError:
            self._done()

    def _throw_away(self) -> None:
        try:
            size = self._sock.recv_into(self._buffer)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            size = 0
        self._most -= size
        if size == 0 or self._most < 0:
            self._done()


def close_socket(sock: socket.socket) -> None:
    """Close now; over TLS with an alert first, where the kernel takes it."""
    if isinstance(sock, ssl.SSLSocket):
        with suppress(OSError, ValueError):
            sock.unwrap()
    sock.close()
