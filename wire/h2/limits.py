# SPDX-License-Identifier: Apache-2.0
"""How much a peer may make us hold. Pure. Every buffer of the layer is bounded by a number on this page."""

from __future__ import annotations

from dataclasses import dataclass

from wire.h2.frames import DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, MAX_FRAME_SIZE, MAX_WINDOW

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one server or of one client connection. Sizes are in bytes."""

    max_message: int = 4 * MIB
    """Largest message that ``Call.receive`` and ``Sink.on_data`` take (gRPC's default); 0 = 2^31 - 1."""
    max_streams: int = 100
    """Streams that the peer may have open at once on one connection."""
    max_header_list: int = 16 * 1024
    """Decoded size of one header list, as RFC 9113 section 6.5.2 counts it."""
    stream_window: int = 4 * MIB
    """What a peer may send on one stream before we have taken it off the stream."""
    connection_window: int = 16 * MIB
    """The same for a connection; given back as bytes arrive, so that one slow stream stops no other."""
    max_frame: int = MIB
    """Largest DATA frame we announce. Payloads pass in pieces: this costs no memory."""
    max_backlog: int = MIB
    """Unsent bytes of one stream above which its writer has to wait."""
    max_connections: int = 10_000
    """Connections of a server at once; further ones are closed at accept."""
    handshake_timeout: float = 10.0
    """Seconds for the TLS handshake, the preface and the first SETTINGS of a peer."""

    def __post_init__(self) -> None:
        if not DEFAULT_FRAME_SIZE <= self.max_frame <= MAX_FRAME_SIZE:
            raise ValueError(f"BUG: max_frame={self.max_frame} (RFC 9113 section 6.5.2)")
        if not DEFAULT_WINDOW <= self.connection_window <= MAX_WINDOW:
            raise ValueError(f"BUG: connection_window={self.connection_window} (section 6.9.2)")
        if not 0 < self.stream_window <= MAX_WINDOW:
            raise ValueError(f"BUG: stream_window={self.stream_window} (section 6.9.2)")

    @property
    def max_unread(self) -> int:
        """Bytes of frames that are not DATA and that a peer may leave unread: all its streams' and as many again."""
        return MIB + 2 * self.max_streams * self.max_header_list

    @property
    def max_held(self) -> int:
        """Bytes of messages that one connection's calls may have waiting for us, all together."""
        return 4 * self.connection_window + (self.max_message or MAX_WINDOW)

    @property
    def max_header_block(self) -> int:
        """Bytes of one encoded header block over all its frames; Huffman coding never triples a size."""
        return 3 * self.max_header_list


DEFAULT_LIMITS = Limits()
