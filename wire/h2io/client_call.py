# SPDX-License-Identifier: Apache-2.0
"""A call that we made: answered by headers, ended by a status. Part of the socket shell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wire.h2.frames import ErrorCode
from wire.h2.grpc import (
    Code,
    Metadata,
    RpcError,
    Status,
    format_timeout,
    is_grpc,
    status_of_trailers,
)
from wire.h2.headers import Headers, field_fault
from wire.h2io.call import LATE, TRUNCATED, Call

if TYPE_CHECKING:
    from wire.h2io.link import Link


class ClientCall(Call):
    """A call that we made. ``receive`` gives None once the status is OK."""

    def __init__(self, link: Link, number: int, path: str) -> None:
        super().__init__(link, number, path, [])
        self.status: Status | None = None
        """How the call ended; None while it runs."""
        self.trailing: Headers = []
        self._http_status = ""
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait_headers(self) -> None:
        """Until the server answered (its headers, or the end). Raises ``RpcError`` if that is an error."""
        await asyncio.shield(self._answered)  # the call's deadline ends it
        if self._failure is not None:
            raise RpcError(self._failure)

    def half_close(self) -> None:
        """We have nothing more to send."""
        self._link.h2.end_stream(self.number)
        self._link.touch()

    def cancel(self) -> None:
        """End the call, if it still runs."""
        if self.status is None:
            self.reset(ErrorCode.CANCEL)

    def on_headers(self, headers: Headers, ended: bool) -> None:
        fields = [(name, value) for name, value in headers if name[:1] != ":"]
        self._http_status = dict(headers)[":status"]
        if ended:  # "Trailers-Only": a status and nothing else, no first headers
            self.on_trailers(fields)
            return
        self.metadata = fields
        if self._http_status == "200" and is_grpc(dict(fields).get("content-type", "")):
            self._mark_answered()
        else:
            self._refuse(status_of_trailers([], self._http_status))

    def on_trailers(self, headers: Headers) -> None:
        self._mark_answered()
        self.trailing = headers
        self._on_status(status_of_trailers(headers, self._http_status))

    def _on_status(self, status: Status) -> None:
        if status.code is Code.OK and self._reader.mid_message:
            status = TRUNCATED
        if status.code is Code.OK:
            self.status = status
            self.on_peer_end()
            self._disarm()
            self._link.forget(self)
            self._release_writers()
        else:
            self.lost(status)

    def on_peer_end(self) -> None:
        if self.status is None:  # DATA with END_STREAM: the trailers are missing
            self.lost(Status(Code.INTERNAL, "the response ended without a status"))
        else:
            super().on_peer_end()

    def _good_end(self) -> Status | None:
        return self.status

    def _is_answered(self) -> bool:
        return self.status is not None

    def on_reset(self, code: ErrorCode, why: str = "") -> None:
        if code is ErrorCode.CANCEL and self._is_late():
            self.lost(LATE)  # the server's timer was faster than ours
        else:
            super().on_reset(code, why)

    def _is_late(self) -> bool:
        return self.deadline is not None and asyncio.get_running_loop().time() >= self.deadline

    def lost(self, status: Status) -> None:
        if self.status is None:
            self.status = status
        super().lost(status)
        self._mark_answered()

    def _mark_answered(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)


def request_headers(
    path: str, authority: str, *, tls: bool, timeout: float | None, metadata: Metadata
) -> Headers:
    """The headers of a call that we make. Raises ``RpcError`` for metadata that HTTP/2 cannot carry."""
    for name, value in metadata:
        if fault := field_fault(name, value):
            raise RpcError(Status(Code.INTERNAL, f"metadata that cannot be sent: {fault}"))
    headers = [
        (":method", "POST"),
        (":scheme", "https" if tls else "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    if not any(name == "user-agent" for name, _ in metadata):
        headers.append(("user-agent", "pilothouse"))
    if timeout is not None:
        headers.append(("grpc-timeout", format_timeout(timeout)))
    return [*headers, *metadata]
