# SPDX-License-Identifier: Apache-2.0
"""The kernel reads back what was meant."""

from __future__ import annotations

import socket
import struct

from mesh.sockets import lingering


def test_the_kernel_understands_it() -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering(7))
        found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert struct.unpack("ii", found) == (1, 7)
