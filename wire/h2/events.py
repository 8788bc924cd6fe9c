# SPDX-License-Identifier: Apache-2.0
"""What a connection tells its owner. Pure. A closed set: match on it and end with ``assert_never``."""

from __future__ import annotations

from typing import NamedTuple

from wire.h2.frames import ErrorCode
from wire.h2.headers import Headers


class HeadersReceived(NamedTuple):
    """A request's headers (server) or a response's final ones (client)."""

    stream: int
    headers: Headers
    ended: bool
    """True where nothing more will come on this stream."""


class TrailersReceived(NamedTuple):
    """The fields after a body; the peer's half is closed with them."""

    stream: int
    headers: Headers


class DataReceived(NamedTuple):
    """Part of a body. ``data`` is valid until the next call of ``receive``."""

    stream: int
    data: memoryview


class StreamEnded(NamedTuple):
    """The peer's half is closed after data (``HeadersReceived.ended`` and trailers say so themselves)."""

    stream: int


class StreamReset(NamedTuple):
    """The stream is over without an end: reset by the peer, or by us for the fault in ``why``."""

    stream: int
    code: ErrorCode
    by_peer: bool
    why: str


class Writable(NamedTuple):
    """All that was held back for the peer's window is on its way."""

    stream: int


class Pong(NamedTuple):
    """The peer answered our PING."""

    payload: bytes


class SettingsReceived(NamedTuple):
    """The peer's first SETTINGS frame is in: the connection is usable."""


class GoAwayReceived(NamedTuple):
    """The peer takes no new streams; streams above ``last_stream`` were not looked at."""

    last_stream: int
    code: ErrorCode
    debug: bytes


class ConnectionFailed(NamedTuple):
    """The peer broke the protocol. GOAWAY is queued; send what is queued and close."""

    code: ErrorCode
    why: str


Event = (
    HeadersReceived
    | TrailersReceived
    | DataReceived
    | StreamEnded
    | StreamReset
    | Writable
    | Pong
    | SettingsReceived
    | GoAwayReceived
    | ConnectionFailed
)
