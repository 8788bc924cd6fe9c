# SPDX-License-Identifier: Apache-2.0
"""gRPC's message framing against a reader that has all bytes at once, and gRPC's texts there and back.

The first two bytes of an input choose the limit and the cuts; the rest is a stream's body, and a text.
"""

from __future__ import annotations

from collections.abc import Iterator

from wire.h2 import grpc
from wire.h2.grpc import Code, MessageReader, RpcError
from wire.h2io.inbox import MESSAGE_COST, Inbox

LONGEST_TOLD = 1e8
"""Seconds, three years: what is longer is told as this."""

Outcome = tuple[list[bytes], Code | None, bool]
"""Whole messages, the fault, and whether the stream may not end here."""


def messages(data: bytes) -> None:
    control, body = data[:2].ljust(2, b"\0"), data[2:]
    limit = control[0] * 8
    wanted = _all_at_once(body, limit or grpc.MAX_MESSAGE)
    assert _in_pieces(body, limit, len(body) or 1) == wanted
    assert _in_pieces(body, limit, 1 + control[1] % 23) == wanted
    _texts(body[:200])


def _all_at_once(body: bytes, limit: int) -> Outcome:
    """The description of the format, word by word."""
    found: list[bytes] = []
    at = 0
    while len(body) - at >= 5:
        flag, length = body[at], int.from_bytes(body[at + 1 : at + 5], "big")
        if flag:
            return found, Code.INTERNAL, False
        if length > limit:
            return found, Code.RESOURCE_EXHAUSTED, False
        if at + 5 + length > len(body):
            break
        found.append(body[at + 5 : at + 5 + length])
        at += 5 + length
    return found, None, at < len(body)


def _in_pieces(body: bytes, limit: int, size: int) -> Outcome:
    reader, inbox, found = MessageReader(limit), Inbox(), []
    try:
        for given in _cut(body, size):
            expected = -1
            for piece, offset, length in reader.feed(memoryview(given)):
                assert 0 <= offset <= offset + len(piece) <= length
                assert piece or length == 0
                assert expected in {-1, offset}
                expected = 0 if offset + len(piece) == length else offset + len(piece)
                if inbox.put(piece, offset, length):
                    found.append(inbox.take())
            given[:] = bytes(len(given))  # the read buffer is used again
            assert inbox.waiting == 0
            assert inbox.size <= len(body) + MESSAGE_COST
    except RpcError as exc:
        return found, exc.status.code, False
    return found, None, reader.mid_message


def _cut(body: bytes, size: int) -> Iterator[bytearray]:
    for at in range(0, len(body), size):
        yield bytearray(body[at : at + size])


def _texts(raw: bytes) -> None:
    text = raw.decode("utf-8", "replace")
    escaped = grpc.encode_message(text)
    assert all(" " <= char <= "~" for char in escaped)
    assert escaped == escaped.strip()
    assert grpc.decode_message(escaped) == text
    header = raw.decode("latin-1")
    assert isinstance(grpc.decode_message(header), str)
    seconds = grpc.parse_timeout(header)
    if seconds is not None:
        assert 0 <= seconds < 4e11
        again = grpc.parse_timeout(grpc.format_timeout(seconds))
        assert again is not None
        if seconds < LONGEST_TOLD:
            assert abs(again - seconds) <= max(1e-6, seconds * 1e-6)
    trailers = [("grpc-status", header[:3]), ("grpc-message", header[3:])]
    status = grpc.status_of_trailers(trailers, "200")
    assert grpc.status_of_trailers(grpc.status_trailers(status), "200") == status
