# SPDX-License-Identifier: Apache-2.0
"""What each part of the control plane is told: one frozen branch a part. Pure; parsed in ``settings``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Self

from mesh.log import Level

HOUR = 3600.0
DAY = 24 * HOUR


class Profile(StrEnum):
    """Which Envoy listens: a stock one, or Istio's build with its own filters."""

    STOCK = "stock"
    ISTIO = "istio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen, as Go writes it: ``:15010``, ``127.0.0.1:0``, ``[::1]:15012``."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with the reason."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError("is not host:port")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError("needs brackets around an IPv6 address")
        return cls(host=host, port=int(port))

    @property
    def bind_host(self) -> str:
        """The host for the socket; Go's empty host is every address."""
        return self.host or "0.0.0.0"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """Listeners; None is switched off."""

    grpc: Address | None
    secure_grpc: Address | None
    http: Address | None
    monitoring: Address | None

    @property
    def development(self) -> bool:
        """Whether the development issuer may be believed: only this machine can reach the TLS port."""
        return self.secure_grpc is not None and self.secure_grpc.is_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Where configuration is read, and how often it is looked at when nobody tells."""

    config_dir: str
    mesh_config: str
    networks_config: str = ""
    poll: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class CaOptions:
    """The authority's key and the limits of what it signs."""

    state_dir: str
    plugged_dir: str
    default_ttl: float = DAY
    max_ttl: float = 90 * DAY
    root_ttl: float = 3650 * DAY
    rsa_bits: int = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOptions:
    """The certificate of the TLS port: from files when given, else issued by the authority."""

    names: tuple[str, ...]
    certificate: str = ""
    key: str = ""
    roots: str = ""

    @property
    def from_files(self) -> bool:
        return bool(self.certificate and self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtRule:
    """Whose tokens are believed: the parts of Istio's JWTRule that matter to a control plane."""

    issuer: str
    audiences: tuple[str, ...] = ()
    jwks_uri: str = ""
    jwks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthOptions:
    """Who may open streams on the TLS port and ask for certificates."""

    rule: JwtRule | None = None
    development: bool = False
    audiences: tuple[str, ...] = ("istio-ca",)
    required: bool = True
    check_identity: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """Pace of the push pipeline."""

    debounce_after: float = 0.1
    debounce_max: float = 10.0
    throttle: int = 0
    """Connections pushed to at once; 0: as the peer, by the number of processors."""
    streams_per_second: float = 0.0
    """New streams a second; 0: as the peer, by the number of processors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Form and levels of log lines."""

    as_json: bool = False
    levels: dict[str, Level] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Everything that ``pilot-upstream discovery`` was told."""

    listen: ListenOptions
    sources: SourceOptions
    ca: CaOptions
    serving: ServingOptions
    auth: AuthOptions
    push: PushOptions
    log: LogOptions
    profile: Profile = Profile.STOCK
    cluster_id: str = "Kubernetes"
    notes: tuple[str, ...] = ()
    """What was asked for and is not done: said once at start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """Everything that ``pilot-upstream token`` was told."""

    state_dir: str
    namespace: str
    service_account: str
    audience: str = "istio-ca"
    ttl: float = DAY
