# SPDX-License-Identifier: Apache-2.0
"""What the admin endpoint needs to know: one frozen branch of the agent's settings. Pure. Source: DESIGN 4.10."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import BadSetting

SETTING = "PILOT_ADMIN_ADDR"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminEndpointOptions:
    """The whole branch."""

    socket: str = ""
    """``<configPath>/ADMIN``, mode 0600."""
    host: str = ""
    """PILOT_ADMIN_ADDR, loopback only; empty: no TCP."""
    port: int = 0
    token_file: str = ""
    """``<state dir>/admin.token``: written by us, 0600, for TCP and for what changes something."""


def tcp_address(text: str) -> tuple[str, int]:
    """Host and port of PILOT_ADMIN_ADDR; empty and 0 where it is empty. Raises BadSetting."""
    if not text:
        return "", 0
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if host not in _LOOPBACK:
        hint = "use 127.0.0.1:PORT; reach it from elsewhere with kubectl port-forward"
        raise BadSetting(SETTING, text, "not a loopback address", hint=hint)
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise BadSetting(SETTING, text, "not host:port")
    return host, int(port)
