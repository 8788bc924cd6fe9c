# SPDX-License-Identifier: Apache-2.0
"""What no peer should send: one seed for each rule that can be broken, in the order of RFC 9113, and of protobuf's wire format.

Pure: bytes from constants. The rules are those that h2spec asks for, and those that bound a peer.
"""

from __future__ import annotations

from collections.abc import Iterator

import hpack

from tests.wire.fuzz.machine import CONTROL
from tests.wire.fuzz.written import PREFACE
from wire import types
from wire.h2 import frames
from wire.h2.headers import Headers
from wire.proto.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse, Resource

REQUEST: Headers = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/s/M"),
    (":authority", "a"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
RESPONSE: Headers = [(":status", "200"), ("content-type", "application/grpc")]
END, WHOLE, PADDED = frames.END_STREAM, frames.END_HEADERS, frames.PADDED


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return frames.pack_header(len(payload), kind, flags, stream) + payload


def block(headers: Headers) -> bytes:
    """Literal fields only: each block decodes alone."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    encoder.table_size_changes = []
    return bytes(encoder.encode(headers))


def head(stream: int, headers: Headers = REQUEST, flags: int = WHOLE) -> bytes:
    return frame(frames.HEADERS, flags, stream, block(headers))


def four(number: int) -> bytes:
    return number.to_bytes(4, "big")


def setting(key: int, value: int) -> bytes:
    return frame(frames.SETTINGS, 0, 0, key.to_bytes(2, "big") + four(value))


def without(name: str) -> Headers:
    return [field for field in REQUEST if field[0] != name]


HELLO = frame(frames.SETTINGS, 0, 0)
ACK = frames.SETTINGS_ACK
PING = frames.ping_frame(b"8 octets")
INDEXED_BOMB = b"\x40\x01a\x7f\xd9\1" + b"b" * 344 + b"\xbe" * 200
BODY = b"\0\0\0\0\3abc"


def to_any_side(first: Headers) -> dict[str, bytes]:
    """Faults of either side, on streams that begin with ``first``."""
    opened = HELLO + ACK + head(1, first)
    return {
        "3.4-no-settings": PING,
        "3.4-settings-ack-first": ACK,
        "4.1-unknown-frames": HELLO + frame(0x16, 0xFF, 0, b"ignored") * 3 + PING,
        "4.2-too-long": HELLO + frames.pack_header(2**24 - 1, frames.DATA, 0, 1),
        "4.3-interrupted": HELLO + head(1, first, 0) + PING,
        "4.3-other-stream": HELLO + head(1, first, 0) + frame(frames.CONTINUATION, WHOLE, 3, b""),
        "4.3-bad-index": HELLO + frame(frames.HEADERS, WHOLE, 1, b"\xff\xff\xff\x7f"),
        "4.3-huge-integer": HELLO
        + frame(frames.HEADERS, WHOLE, 1, b"\x7f" + b"\xff" * 300 + b"\1"),
        "4.3-bad-huffman": HELLO + frame(frames.HEADERS, WHOLE, 1, b"\0\x81\0\x84\xff\xff\xff\xff"),
        "4.3-table-too-big": HELLO + frame(frames.HEADERS, WHOLE, 1, b"\x3f\xe1\xff\3"),
        "4.3-table-late": HELLO + frame(frames.HEADERS, WHOLE, 1, b"\x82\x20"),
        "5.1-idle-data": HELLO + frame(frames.DATA, 0, 5, BODY),
        "5.1-idle-reset": HELLO + frame(frames.RST_STREAM, 0, 5, four(8)),
        "5.1-idle-window": HELLO + frame(frames.WINDOW_UPDATE, 0, 5, four(1)),
        "5.1-after-end": opened + frame(frames.DATA, END, 1, BODY) + frame(frames.DATA, 0, 1, BODY),
        "5.1-headers-after-end": opened + frame(frames.DATA, END, 1, BODY) + head(1, [("a", "b")]),
        "5.1-after-reset": opened
        + frame(frames.RST_STREAM, 0, 1, four(8))
        + frame(frames.DATA, 0, 1, BODY),
        "5.1.1-lower": HELLO + head(5, first) + head(3, first),
        "5.1.1-even": HELLO + head(2, first),
        "5.1.2-too-many": HELLO + b"".join(head(number, first) for number in range(1, 13, 2)),
        "5.3.1-itself": HELLO + frame(frames.PRIORITY, 0, 1, four(1) + b"\x0f"),
        "6.1-stream-0": HELLO + frame(frames.DATA, 0, 0, BODY),
        "6.1-padding-too-long": opened + frame(frames.DATA, PADDED, 1, b"\x05abc"),
        "6.1-padding-alone": opened + frame(frames.DATA, PADDED | END, 1, b"\x03abc"),
        "6.1-no-pad-length": opened + frame(frames.DATA, PADDED, 1),
        "6.1-padded": opened + frame(frames.DATA, PADDED | END, 1, b"\x02" + BODY + b"\0\0"),
        "6.2-stream-0": HELLO + head(0, first),
        "6.2-padding-too-long": HELLO
        + frame(frames.HEADERS, WHOLE | PADDED, 1, b"\xff" + block(REQUEST)),
        "6.2-short-priority": HELLO + frame(frames.HEADERS, WHOLE | 0x20, 1, b"\0\0"),
        "6.3-size": HELLO + frame(frames.PRIORITY, 0, 1, b"\0"),
        "6.4-size": opened + frame(frames.RST_STREAM, 0, 1, b"\0"),
        "6.5-size": HELLO + frame(frames.SETTINGS, 0, 0, b"\0" * 5),
        "6.5-ack-with-payload": HELLO + frame(frames.SETTINGS, 1, 0, b"\0" * 6),
        "6.5-stream": HELLO + frame(frames.SETTINGS, 0, 1),
        "6.5.2-push": setting(2, 2),
        "6.5.2-window": setting(4, 2**31),
        "6.5.2-frame": setting(5, 1),
        "6.5.2-tables": HELLO
        + b"".join(setting(1, size) for size in (0, 4096, 100, 2**32 - 1))
        + head(1, first),
        "6.5.2-larger-frames": opened
        + frame(frames.WINDOW_UPDATE, 0, 1, four(2**20))
        + frame(frames.WINDOW_UPDATE, 0, 0, four(2**20))
        + setting(5, 30_000)
        + head(3, first),
        "6.9.2-opened-by-settings": setting(4, 100)
        + head(1, first)
        + frame(frames.WINDOW_UPDATE, 0, 0, four(2**20))
        + frame(frames.SETTINGS, 0, 0, b"\0\5" + four(30_000) + b"\0\4" + four(2**20)),
        "6.6-push-promise": opened + frame(frames.PUSH_PROMISE, WHOLE, 1, four(2) + block(REQUEST)),
        "6.7-size": HELLO + frame(frames.PING, 0, 0, b"short"),
        "6.7-stream": HELLO + frame(frames.PING, 0, 1, b"8 octets"),
        "6.8-size": HELLO + frame(frames.GOAWAY, 0, 0, b"\0"),
        "6.8-while-open": opened + frame(frames.GOAWAY, 0, 0, four(0) + four(0) + b"words"),
        "6.9-zero": HELLO + frame(frames.WINDOW_UPDATE, 0, 0, four(0)),
        "6.9-zero-on-stream": opened + frame(frames.WINDOW_UPDATE, 0, 1, four(0)),
        "6.9.1-overflow": HELLO + frame(frames.WINDOW_UPDATE, 0, 0, four(2**31 - 1)) * 2,
        "6.9.1-overflow-on-stream": opened + frame(frames.WINDOW_UPDATE, 0, 1, four(2**31 - 1)) * 2,
        "6.9.1-more-than-window": opened + frame(frames.DATA, 0, 1, bytes(1500)) * 3,
        "6.9.1-small-window": setting(4, 100)
        + head(1, first)
        + frame(frames.WINDOW_UPDATE, 0, 1, four(50)),
        "6.9.2-negative": setting(4, 10) + head(1, first) + setting(4, 0) + setting(4, 2**31 - 1),
        "6.10-nothing-to-continue": HELLO + frame(frames.CONTINUATION, WHOLE, 1, b""),
        "8.1-trailers-without-end": opened + head(1, [("a", "b")]),
        "8.1-trailers": opened
        + frame(frames.DATA, 0, 1, BODY)
        + head(1, [("a", "b")], WHOLE | END),
        "8.1.1-length": HELLO
        + head(1, [*first, ("content-length", "9")])
        + frame(frames.DATA, END, 1, BODY),
        "10.5-empty-continuation": HELLO
        + head(1, first, 0)
        + frame(frames.CONTINUATION, 0, 1, b"") * 99,
        "10.5-ping-flood": HELLO + PING * 99,
        "10.5-settings-flood": HELLO * 99,
        "10.5-rapid-reset": HELLO
        + b"".join(
            head(number, first) + frame(frames.RST_STREAM, 0, number, four(8))
            for number in range(1, 41, 2)
        ),
        "10.5.1-list": HELLO + head(1, [*first, ("a", "b" * 1500)]),
        "10.5.1-bomb": HELLO + frame(frames.HEADERS, WHOLE, 1, INDEXED_BOMB),
        "10.5.1-block": HELLO
        + head(1, first, 0)
        + frame(frames.CONTINUATION, 0, 1, bytes(1500)) * 2,
    }


REQUESTS: dict[str, Headers] = {
    "8.2.1-upper": [*REQUEST, ("X-Upper", "1")],
    "8.2.1-line-break": [*REQUEST, ("x", "a\r\nb: c")],
    "8.2.2-connection": [*REQUEST, ("connection", "close")],
    "8.2.2-te": [*REQUEST, ("te", "gzip")],
    "8.3-late": [*REQUEST, (":path", "/again")],
    "8.3-unknown": [(":what", "x"), *REQUEST],
    "8.3.1-no-path": without(":path"),
    "8.3.1-no-method": without(":method"),
    "8.3.1-status": [(":status", "200"), *REQUEST],
}
BLOCKS: dict[str, bytes] = {
    "10.5.1-bomb": bytes([2 << 6, len(INDEXED_BOMB) + 3 >> 2]) + INDEXED_BOMB,
    "6.5.2-tables": bytes([1 | 9 << 1, 0, 1 | 2 << 1, 3])
    + b"\x82\x86\x84"
    + bytes([1 | 3 << 1, 0, 1 | 3 << 1, 0, 0, 5])
    + b"\x40\x01a\x01b",
    "6.5.2-large-table": b"".join(
        bytes([1 | 30 << 1, 206]) + b"\x40\x01" + bytes([0x61 + n]) + b"\x7f\x4a" + b"v" * 201
        for n in range(24)
    ),
}
RESPONSES: dict[str, bytes] = {
    "8.1-interim": HELLO + head(1, [(":status", "100")]) * 3 + head(1, RESPONSE),
    "8.1-data-first": HELLO + frame(frames.DATA, 0, 1, BODY),
    "8.1-early-end": HELLO + head(1, RESPONSE, WHOLE | END),
    "8.3.2-no-status": HELLO + head(1, [("a", "b")]),
    "8.3.2-words": HELLO + head(1, [(":status", "abc")]),
    "8.6-101": HELLO + head(1, [(":status", "101")]),
    "5.1.1-pushed": HELLO + head(2, RESPONSE),
}
ANY = b"\x0a\x01t\x12\x03\x0a\x01n"
ENVELOPES: dict[str, bytes] = {
    "sotw": DiscoveryResponse(
        version_info="1", nonce="n1", type_url=types.CLUSTER
    ).SerializeToString(),
    "type-first": b"\x22\x01t\x2a\x02n1\x12" + bytes([len(ANY)]) + ANY,
    "value-before-type": b"\x12\x08\x12\x03\x0a\x01n\x0a\x01t",
    "twice": b"\x0a\x01a\x0a\x01b\x22\x01t\x22\x01u\x12\x08" + ANY,
    "groups": b"\x0b\x13\x0a\x01a\x14\x0c\x12\x08" + ANY,
    "group-without-end": b"\x0b\x13",
    "endless-varint": b"\x0a" + b"\xff" * 11,
    "too-long": b"\x0a\x7fshort",
    "fixed": b"\x39\1\2\3\4\5\6\7\x08\x3d\1\2\3\4\x22\x01t",
    "not-utf-8": b"\x22\x02\xff\xfe",
    "name-is-a-number": b"\x12\x08\x0a\x01t\x12\x03\x08\x96\1",
}
DELTAS: dict[str, bytes] = {
    "delta": DeltaDiscoveryResponse(
        nonce="n1", resources=[Resource(name="n", version="1")], removed_resources=["a", "b"]
    ).SerializeToString(),
    "in-parts": b"\x12\x0c\x12\x03\x0a\x01t\x12\x05\x12\x03\x0a\x01n",
    "groups": b"\x12\x0a\x1b\x08\x01\x1c\x12\x03\x0a\x01t",
}
MESSAGES: dict[str, bytes] = {
    "compressed": b"\x20\1\1\0\0\0\0",
    "oversized": b"\x01\1\0\0\0\0\x09" + bytes(9),
    "largest": b"\x01\1\0\0\0\0\x08" + bytes(8),
    "empty": b"\x20\2" + bytes(5) * 4,
    "cut": b"\x20\4" + BODY + BODY[:7],
    "prefix-cut": b"\x20\4" + BODY + BODY[:3],
    "text": b"\x20\4 100 %\xc3\xbc ",
    "timeout": b"\x20\x0099999999H",
}


def all_of_them() -> Iterator[tuple[str, str, bytes]]:
    """Target, name and input."""
    control = bytes(CONTROL)
    yield "server", "3.4-preface", control + b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    for name, body in to_any_side(REQUEST).items():
        yield "server", name, control + PREFACE + body
    for name, body in to_any_side(RESPONSE).items():
        yield "client", name, control + body
    for name, headers in REQUESTS.items():
        yield "server", name, control + PREFACE + HELLO + head(1, headers)
        yield "blocks", name, bytes([0, len(block(headers))]) + block(headers)
    for name, body in BLOCKS.items():
        yield "blocks", name, body
    for name, body in RESPONSES.items():
        yield "client", name, control + body
    for name, body in ENVELOPES.items():
        yield "envelopes", name, b"\x20" + body
    for name, body in DELTAS.items():
        yield "envelopes", f"delta-{name}", b"\x21" + body
    for name, body in MESSAGES.items():
        yield "messages", name, body
