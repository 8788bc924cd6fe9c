# SPDX-License-Identifier: Apache-2.0
"""How much a peer may make us hold. Pure. Every buffer of the layer is bounded by a number on this page."""

from __future__ import annotations

from dataclasses import dataclass

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

    @property
    def max_header_block(self) -> int:
        """Bytes of one encoded header block over all its frames; Huffman coding never triples a size."""
        return 3 * self.max_header_list


DEFAULT_LIMITS = Limits()
