# SPDX-License-Identifier: Apache-2.0
"""A call that a client made: headers before the first message, one status at the end. Part of the socket shell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wire.h2.frames import ErrorCode
from wire.h2.grpc import OK, Metadata, Status, status_trailers
from wire.h2.headers import Headers
from wire.h2io.call import Call

if TYPE_CHECKING:
    from wire.h2io.link import Link

RESPONSE_HEADERS: Headers = [(":status", "200"), ("content-type", "application/grpc")]


class ServerCall(Call):
    """A call that a client made. The handler gets it; returning means OK."""

    def __init__(self, link: Link, number: int, path: str, metadata: Headers) -> None:
        super().__init__(link, number, path, metadata)
        self.task: asyncio.Task[None] | None = None
        self.finished = False
        self._headers_sent = False

    async def send_headers(self, metadata: Metadata = ()) -> None:
        """Send the response's headers before the first message does."""
        self._check_open()
        self._send_headers(metadata)

    def _send_headers(self, metadata: Metadata = ()) -> None:
        if not self._headers_sent:
            self._headers_sent = True
            self._link.h2.send_headers(self.number, [*RESPONSE_HEADERS, *metadata])
            self._link.touch()

    def _before_data(self) -> None:
        self._send_headers()

    async def finish(self, status: Status = OK, metadata: Metadata = ()) -> None:
        """Send the status; the rest of the request is not read any more."""
        self.finish_nowait(status, metadata)

    def finish_nowait(self, status: Status, metadata: Metadata = ()) -> None:
        if self.finished:
            return
        self.finished = True
        self._disarm()
        trailers = [*status_trailers(status), *metadata]
        if not self._headers_sent:
            trailers = [*RESPONSE_HEADERS, *trailers]
        self._link.h2.end_stream(self.number, trailers)
        self._link.touch()
        self._link.forget(self)

    def on_trailers(self, headers: Headers) -> None:  # noqa: ARG002  gRPC gives a request's none a meaning
        self.on_peer_end()

    def _refuse(self, status: Status) -> None:
        """A client is told why in trailers, not by a reset."""
        self.finish_nowait(status)
        self.lost(status)
        if self.task is not None:
            self.task.cancel()

    def _expire(self) -> None:
        if self._link.h2.backlog(self.number):
            # a status would wait behind what the client does not take ("Client Cancellation")
            self._link.h2.reset(self.number, ErrorCode.CANCEL)
        super()._expire()

    def lost(self, status: Status) -> None:
        first = self.failure is None
        super().lost(status)
        if first and not self.finished and self.task is not None:
            self.task.cancel()

    def _is_answered(self) -> bool:
        return self.finished
