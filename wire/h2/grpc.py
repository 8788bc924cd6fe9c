# SPDX-License-Identifier: Apache-2.0
"""What gRPC adds to HTTP/2: status, message framing, timeouts. Pure.

Answers to the "gRPC over HTTP2" protocol description of the gRPC project.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from math import ceil
from typing import Final, NamedTuple

from mesh.errors import MeshError
from wire.h2.frames import ErrorCode

PREFIX_SIZE: Final = 5
MAX_MESSAGE: Final = 2**31 - 1
"""The most that our peers send or take; also what 0 means in ``Limits.max_message``."""

Metadata = Sequence[tuple[str, str]]
"""Lower-case names; values of ``-bin`` names are base64 text, as on the wire."""


class Code(IntEnum):
    """The status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Status(NamedTuple):
    """How a call ended."""

    code: Code
    message: str = ""


OK: Final = Status(Code.OK)


class RpcError(MeshError):
    """A call that did not end well; ``status`` says how. Raised on both sides of a call."""

    def __init__(self, status: Status) -> None:
        super().__init__(
            f"{status.code.name}: {status.message}" if status.message else status.code.name
        )
        self.status = status


_PREFIX = struct.Struct(">BI")


def message_prefix(length: int) -> bytes:
    """The five bytes before a message: not compressed, its length."""
    return _PREFIX.pack(0, length)


class MessageReader:
    """Cuts a stream's bytes into messages without copying them.

    ``feed`` gives ``(piece, offset, length)``: bytes ``[offset, offset + len(piece))`` of a message
    of ``length`` bytes. An empty message gives one empty piece. Raises ``RpcError``: compressed
    messages are INTERNAL, since no call of ours has a ``grpc-encoding`` (a server refuses such a
    request as a whole; the compression page of gRPC), oversized ones RESOURCE_EXHAUSTED.
    """

    __slots__ = ("_length", "_limit", "_offset", "_prefix")

    def __init__(self, limit: int) -> None:
        self._limit = limit or MAX_MESSAGE
        self._prefix = b""
        self._length = -1  # -1: the prefix is not complete yet
        self._offset = 0

    @property
    def mid_message(self) -> bool:
        """True where the stream may not end: a message is begun and not finished."""
        return bool(self._prefix) or self._length >= 0

    @property
    def length(self) -> int:
        """Bytes of the message that is begun; -1 between messages."""
        return self._length

    def feed(self, data: memoryview) -> Iterator[tuple[memoryview, int, int]]:
        at, end = 0, len(data)
        while at < end:
            if self._length < 0:
                at = self._read_prefix(data, at)
                if self._length != 0:
                    continue
            piece = data[at : at + self._length - self._offset]
            offset, length = self._offset, self._length
            at += len(piece)
            self._offset += len(piece)
            if self._offset == length:
                self._length, self._offset = -1, 0
            yield piece, offset, length

    def _read_prefix(self, data: memoryview, at: int) -> int:
        if not self._prefix and len(data) - at >= PREFIX_SIZE:
            flag, length = _PREFIX.unpack_from(data, at)
            at += PREFIX_SIZE
        else:
            missing = PREFIX_SIZE - len(self._prefix)
            self._prefix += bytes(data[at : at + missing])
            at = min(len(data), at + missing)
            if len(self._prefix) < PREFIX_SIZE:
                return at
            flag, length = _PREFIX.unpack(self._prefix)
            self._prefix = b""
        if flag:
            why = "a compressed message, and only grpc-encoding identity is supported"
            raise RpcError(Status(Code.INTERNAL, why))
        if length > self._limit:
            why = f"received message larger than max ({length} vs. {self._limit})"
            raise RpcError(Status(Code.RESOURCE_EXHAUSTED, why))
        self._length = length
        return at


def encode_message(text: str) -> str:
    """``grpc-message``: UTF-8, everything but printable ASCII (and the percent sign) escaped.

    Spaces at the ends too: HTTP/2 forbids them there (RFC 9113 section 8.2.1).
    """
    raw = text.encode("utf-8", "surrogatepass")
    first, last = len(raw) - len(raw.lstrip(b" ")), len(raw.rstrip(b" "))
    return "".join(
        chr(byte)
        if 0x20 <= byte <= 0x7E and byte != 0x25 and first <= at < last
        else f"%{byte:02X}"
        for at, byte in enumerate(raw)
    )


def decode_message(text: str) -> str:
    """The reverse; what does not decode is kept as it came."""
    if "%" not in text:
        return text
    out = bytearray()
    raw = text.encode("utf-8", "surrogatepass")
    at = 0
    while at < len(raw):
        if raw[at] == 0x25 and (pair := _hex_pair(raw[at + 1 : at + 3])) is not None:
            out.append(pair)
            at += 3
        else:
            out.append(raw[at])
            at += 1
    return out.decode("utf-8", "replace")


def _hex_pair(pair: bytes) -> int | None:
    try:
        return int(pair, 16) if len(pair) == 2 and pair.isalnum() else None
    except ValueError:
        return None


def is_grpc(content_type: str) -> bool:
    """``application/grpc``, alone or with a subtype or parameter; not ``application/grpc-web``."""
    kind = content_type.lower()
    return kind == "application/grpc" or kind.startswith(("application/grpc+", "application/grpc;"))


_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def parse_timeout(text: str) -> float | None:
    """Seconds of a ``grpc-timeout`` header; None where it is malformed (the header is then ignored)."""
    digits, unit = text[:-1], text[-1:]
    if (
        unit not in _UNITS
        or not (1 <= len(digits) <= 8)
        or not (digits.isascii() and digits.isdigit())
    ):
        return None
    return int(digits) * _UNITS[unit]


def format_timeout(seconds: float) -> str:
    """A ``grpc-timeout`` value: the finest unit whose number has at most eight digits.

    Rounded up, so that a server's time is not over before our own.
    """
    for unit, per_second in (("n", 1e9), ("u", 1e6), ("m", 1e3)):
        count = ceil(max(0.0, seconds) * per_second)
        if count < 10**8:
            return f"{count}{unit}"
    return f"{min(ceil(seconds), 10**8 - 1)}S"


_RESETS: Final = {
    ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
    ErrorCode.CANCEL: Code.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
}


def status_of_reset(code: ErrorCode) -> Status:
    """What a RST_STREAM means to a call that had no status yet."""
    return Status(_RESETS.get(code, Code.INTERNAL), f"stream reset by the peer: {code.name}")


_HTTP: Final = {
    "400": Code.INTERNAL,
    "401": Code.UNAUTHENTICATED,
    "403": Code.PERMISSION_DENIED,
    "404": Code.UNIMPLEMENTED,
    "429": Code.UNAVAILABLE,
    "431": Code.INTERNAL,
    "502": Code.UNAVAILABLE,
    "503": Code.UNAVAILABLE,
    "504": Code.UNAVAILABLE,
}


def status_of_http(http_status: str) -> Status:
    """What an answer without ``grpc-status`` means (it came from a proxy, or no gRPC server)."""
    code = _HTTP.get(http_status, Code.UNKNOWN)
    return Status(code, f"the peer answered with HTTP status {http_status} and no grpc-status")


def status_of_trailers(trailers: Metadata, http_status: str) -> Status:
    """The status that the trailers tell, or what their absence means."""
    fields = dict(trailers)
    number = fields.get("grpc-status")
    if number is None:
        return status_of_http(http_status)
    known = len(number) <= 2 and number.isascii() and number.isdigit()
    code = Code(int(number)) if known and int(number) <= Code.UNAUTHENTICATED else Code.UNKNOWN
    return Status(code, decode_message(fields.get("grpc-message", "")))


def status_trailers(status: Status) -> list[tuple[str, str]]:
    """The trailers that tell a status."""
    fields = [("grpc-status", str(int(status.code)))]
    if status.message:
        fields.append(("grpc-message", encode_message(status.message)))
    return fields
