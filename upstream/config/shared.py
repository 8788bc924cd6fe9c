# SPDX-License-Identifier: Apache-2.0
"""Shapes that several kinds use. Pure. Source: istio.io/api."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class StringMatch:
    """One of three ways to compare a string; none of them set means only that it is present."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None

    @property
    def catches_all(self) -> bool:
        """Whether every value matches."""
        return self.prefix == "/" or self.regex in ("*", ".*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that a listener has."""

    number: int = 0
    protocol: str = ""
    name: str = ""
    target_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSelector:
    """A port of a destination, by number."""

    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkingSelector:
    """Workloads by their labels, as the networking kinds write it."""

    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuritySelector:
    """Workloads by their labels, as the security kinds write it."""

    match_labels: Mapping[str, str] = field(default_factory=dict)


class Protocol(StrEnum):
    """Application protocols as Istio knows them; UNSUPPORTED is detected from the traffic."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-Web"
    HTTP_PROXY = "HTTP_PROXY"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    MONGO = "Mongo"
    REDIS = "Redis"
    MYSQL = "MySQL"
    UDP = "UDP"
    HBONE = "HBONE"
    UNSUPPORTED = "UnsupportedProtocol"

    @classmethod
    def parse(cls, text: str) -> Protocol:
        """Any case; an unknown or empty word is UNSUPPORTED."""
        return _PROTOCOLS.get(text.lower(), cls.UNSUPPORTED)

    @property
    def http(self) -> bool:
        """Whether routes apply to it."""
        return self in _HTTP

    @property
    def http2(self) -> bool:
        """Whether upstreams speak HTTP/2 without asking."""
        return self in (Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB)

    @property
    def tls(self) -> bool:
        """Whether the application itself speaks TLS."""
        return self in (Protocol.HTTPS, Protocol.TLS)

    @property
    def auto(self) -> bool:
        """Whether it is told from the first bytes."""
        return self is Protocol.UNSUPPORTED


_PROTOCOLS = {protocol.lower(): protocol for protocol in Protocol if protocol != "HBONE"}
_PROTOCOLS |= {"grpc-web": Protocol.GRPC_WEB, "http_proxy": Protocol.HTTP_PROXY}
_HTTP = frozenset(
    {Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB, Protocol.HTTP_PROXY}
)


class TlsMode(StrEnum):
    """How a connection is secured, at either side."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
