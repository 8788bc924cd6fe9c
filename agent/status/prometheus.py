# SPDX-License-Identifier: Apache-2.0
"""What a merged scrape consists of: targets, what to ask of each, what to answer. Pure.

Peer: status/server.go handleStats, negotiateMetricsFormat; spec/agent.md 9.4, Appendix E.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mesh import ports
from mesh.errors import BadSetting

SETTING = "ISTIO_PROMETHEUS_ANNOTATIONS"
TEXT = "text/plain;version=0.0.4"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text"
ENVOY_PATH = "/stats/prometheus"
_ENVOY_TYPES = ("text/plain", "text/*")
_APP_TYPES = (*_ENVOY_TYPES, OPENMETRICS)


class ScrapeTarget(NamedTuple):
    """One place where the application tells its metrics."""

    port: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeOptions:
    """Where metrics come from besides ourselves."""

    envoy_port: int = ports.ENVOY_PROMETHEUS
    """0: Envoy's are not merged."""
    targets: tuple[ScrapeTarget, ...] = field(default=())
    """The application's; none for anything but a sidecar with the annotation."""


def is_reserved(port: str) -> bool:
    """Whether the text is the number of a port that is the mesh's own."""
    return port in {str(each) for each in ports.RESERVED_FOR_SCRAPE}


def targets_of(text: str, *, status_port: int) -> tuple[ScrapeTarget, ...]:
    """Targets in the annotation's JSON; none where scraping is off. Raises BadSetting."""
    if not text:
        return ()
    try:
        given = json.loads(text)
    except ValueError as error:
        raise BadSetting(SETTING, text, f"cannot be decoded: {error}") from None
    if not isinstance(given, dict):
        raise BadSetting(SETTING, text, "cannot be decoded: not a JSON object")
    if given.get("scrape") == "false":
        return ()
    listed = given.get("targets") or []
    if not listed:
        return (_single(given, text, status_port),)
    targets = tuple(_checked(each, text, status_port) for each in listed)
    if len(targets) == 1:
        # peer: with one target the top-level port and path are what is scraped
        one = targets[0]
        return (ScrapeTarget(str(given.get("port") or one.port), given.get("path") or one.path),)
    return targets


def _single(given: Mapping[str, Any], text: str, status_port: int) -> ScrapeTarget:
    port = str(given.get("port") or "80")
    if port == str(status_port):
        why = f"invalid prometheus scrape configuration: port {port} is the agent's own"
        raise BadSetting(SETTING, text, why)
    return ScrapeTarget(port, given.get("path") or "/metrics")


def _checked(given: Any, text: str, status_port: int) -> ScrapeTarget:
    if not isinstance(given, dict):
        raise BadSetting(SETTING, text, "a target is not a JSON object")
    port = str(given.get("port", ""))
    number = int(port) if port.isascii() and port.isdigit() else 0
    if not 1 <= number <= 65535:
        raise BadSetting(SETTING, text, f"target port {port!r} is not a port number")
    if number == status_port or number in ports.RESERVED_FOR_SCRAPE:
        raise BadSetting(SETTING, text, f"target port {port} is reserved by the mesh")
    return ScrapeTarget(port, given.get("path") or "/metrics")


def accept_for_envoy(accept: str) -> str:
    """The Accept header for Envoy: plain text only."""
    return _filtered(accept, _ENVOY_TYPES)


def accept_for_app(accept: str) -> str:
    """The Accept header for the application: plain text and OpenMetrics, never protobuf."""
    return _filtered(accept, _APP_TYPES)


def _filtered(accept: str, allowed: tuple[str, ...]) -> str:
    kept: list[str] = []
    for element in accept.split(","):
        media, _, rest = element.strip().partition(";")
        kept += _kept(media.strip().lower(), rest, allowed)
    if not kept:
        return TEXT
    ranks = range(len(kept) + 1, 1, -1)
    return ",".join(f"{each};q=0.{rank}" for each, rank in zip(kept, ranks, strict=True))


def _kept(media: str, rest: str, allowed: tuple[str, ...]) -> list[str]:
    if media in ("*/*", "*"):
        return [TEXT]
    if media == "application/*":
        return [f"{OPENMETRICS};version=0.0.1"] if OPENMETRICS in allowed else []
    if media not in allowed:
        return []
    parameters = [p.strip() for p in rest.split(";") if p.strip()]
    return [";".join([media, *(p for p in parameters if not p.lower().startswith("q="))])]


def merged_type(app_content_type: str) -> str:
    """Content type of the answer, by that of the application's only target."""
    media, _, rest = app_content_type.partition(";")
    if media.strip().lower() != OPENMETRICS:
        return CONTENT_TYPE
    version = "1.0.0" if "version=1.0.0" in rest.replace(" ", "") else "0.0.1"
    return f"{OPENMETRICS}; version={version}; charset=utf-8"


def scrape_timeout(header: str, default: float) -> float:
    """Seconds from X-Prometheus-Scrape-Timeout-Seconds. Raises ValueError for a text that is no number."""
    if not header:
        return default
    seconds = float(header)
    return seconds if seconds > 0 else default
