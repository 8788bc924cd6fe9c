# SPDX-License-Identifier: Apache-2.0
"""What the kernel knows of the sockets of this process: found by who is at the other end."""

from __future__ import annotations

import contextlib
import os
import socket
import struct


def lingering_to(port: int, *, source: str) -> list[tuple[int, int]]:
    """SO_LINGER (on, seconds) of each open connection of ours from that address to that port."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), _duplicate(int(name)) as sock:
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            if sock.getpeername()[1] == port and sock.getsockname()[0] == source:
                value = sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
                found.append(struct.unpack("ii", value))
    return [(on, seconds) for on, seconds in found]


def _duplicate(descriptor: int) -> socket.socket:
    """Raises OSError where it is no socket that is connected."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
