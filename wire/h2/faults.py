# SPDX-License-Identifier: Apache-2.0
"""The two ways in which a peer can be wrong (RFC 9113 section 5.4). Pure.

Raised inside ``wire.h2`` only; they leave it as ``ConnectionFailed`` and ``StreamReset`` events.
"""

from __future__ import annotations

from wire.h2.frames import ErrorCode


class ConnectionFault(Exception):
    """The peer broke the connection's rules: GOAWAY and close (5.4.1)."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class StreamFault(Exception):
    """The peer broke a stream's rules: RST_STREAM, the rest goes on (5.4.2)."""

    def __init__(self, stream: int, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.stream = stream
        self.code = code
        self.why = why
