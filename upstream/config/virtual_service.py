# SPDX-License-Identifier: Apache-2.0
"""VirtualService. Pure. Source: istio.io/api networking/v1alpha3/virtual_service.proto."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from upstream.config.shared import PortSelector, StringMatch

MESH = "mesh"
"""The reserved gateway: all sidecars."""
GRPC_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""In the order of their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A service, a subset of it, a port of it."""

    host: str = ""
    subset: str = ""
    port: PortSelector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderOperations:
    """Changes to the headers of one direction."""

    set: Mapping[str, str] = field(default_factory=dict)
    add: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """Changes to request and response headers."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDestination:
    """Where a share of the requests goes."""

    destination: Destination = Destination()
    weight: int = 0
    headers: Headers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpMatch:
    """All conditions must hold."""

    UNSERVED: ClassVar[frozenset[str]] = frozenset({"statPrefix"})

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: Mapping[str, StringMatch] = field(default_factory=dict)
    without_headers: Mapping[str, StringMatch] = field(default_factory=dict)
    query_params: Mapping[str, StringMatch] = field(default_factory=dict)
    ignore_uri_case: bool = False
    port: int = 0
    source_labels: Mapping[str, str] = field(default_factory=dict)
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegexRewrite:
    """A substitution in the path."""

    match: str = ""
    rewrite: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What the upstream sees instead."""

    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None


class RedirectPort(StrEnum):
    """Where the port of a redirect comes from."""

    FROM_PROTOCOL_DEFAULT = "FROM_PROTOCOL_DEFAULT"
    FROM_REQUEST_PORT = "FROM_REQUEST_PORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Send the client elsewhere."""

    uri: str = ""
    authority: str = ""
    port: int = 0
    derive_port: RedirectPort | None = None
    scheme: str = ""
    redirect_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A fixed answer's body."""

    string: str = ""
    bytes: str = ""
    """In base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectResponse:
    """Answer without an upstream."""

    status: int = 0
    body: Body | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How failed requests are tried again."""

    attempts: int = 0
    per_try_timeout: timedelta | None = None
    retry_on: str = ""
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Percent:
    """0 to 100, to four places."""

    value: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Hold a share of the requests back."""

    fixed_delay: timedelta | None = None
    percentage: Percent | None = None
    percent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """Fail a share of the requests."""

    UNSERVED: ClassVar[frozenset[str]] = frozenset({"http2Error"})

    http_status: int = 0
    grpc_status: str = ""
    percentage: Percent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Injected trouble."""

    delay: Delay | None = None
    abort: Abort | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A destination that gets a copy."""

    destination: Destination = Destination()
    percentage: Percent | None = None


class UnmatchedPreflights(StrEnum):
    """Preflights of other origins."""

    UNSPECIFIED = "UNSPECIFIED"
    FORWARD = "FORWARD"
    IGNORE = "IGNORE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """Cross-origin rules."""

    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: timedelta | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: UnmatchedPreflights = UnmatchedPreflights.UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    """Another VirtualService that continues here."""

    name: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRoute:
    """Conditions, any of which leads to the action."""

    name: str = ""
    match: tuple[HttpMatch, ...] = ()
    route: tuple[HttpDestination, ...] = ()
    redirect: Redirect | None = None
    direct_response: DirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: Rewrite | None = None
    timeout: timedelta | None = None
    retries: Retries | None = None
    fault: Fault | None = None
    mirror: Destination | None = None
    mirror_percentage: Percent | None = None
    mirror_percent: int | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors_policy: Cors | None = None
    headers: Headers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class L4Destination:
    """Where a share of the connections goes."""

    destination: Destination = Destination()
    weight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class L4Match:
    """Conditions on a TCP connection."""

    destination_subnets: tuple[str, ...] = ()
    port: int = 0
    source_labels: Mapping[str, str] = field(default_factory=dict)
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""
    source_subnet: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpRoute:
    """Routing of plain connections."""

    match: tuple[L4Match, ...] = ()
    route: tuple[L4Destination, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsMatch:
    """Conditions on a TLS connection that is passed through."""

    sni_hosts: tuple[str, ...] = ()
    destination_subnets: tuple[str, ...] = ()
    port: int = 0
    source_labels: Mapping[str, str] = field(default_factory=dict)
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRoute:
    """Routing of TLS connections by server name."""

    match: tuple[TlsMatch, ...] = ()
    route: tuple[L4Destination, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualService:
    """Routing rules of hosts."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HttpRoute, ...] = ()
    tls: tuple[TlsRoute, ...] = ()
    tcp: tuple[TcpRoute, ...] = ()
    export_to: tuple[str, ...] = ()
