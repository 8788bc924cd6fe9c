# SPDX-License-Identifier: Apache-2.0
"""Limits: the defaults hang together."""

from __future__ import annotations

from wire.h2.frames import DEFAULT_FRAME_SIZE, MAX_FRAME_SIZE
from wire.h2.limits import DEFAULT_LIMITS, Limits


def test_defaults_are_legal_settings() -> None:
    assert DEFAULT_FRAME_SIZE <= DEFAULT_LIMITS.max_frame <= MAX_FRAME_SIZE
    assert DEFAULT_LIMITS.stream_window <= DEFAULT_LIMITS.connection_window
    assert DEFAULT_LIMITS.max_message == 4 * 1024 * 1024  # what gRPC takes by default


def test_header_block_follows_the_list() -> None:
    assert Limits(max_header_list=10).max_header_block == 30
