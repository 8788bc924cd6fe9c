# SPDX-License-Identifier: Apache-2.0
"""Field blocks: HEADERS and CONTINUATION put together and decoded, header lists encoded. Pure.

RFC 9113 section 4.3: "A decoding error in a field block MUST be treated as a connection error ... of
type COMPRESSION_ERROR", since both tables are lost with it.
HPACK (RFC 7541) itself is the ``hpack`` library's work; what bounds it is here:

* the encoded block by ``Limits.max_header_block``, judged from frame headers (``walk``);
* the decoded list by ``Limits.max_header_list``, while it is decoded;
* the peer's table by the 4,096 bytes that we never offer to exceed, ours by the same number;
* changes of our table's size by two for each block (RFC 7541 section 4.2), however many SETTINGS came.
"""

from __future__ import annotations

import logging
from typing import Final

import hpack

from wire.h2 import frames
from wire.h2.faults import ConnectionFault
from wire.h2.frames import ErrorCode
from wire.h2.headers import Headers

MAX_TABLE: Final = 4096

_NEVER_INDEXED: Final = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})
"""Secrets stay out of the tables (RFC 7541 section 7.1.3)."""

# The library would log each field, tokens too, in a process that has the root logger at DEBUG.
logging.getLogger("hpack").setLevel(logging.WARNING)


class BlockReader:
    """One block at a time: ``begin`` with HEADERS, ``go_on`` with CONTINUATION."""

    __slots__ = ("_decoder", "_parts", "ends", "self_dependent", "stream")

    def __init__(self, max_header_list: int) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=max_header_list)
        self._parts: bytearray | None = None
        self.stream = 0
        """Whose block is, or last was, under way."""
        self.ends = False
        """The block ends the peer's half of the stream."""
        self.self_dependent = False
        """The priority names the stream itself (RFC 7540 section 5.3.1; RFC 9113 dropped priorities)."""

    @property
    def open(self) -> bool:
        """A block is begun: nothing but its CONTINUATION frames may come (4.3)."""
        return self._parts is not None

    @property
    def size(self) -> int:
        """Bytes of the block under way."""
        return len(self._parts) if self._parts is not None else 0

    def begin(self, flags: int, stream: int, payload: bytes) -> Headers | None:
        """A HEADERS frame (6.2). The list, if the frame holds all of it."""
        start, pad = 0, 0
        if flags & frames.PADDED:
            if not payload:
                raise ConnectionFault(
                    ErrorCode.FRAME_SIZE_ERROR, "padded HEADERS without a pad length (6.2)"
                )
            pad, start = payload[0], 1
        self.self_dependent = False
        if flags & frames.PRIORITIZED:
            if len(payload) < start + 5:
                raise ConnectionFault(
                    ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for a priority (6.2)"
                )
            depends_on = frames.unpack_u32(payload[start:]) & frames.STREAM_MASK
            self.self_dependent = depends_on == stream
            start += 5
        if start + pad > len(payload):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame (6.2)")
        self.stream = stream
        self.ends = bool(flags & frames.END_STREAM)
        self._parts = bytearray(payload[start : len(payload) - pad])
        return self._decode() if flags & frames.END_HEADERS else None

    def go_on(self, flags: int, payload: bytes) -> Headers | None:
        """A CONTINUATION frame (6.10). The list, if the block is complete."""
        if self._parts is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS (6.10)")
        self._parts += payload
        return self._decode() if flags & frames.END_HEADERS else None

    def _decode(self) -> Headers:
        block, self._parts = bytes(self._parts or b""), None
        try:
            decoded = self._decoder.decode(block, raw=True)
        except hpack.OversizedHeaderListError as exc:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, "header list too large (10.5.1)"
            ) from exc
        except (hpack.HPACKError, IndexError, ValueError) as exc:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "bad header block (4.3)") from exc
        return [(bytes(n).decode("latin-1"), bytes(v).decode("latin-1")) for n, v in decoded]


class BlockWriter:
    """Our header lists as blocks."""

    __slots__ = ("_encoder",)

    def __init__(self) -> None:
        self._encoder = hpack.Encoder()

    def encode(self, headers: Headers) -> bytes:
        return bytes(
            self._encoder.encode(
                [(_octets(name), _octets(value), name in _NEVER_INDEXED) for name, value in headers]
            )
        )

    def set_table_size(self, value: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE; told in the next block (RFC 7541 section 4.2)."""
        encoder, size = self._encoder, min(value, MAX_TABLE)
        if size == encoder.header_table_size:
            return  # the library would take it for "no change" and forget one that is not told yet
        encoder.header_table_size = size
        smallest = min(encoder.table_size_changes)  # "MUST be signaled", besides the final one
        encoder.table_size_changes = [smallest, size] if smallest < size else [size]


def _octets(text: str) -> bytes:
    """As received fields are read, so that a forwarded value keeps its bytes."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
