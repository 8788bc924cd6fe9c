# SPDX-License-Identifier: Apache-2.0
"""Addresses as text: ``unix:/path``, ``host:port``, ``[v6]:port``. Pure."""

from __future__ import annotations

from typing import NamedTuple

from mesh.errors import BadSetting


class Target(NamedTuple):
    """Where to connect: a unix path, or a host and a port."""

    path: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The ``:authority`` of a call; gRPC uses ``localhost`` on unix sockets."""
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_target(text: str) -> Target:
    """Raises ``BadSetting`` for what is neither a unix path nor host and port."""
    for scheme in ("unix://", "unix:"):
        if text.startswith(scheme):
            return Target(text.removeprefix(scheme), "", 0)
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if (
        not colon
        or not host
        or not port.isascii()
        or not port.isdigit()
        or not 0 < int(port) < 65536
    ):
        raise BadSetting("address", text, "not host:port, [v6]:port or unix:/path")
    return Target("", host, int(port))
