# SPDX-License-Identifier: Apache-2.0
"""Values of socket options that the standard library does not spell. Pure. Source: socket(7)."""

from __future__ import annotations

import struct


def lingering(seconds: int) -> bytes:
    """The value of SO_LINGER: closing waits so long until the other side has heard of it."""
    return struct.pack("ii", 1, seconds)
