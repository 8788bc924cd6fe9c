# SPDX-License-Identifier: Apache-2.0
"""What a server may do wrong after a good beginning, and what our client must say to it: one table.

Each case is played twice: over a socket (``h2io/test_misbehaving_server.py``), where also the call's outcome is
seen, and byte by byte into the machine alone (``h2/test_connection_client.py``). Numbers in ``rule`` are sections
of RFC 9113, those with "HPACK" of RFC 7541; "gRPC" is PROTOCOL-HTTP2, "mapping" http-grpc-status-mapping and
"compression" the page of that name. The client has asked on stream 1 and has ended its half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.support.h2frames import (
    EMPTY_SETTINGS,
    RESPONSE,
    TRAILERS,
    encode,
    frame,
    headers_frame,
    last_headers,
    message_frame,
)
from wire.h2 import frames
from wire.h2.frames import ErrorCode, Setting
from wire.h2.grpc import Code, message_prefix
from wire.h2.headers import Headers
from wire.h2.limits import Limits

LIMITS: Final = Limits(
    max_message=100_000, max_frame=200_000, stream_window=70_000, connection_window=150_000
)
"""Small enough to be overrun by one frame each: the stream's window, then the connection's, then a frame."""


@dataclass(frozen=True, slots=True)
class Case:
    """``says`` comes after the server's good SETTINGS. Expected of the client: the codes that it sends."""

    rule: str
    says: bytes
    goaway: ErrorCode | None = None
    """In GOAWAY, before it closes; None: the connection lives."""
    reset: ErrorCode | None = None
    """In RST_STREAM for stream 1."""
    outcome: Code = Code.UNAVAILABLE
    """Of the call."""


HEAD: Final = headers_frame(1, RESPONSE)
END: Final = last_headers(1, TRAILERS)
FINE: Final = message_prefix(4) + b"fine"
ANSWER: Final = HEAD + frame(frames.DATA, 1, FINE) + END


def broken(rule: str, says: bytes, code: ErrorCode = ErrorCode.PROTOCOL_ERROR) -> Case:
    """A connection error (5.4.1)."""
    return Case(rule, says, goaway=code)


def small(rule: str, says: bytes) -> Case:
    return broken(rule, says, ErrorCode.FRAME_SIZE_ERROR)


def malformed(rule: str, says: bytes, code: ErrorCode = ErrorCode.PROTOCOL_ERROR) -> Case:
    """A stream error (5.4.2)."""
    return Case(rule, says, reset=code, outcome=Code.INTERNAL)


def flood(rule: str, says: bytes) -> Case:
    """More than anybody has a reason for (10.5)."""
    return broken(rule, says, ErrorCode.ENHANCE_YOUR_CALM)


def setting(key: int, value: int) -> bytes:
    return frame(frames.SETTINGS, 0, key.to_bytes(2, "big") + value.to_bytes(4, "big"))


def block(payload: bytes) -> bytes:
    """HEADERS with a field block written by hand."""
    return frame(frames.HEADERS, 1, payload, frames.END_HEADERS)


def padded(kind: int, pad: int, rest: bytes, flags: int = 0) -> bytes:
    return frame(kind, 1, bytes([pad]) + rest, flags | frames.PADDED)


SIZES: dict[str, Case] = {
    "a frame larger than we announced": small("4.2", frames.pack_header(200_001, 0, 0, 1)),
    "SETTINGS of 5 bytes": small("6.5", frame(frames.SETTINGS, 0, bytes(5))),
    "SETTINGS ACK with a payload": small("6.5", frame(frames.SETTINGS, 0, bytes(6), frames.ACK)),
    "PING of 7 bytes": small("6.7", frame(frames.PING, 0, bytes(7))),
    "PING of 9 bytes": small("6.7", frame(frames.PING, 0, bytes(9))),
    "WINDOW_UPDATE of 3 bytes": small("6.9", frame(frames.WINDOW_UPDATE, 0, bytes(3))),
    "WINDOW_UPDATE of 5 bytes": small("6.9", frame(frames.WINDOW_UPDATE, 1, bytes(5))),
    "RST_STREAM of 3 bytes": small("6.4", frame(frames.RST_STREAM, 1, bytes(3))),
    "RST_STREAM of 5 bytes": small("6.4", frame(frames.RST_STREAM, 1, bytes(5))),
    "GOAWAY of 7 bytes": small("6.8 4.2", frame(frames.GOAWAY, 0, bytes(7))),
    "padded DATA without a pad length": small("4.2", HEAD + frame(0, 1, b"", frames.PADDED)),
    "padded HEADERS without a pad length": small(
        "4.2", frame(frames.HEADERS, 1, b"", frames.PADDED)
    ),
    "HEADERS too short for its priority": small(
        "4.2", frame(frames.HEADERS, 1, bytes(4), frames.PRIORITIZED | frames.END_HEADERS)
    ),
    "PRIORITY of 4 bytes": malformed(
        "6.3", frame(frames.PRIORITY, 1, bytes(4)), ErrorCode.FRAME_SIZE_ERROR
    ),
    "DATA of padding beyond its end": broken("6.1", HEAD + padded(frames.DATA, 4, b"abc")),
    "HEADERS of padding beyond its end": broken(
        "6.2", padded(frames.HEADERS, 255, encode(RESPONSE), frames.END_HEADERS)
    ),
}

STREAMS: dict[str, Case] = {
    "DATA on stream 0": broken("6.1", frame(frames.DATA, 0, b"x")),
    "HEADERS on stream 0": broken("6.2", headers_frame(0, RESPONSE)),
    "PRIORITY on stream 0": broken("6.3", frame(frames.PRIORITY, 0, bytes(5))),
    "RST_STREAM on stream 0": broken("6.4", frames.reset_frame(0, 0)),
    "CONTINUATION on stream 0": broken("6.10", frame(frames.CONTINUATION, 0)),
    "SETTINGS on a stream": broken("6.5", frame(frames.SETTINGS, 1)),
    "PING on a stream": broken("6.7", frame(frames.PING, 1, bytes(8))),
    "GOAWAY on a stream": broken("6.8", frame(frames.GOAWAY, 1, bytes(8))),
    "DATA on an idle stream": broken("5.1", frame(frames.DATA, 3, b"x")),
    "HEADERS on an idle stream": broken("5.1", headers_frame(3, RESPONSE)),
    "RST_STREAM on an idle stream": broken("6.4", frames.reset_frame(3, 0)),
    "WINDOW_UPDATE on an idle stream": broken("5.1", frames.window_frame(3, 1)),
    "DATA on an even stream": broken("5.1.1", frame(frames.DATA, 2, b"x")),
    "HEADERS on an even stream": broken("5.1.1", headers_frame(2, RESPONSE)),
    "RST_STREAM on an even stream": broken("5.1.1", frames.reset_frame(2, 0)),
    "WINDOW_UPDATE on an even stream": broken("5.1.1", frames.window_frame(2, 1)),
    "PUSH_PROMISE that we refused": broken(
        "6.6", frame(frames.PUSH_PROMISE, 1, b"\0\0\0\2" + encode(RESPONSE), frames.END_HEADERS)
    ),
    "another frame inside a field block": broken(
        "6.2", headers_frame(1, RESPONSE, 0) + frames.ping_frame(bytes(8))
    ),
    "another stream inside a field block": broken(
        "6.2", headers_frame(1, RESPONSE, 0) + frame(frames.CONTINUATION, 3, b"")
    ),
    "DATA inside a field block": broken("6.2", headers_frame(1, RESPONSE, 0) + frame(0, 1, b"x")),
    "an unknown frame inside a field block": broken(
        "5.5", headers_frame(1, RESPONSE, 0) + frame(0xFA, 1)
    ),
    "CONTINUATION from nowhere": broken("6.10", frame(frames.CONTINUATION, 1, b"")),
    "CONTINUATION after a block's end": broken("6.10", HEAD + frame(frames.CONTINUATION, 1, b"")),
    "HEADERS after the end": Case(
        "5.1", ANSWER + headers_frame(1, RESPONSE), ErrorCode.STREAM_CLOSED, outcome=Code.OK
    ),
    "DATA after the end": Case(
        "6.1", ANSWER + frame(0, 1, b"x"), reset=ErrorCode.STREAM_CLOSED, outcome=Code.OK
    ),
    "DATA after RST_STREAM": Case(
        "6.1",
        HEAD + frames.reset_frame(1, ErrorCode.INTERNAL_ERROR) + frame(0, 1, b"x"),
        reset=ErrorCode.STREAM_CLOSED,
        outcome=Code.INTERNAL,
    ),
}

BLOCKS: dict[str, Case] = {
    name: broken(f"4.3 HPACK {rule}", block(payload), ErrorCode.COMPRESSION_ERROR)
    for name, rule, payload in (
        ("index 0", "6.1", b"\x80"),
        ("an index beyond the tables", "2.3.3", b"\xff\x00"),
        ("an index without its end", "5.1", b"\xff\x80"),
        ("a number of many octets", "5.1", b"\x7f" + b"\xff" * 30_000 + b"\x00"),
        ("a name longer than the block", "5.2", b"\x40\x0aab"),
        ("a value longer than the block", "5.2", b"\x40\x01a\x7f\xff\x03"),
        ("Huffman padding of more than 7 bits", "5.2", b"\x40\x82\xff\xff\x01b"),
        ("the Huffman code that means the end", "5.2", b"\x40\x84\xff\xff\xff\xff\x01b"),
        ("a table larger than we offered", "6.3", b"\x3f\xe2\x1f" + encode(RESPONSE)),
        ("a table size after a field", "4.2", encode(RESPONSE) + b"\x20"),
    )
} | {
    "a field list larger than we take": flood(
        "10.5.1", block(encode([*RESPONSE, ("x", "y" * 20_000)]))
    ),
    "one table entry named a thousand times": flood(
        "10.5.1", block(encode([*RESPONSE, ("x", "y" * 2000)]) + b"\xbe" * 1000)
    ),
    "a field block without end": flood(
        "10.5",
        headers_frame(1, RESPONSE, 0) + frame(frames.CONTINUATION, 1, b"\0" * 16_000) * 4,
    ),
    "CONTINUATION frames without end": flood(
        "10.5", headers_frame(1, RESPONSE, 0) + frame(frames.CONTINUATION, 1) * 1100
    ),
    "CONTINUATION frames of one octet": flood(
        "10.5", headers_frame(1, RESPONSE, 0) + frame(frames.CONTINUATION, 1, b"\0") * 1100
    ),
}


def _answered_with(rule: str, headers: Headers) -> Case:
    return malformed(rule, headers_frame(1, headers))


FIELDS: dict[str, Case] = {
    "no :status": _answered_with("8.3.2", RESPONSE[1:]),
    ":status twice": _answered_with("8.3", [RESPONSE[0], *RESPONSE]),
    ":status after a field": _answered_with("8.3", [("a", "b"), *RESPONSE]),
    ":status of two digits": _answered_with("8.3.2", [(":status", "20")]),
    ":status of four digits": _answered_with("8.3.2", [(":status", "2000")]),
    ":status of other digits": _answered_with("8.3.2", [(":status", "\xb2\xb0\xb0")]),
    ":status of letters": _answered_with("8.3.2", [(":status", "two")]),
    ":status 101": _answered_with("8.6", [(":status", "101")]),
    "a request's pseudo-header": _answered_with("8.3", [*RESPONSE[:1], (":path", "/")]),
    "an unknown pseudo-header": _answered_with("8.3", [*RESPONSE[:1], (":what", "x")]),
    "upper case in a name": _answered_with("8.2.1", [*RESPONSE, ("Upper", "x")]),
    "a space in a name": _answered_with("8.2.1", [*RESPONSE, ("a b", "x")]),
    "a colon in a name": _answered_with("8.2.1", [*RESPONSE, ("a:b", "x")]),
    "a name of more than ASCII": _answered_with("8.2.1", [*RESPONSE, ("\xe4", "x")]),
    "a name without letters": _answered_with("8.2.1", [*RESPONSE, ("", "x")]),
    "CR in a value": _answered_with("8.2.1", [*RESPONSE, ("a", "x\ry")]),
    "LF in a value": _answered_with("8.2.1", [*RESPONSE, ("a", "x\ny")]),
    "NUL in a value": _answered_with("8.2.1", [*RESPONSE, ("a", "\0")]),
    "a space before a value": _answered_with("8.2.1", [*RESPONSE, ("a", " x")]),
    "a tab after a value": _answered_with("8.2.1", [*RESPONSE, ("a", "x\t")]),
    "a pseudo-header in trailers": malformed("8.1", HEAD + last_headers(1, RESPONSE)),
    "upper case in trailers": malformed("8.2.1", HEAD + last_headers(1, [("A", "b")])),
    "trailers that do not end": malformed("8.1", HEAD + headers_frame(1, TRAILERS)),
    "DATA before the headers": malformed("8.1", message_frame(1, b"x")),
    "an interim response that ends": malformed("8.1", last_headers(1, [(":status", "103")])),
    "content-length of letters": _answered_with("8.1.1", [*RESPONSE, ("content-length", "x")]),
    "content-length of two minds": _answered_with(
        "8.1.1", [*RESPONSE, ("content-length", "1"), ("content-length", "2")]
    ),
    "content-length without a body": malformed(
        "8.1.1", last_headers(1, [*RESPONSE, ("content-length", "1")])
    ),
    "more body than content-length": malformed(
        "8.1.1",
        headers_frame(1, [*RESPONSE, ("content-length", "5")]) + message_frame(1, b"x") + END,
    ),
    "less body than content-length": malformed(
        "8.1.1",
        headers_frame(1, [*RESPONSE, ("content-length", "9")]) + message_frame(1, b"x") + END,
    ),
} | {
    f"{name} in a response": _answered_with("8.2.2", [*RESPONSE, (name, "x")])
    for name in ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
}

WINDOWS: dict[str, Case] = {
    "more DATA than the stream's window": malformed(
        "6.9.1", HEAD + frame(0, 1, bytes(70_001)), ErrorCode.FLOW_CONTROL_ERROR
    ),
    "padding counts as DATA": malformed(
        "6.1", HEAD + padded(0, 255, bytes(69_999) + bytes(255)), ErrorCode.FLOW_CONTROL_ERROR
    ),
    "more DATA than the connection's window": broken(
        "6.9.1", HEAD + frame(0, 1, bytes(150_001)), ErrorCode.FLOW_CONTROL_ERROR
    ),
    "WINDOW_UPDATE of 0": broken("6.9", frames.window_frame(0, 0)),
    "WINDOW_UPDATE of 0 on a stream": malformed("6.9", frames.window_frame(1, 0)),
    "a window above the largest": broken(
        "6.9.1", frames.window_frame(0, frames.MAX_WINDOW), ErrorCode.FLOW_CONTROL_ERROR
    ),
    "a stream's window above the largest": malformed(
        "6.9.1", frames.window_frame(1, frames.MAX_WINDOW), ErrorCode.FLOW_CONTROL_ERROR
    ),
    "INITIAL_WINDOW_SIZE above the largest": broken(
        "6.5.2", setting(Setting.INITIAL_WINDOW_SIZE, 2**31), ErrorCode.FLOW_CONTROL_ERROR
    ),
    "INITIAL_WINDOW_SIZE that an open stream cannot bear": broken(
        "6.9.2",
        frames.window_frame(1, 2**31 - 70_000) + setting(Setting.INITIAL_WINDOW_SIZE, 100_000),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "MAX_FRAME_SIZE below the smallest": broken("6.5.2", setting(Setting.MAX_FRAME_SIZE, 16_383)),
    "MAX_FRAME_SIZE above the largest": broken("6.5.2", setting(Setting.MAX_FRAME_SIZE, 2**24)),
    "ENABLE_PUSH 1 from a server": broken("6.5.2", setting(Setting.ENABLE_PUSH, 1)),
    "ENABLE_PUSH 2": broken("6.5.2", setting(Setting.ENABLE_PUSH, 2)),
}

FLOODS: dict[str, Case] = {
    "SETTINGS without end": flood("10.5", EMPTY_SETTINGS * 1100),
    "SETTINGS of a hundred settings": flood("10.5", frame(frames.SETTINGS, 0, bytes(600))),
    "acknowledgements of nothing": flood("10.5", frames.SETTINGS_ACK * 1100),
    "PING without end": flood("10.5", frames.ping_frame(bytes(8)) * 1100),
    "answers to no PING": flood("10.5", frames.ping_frame(bytes(8), ack=True) * 1100),
    "DATA without data": flood("10.5", HEAD + frame(frames.DATA, 1) * 1100),
    "DATA of padding": flood("10.5", HEAD + padded(frames.DATA, 3, bytes(3)) * 1100),
    "PRIORITY without end": flood("10.5", frame(frames.PRIORITY, 1, bytes(5)) * 1100),
    "unknown frames without end": flood("10.5", frame(0xBB, 0) * 1100),
    "interim responses without end": flood("8.1", headers_frame(1, [(":status", "103")]) * 1100),
    "WINDOW_UPDATE without end": flood("10.5", frames.window_frame(0, 1) * 2100),
    "RST_STREAM without end": Case(
        "10.5",
        frames.reset_frame(1, ErrorCode.CANCEL) * 1100,
        ErrorCode.ENHANCE_YOUR_CALM,
        outcome=Code.CANCELLED,
    ),
    "GOAWAY without end": flood("10.5", frames.goaway_frame(1, 0) * 1100),
    "GOAWAY with a book in it": flood("10.5", frames.goaway_frame(1, 0, bytes(20_000))),
}


def told(code: int, text: str = "") -> bytes:
    return frames.goaway_frame(1, code, text.encode())


ENDS: dict[str, Case] = {
    "GOAWAY whose last stream rises": Case(
        "6.8",
        frames.goaway_frame(0, 0) + frames.goaway_frame(1, 0),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "GOAWAY that disowns the call": Case("6.8", frames.goaway_frame(0, 0), ErrorCode.NO_ERROR),
    "GOAWAY and the answer all the same": Case(
        "6.8", told(ErrorCode.NO_ERROR) + ANSWER, ErrorCode.NO_ERROR, outcome=Code.OK
    ),
    "GOAWAY of an unknown code": Case(
        "7", told(0xABCD, "\xff why") + ANSWER, ErrorCode.NO_ERROR, outcome=Code.OK
    ),
} | {
    f"RST_STREAM {code.name}": Case("gRPC Errors", frames.reset_frame(1, code), outcome=outcome)
    for code, outcome in {
        ErrorCode.NO_ERROR: Code.INTERNAL,
        ErrorCode.PROTOCOL_ERROR: Code.INTERNAL,
        ErrorCode.INTERNAL_ERROR: Code.INTERNAL,
        ErrorCode.FLOW_CONTROL_ERROR: Code.INTERNAL,
        ErrorCode.SETTINGS_TIMEOUT: Code.INTERNAL,
        ErrorCode.FRAME_SIZE_ERROR: Code.INTERNAL,
        ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
        ErrorCode.CANCEL: Code.CANCELLED,
        ErrorCode.COMPRESSION_ERROR: Code.INTERNAL,
        ErrorCode.CONNECT_ERROR: Code.INTERNAL,
        ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
        ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
    }.items()
}


def refused(rule: str, says: bytes, outcome: Code) -> Case:
    """Good HTTP/2 and bad gRPC: the rest is not wanted (8.1, CANCEL in 7)."""
    return Case(rule, says, reset=ErrorCode.CANCEL, outcome=outcome)


def answered(content_type: str) -> bytes:
    return headers_frame(1, [(":status", "200"), ("content-type", content_type)])


GRPC: dict[str, Case] = (
    {
        "DATA that ends without trailers": Case(
            "gRPC Responses", HEAD + frame(0, 1, b"", frames.END_STREAM), outcome=Code.INTERNAL
        ),
        "headers that end without a status": Case(
            "mapping", last_headers(1, RESPONSE), outcome=Code.UNKNOWN
        ),
        "trailers without a status": Case(
            "mapping", HEAD + last_headers(1, [("a", "b")]), outcome=Code.UNKNOWN
        ),
        "a compressed message": refused(
            "compression", HEAD + frame(0, 1, b"\1\0\0\0\1x"), Code.INTERNAL
        ),
        "a flag that nobody knows": refused(
            "gRPC", HEAD + frame(0, 1, b"\xff\0\0\0\1x"), Code.INTERNAL
        ),
        "a message larger than we take": refused(
            "gRPC",
            HEAD + frame(0, 1, b"\0" + (100_001).to_bytes(4, "big")),
            Code.RESOURCE_EXHAUSTED,
        ),
        "a message larger than any": refused(
            "gRPC", HEAD + frame(0, 1, b"\0\xff\xff\xff\xff"), Code.RESOURCE_EXHAUSTED
        ),
        "a message cut by a good status": Case(
            "gRPC", HEAD + frame(0, 1, b"\0\0\0\0\5abc") + END, outcome=Code.INTERNAL
        ),
        "a prefix cut by a good status": Case(
            "gRPC", HEAD + frame(0, 1, b"\0\0") + END, outcome=Code.INTERNAL
        ),
        "no content-type": refused("mapping", headers_frame(1, RESPONSE[:1]), Code.UNKNOWN),
        "a page for humans": refused("mapping", answered("text/html"), Code.UNKNOWN),
        "gRPC for browsers": refused("mapping", answered("application/grpc-web"), Code.UNKNOWN),
        "a bad status and the right content-type": refused(
            "mapping",
            headers_frame(1, [(":status", "503"), *RESPONSE[1:]]),
            Code.UNAVAILABLE,
        ),
        "a status beside a bad HTTP status": Case(
            "mapping",
            last_headers(1, [(":status", "503"), ("grpc-status", "5")]),
            outcome=Code.NOT_FOUND,
        ),
    }
    | {
        f"grpc-status {value!r}": Case(
            "gRPC Status", HEAD + last_headers(1, [("grpc-status", value)]), outcome=Code.UNKNOWN
        )
        for value in ("", "x", "-1", "17", "1.0", "99999999999999999999", "\xb2")
    }
    | {
        f"HTTP status {status} and no gRPC": refused(
            "mapping",
            headers_frame(1, [(":status", status), ("content-type", "text/plain")]),
            outcome,
        )
        for status, outcome in {
            "000": Code.UNKNOWN,
            "204": Code.UNKNOWN,
            "301": Code.UNKNOWN,
            "400": Code.INTERNAL,
            "401": Code.UNAUTHENTICATED,
            "403": Code.PERMISSION_DENIED,
            "404": Code.UNIMPLEMENTED,
            "429": Code.UNAVAILABLE,
            "431": Code.INTERNAL,
            "500": Code.UNKNOWN,
            "502": Code.UNAVAILABLE,
            "503": Code.UNAVAILABLE,
            "504": Code.UNAVAILABLE,
            "999": Code.UNKNOWN,
        }.items()
    }
)

ALLOWED: dict[str, Case] = {
    name: Case(rule, says, outcome=Code.OK)
    for name, rule, says in (
        ("nothing wrong", "8.1", ANSWER),
        ("unknown frames", "4.1", frame(0xFA, 7, bytes(99)) + ANSWER),
        ("unknown settings", "6.5.2", setting(0xFFFF, 7) + ANSWER),
        ("unknown flags", "4.1", frame(frames.PING, 0, bytes(8), 0xFE) + ANSWER),
        (
            "the reserved bit",
            "4.1",
            frames.pack_header(8, frames.PING, 0, 2**31) + bytes(8) + ANSWER,
        ),
        ("interim responses", "8.1", headers_frame(1, [(":status", "103")]) * 3 + ANSWER),
        ("a padded answer", "6.1", HEAD + padded(0, 9, FINE + bytes(9)) + END),
        (
            "headers in parts",
            "6.10",
            frames.header_frames(1, encode(RESPONSE), 3, end_stream=False)
            + frame(0, 1, FINE)
            + END,
        ),
        (
            "an answer in parts",
            "gRPC",
            HEAD + b"".join(frame(0, 1, FINE[i : i + 1]) for i in range(9)) + END,
        ),
        ("PRIORITY on any stream", "5.1", frame(frames.PRIORITY, 77, bytes(5)) + ANSWER),
        ("RST_STREAM after the end", "5.1", ANSWER + frames.reset_frame(1, 0)),
        ("WINDOW_UPDATE after the end", "5.1", ANSWER + frames.window_frame(1, 9)),
        ("a smaller window for streams that run", "6.9.2", setting(4, 0) + ANSWER),
        ("no more streams at all", "6.5.2", setting(3, 0) + ANSWER),
        ("a smaller table", "4.3.1", setting(1, 0) + ANSWER),
        (
            "a status message that ends in a space",
            "gRPC",
            HEAD + frame(0, 1, FINE) + last_headers(1, [*TRAILERS, ("grpc-message", "fine ")]),
        ),
    )
}

CASES: Final = SIZES | STREAMS | BLOCKS | FIELDS | WINDOWS | FLOODS | ENDS | GRPC | ALLOWED
assert len(CASES) == sum(
    map(len, (SIZES, STREAMS, BLOCKS, FIELDS, WINDOWS, FLOODS, ENDS, GRPC, ALLOWED))
)

BEGINNINGS: Final[dict[str, tuple[str, bytes, ErrorCode]]] = {
    "HTTP/1": ("3.4", b"HTTP/1.1 400 Bad Request\r\n\r\n", ErrorCode.PROTOCOL_ERROR),
    "our own preface": ("3.4", frames.PREFACE + EMPTY_SETTINGS, ErrorCode.PROTOCOL_ERROR),
    "PING first": ("3.4", frames.ping_frame(bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "an acknowledgement first": ("3.4", frames.SETTINGS_ACK, ErrorCode.PROTOCOL_ERROR),
    "GOAWAY first": ("3.4", frames.goaway_frame(0, 0), ErrorCode.PROTOCOL_ERROR),
    "an unknown frame first": ("3.4", frame(0xFA, 0), ErrorCode.PROTOCOL_ERROR),
    "SETTINGS on a stream first": ("6.5", frame(frames.SETTINGS, 1), ErrorCode.PROTOCOL_ERROR),
    "SETTINGS of 7 bytes first": (
        "6.5",
        frame(frames.SETTINGS, 0, bytes(7)),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "ENABLE_PUSH first": ("6.5.2", setting(2, 1), ErrorCode.PROTOCOL_ERROR),
}
"""What may stand in place of the server's connection preface: rule, bytes, the code of our GOAWAY."""
