# SPDX-License-Identifier: Apache-2.0
"""What a merged scrape consists of: targets, what to ask of each, what to answer. Pure.

Peer: status/server.go handleStats, negotiateMetricsFormat; spec/agent.md 9.4, Appendix E.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from mesh import ports
from mesh.errors import BadSetting

SETTING = "ISTIO_PROMETHEUS_ANNOTATIONS"
TEXT = "text/plain;version=0.0.4"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text"
DEFAULT_PATH = "/metrics"
ENVOY_PATH = "/stats/prometheus"
_ENVOY_TYPES = ("text/plain", "text/*")
_APP_TYPES = (*_ENVOY_TYPES, OPENMETRICS)


class ScrapeTarget(NamedTuple):
    """One place where the application tells its metrics."""

    port: str
    path: str


class Collisions(StrEnum):
    """What happens to a family that several sources tell."""

    AUTO = "auto"
    """Ours: samples are regrouped under one HELP and TYPE, only where families collide."""
    CONCATENATE = "concatenate"
    """The peer's: texts one after the other, whatever they say."""
    REGROUP = "regroup"
    """Always parsed, whether or not anything collides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeOptions:
    """Where metrics come from besides ourselves."""

    envoy_port: int = ports.ENVOY_PROMETHEUS
    """0: Envoy's are not merged."""
    targets: tuple[ScrapeTarget, ...] = field(default=())
    """The application's; none for anything but a sidecar with the annotation."""
    collisions: Collisions = Collisions.AUTO
    """PILOT_METRICS_MERGE."""
    max_body: int = 10 * 1024 * 1024
    """Bytes of one application's text that are held. More of several: left out, as the peer does."""


class ScrapeConfig(NamedTuple):
    """The annotation as it is understood."""

    port: str
    path: str
    targets: tuple[ScrapeTarget, ...]

    @property
    def scraped(self) -> tuple[ScrapeTarget, ...]:
        """What is asked. Peer: with one target it is the top-level port and path, though the target may differ."""
        return (ScrapeTarget(self.port, self.path),) if len(self.targets) == 1 else self.targets


NO_SCRAPE = ScrapeConfig("", "", ())


def is_reserved(port: str) -> bool:
    """Whether the text is the number of a port that is the mesh's own."""
    return port in {str(each) for each in ports.RESERVED_FOR_SCRAPE}


def target_list(text: str) -> tuple[ScrapeTarget, ...]:
    """Targets in ``port:path,port:path``. Raises ValueError for one without a port."""
    return tuple(_listed(each) for each in text.split(",")) if text else ()


def _listed(element: str) -> ScrapeTarget:
    port, _, path = element.strip().partition(":")
    if not port:
        raise ValueError(f"target {element!r} names no port")
    return ScrapeTarget(port, path or DEFAULT_PATH)


def scrape_config(text: str, *, status_port: int) -> ScrapeConfig:
    """What the annotation's JSON asks for; nothing where scraping is off. Raises BadSetting."""
    if not text:
        return NO_SCRAPE
    given = _decoded(text)
    if given.get("scrape") == "false":
        return NO_SCRAPE
    port, path = str(given.get("port") or ""), str(given.get("path") or "")
    listed = given.get("targets") or []
    if not isinstance(listed, list):
        raise BadSetting(SETTING, text, "cannot be decoded: targets is not a list")
    if not listed:
        listed = [{"port": port or "80", "path": path}]
    targets = tuple(
        _checked(each, text, status_port, bool(given.get("targets"))) for each in listed
    )
    return ScrapeConfig(port or targets[0].port, path or targets[0].path, targets)


def _decoded(text: str) -> Mapping[str, Any]:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise BadSetting(SETTING, text, f"cannot be decoded: {error}") from None
    if not isinstance(given, dict):
        raise BadSetting(SETTING, text, "cannot be decoded: not a JSON object")
    for name in ("scrape", "port", "path"):
        if not isinstance(given.get(name) or "", str):
            raise BadSetting(SETTING, text, f"cannot be decoded: {name} is not a string")
    return given


def _checked(given: Any, text: str, status_port: int, listed: bool) -> ScrapeTarget:
    why = "invalid prometheus scrape configuration: "
    if not isinstance(given, dict):
        raise BadSetting(SETTING, text, f"{why}a target is not a JSON object")
    port = str(given.get("port", ""))
    target = ScrapeTarget(port, str(given.get("path") or DEFAULT_PATH))
    number = int(port) if port.isascii() and port.isdigit() else 0
    if port == str(status_port) or (listed and number == status_port):
        why += f"target port {port} is the same as agent port, which may lead to a recursive loop"
        raise BadSetting(SETTING, text, why)
    if listed and not 1 <= number <= 65535:
        raise BadSetting(SETTING, text, f"{why}target port {port!r} is not a port number")
    if listed and number in ports.RESERVED_FOR_SCRAPE:
        why += f"target port {port} is reserved for Istio and cannot be scraped"
        raise BadSetting(SETTING, text, why)
    return target


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


_NO_METRICS = ("text/html", "application/octet-stream", "application/vnd.google.protobuf")


def refused_type(content_type: str) -> str:
    """Why an answer of this type holds no metrics that can be joined; empty: it may."""
    media = content_type.partition(";")[0].strip().lower()
    pictures = media.startswith(("image/", "audio/", "video/"))
    return f"content type is {media}" if pictures or media in _NO_METRICS else ""


def scrape_timeout(header: str, default: float) -> float:
    """Seconds from X-Prometheus-Scrape-Timeout-Seconds. Raises ValueError for a text that is no number."""
    if not header:
        return default
    seconds = float(header)
    return seconds if seconds > 0 else default
