# SPDX-License-Identifier: Apache-2.0
"""Addresses as Envoy wants them. Pure."""

from __future__ import annotations

from envoy.config.core.v3 import address_pb2

from upstream.generate.names import UNIX


def address(host: str, port: int) -> address_pb2.Address:
    """A socket address, or a pipe for ``unix://`` paths (``unix://@name`` is abstract)."""
    if host.startswith(UNIX):
        return address_pb2.Address(pipe=address_pb2.Pipe(path=host.removeprefix(UNIX)))
    return address_pb2.Address(
        socket_address=address_pb2.SocketAddress(address=host, port_value=port)
    )
