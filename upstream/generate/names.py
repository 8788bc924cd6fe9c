# SPDX-License-Identifier: Apache-2.0
"""Istio's names of resources, byte for byte. Pure. Source: spec/upstream.md 5."""

from __future__ import annotations

from typing import Final

BLACK_HOLE: Final = "BlackHoleCluster"
PASSTHROUGH: Final = "PassthroughCluster"
INBOUND_PASSTHROUGH: Final = "InboundPassthroughCluster"
VIRTUAL_OUTBOUND: Final = "virtualOutbound"
VIRTUAL_INBOUND: Final = "virtualInbound"
OUTBOUND_PORT: Final = 15001
INBOUND_PORT: Final = 15006
UNIX: Final = "unix://"


def outbound_cluster(port: int, subset: str, host: str) -> str:
    """A service port, or a subset of it."""
    return f"outbound|{port}|{subset}|{host}"


def split_outbound(name: str) -> tuple[int, str, str] | None:
    """Port, subset and host of an outbound cluster's name; None for any other name."""
    parts = name.split("|")
    if len(parts) != 4 or parts[0] != "outbound" or not parts[1].isdigit():
        return None
    return int(parts[1]), parts[2], parts[3]


def inbound_cluster(port: int) -> str:
    """A port of the workload itself."""
    return f"inbound|{port}||"


def server_name(port: int, subset: str, host: str) -> str:
    """The SNI of mutual TLS: names the cluster, so that a passing gateway can route by it."""
    return f"outbound_.{port}_.{subset}_.{host}"


def listener(bind: str, port: int) -> str:
    """By address and port, or the path of a unix socket."""
    return bind if bind.startswith(UNIX) else f"{bind}_{port}"


def stat(name: str) -> str:
    """Envoy's tag rules cut a name at the semicolon."""
    return f"{name};"
