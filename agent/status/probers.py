# SPDX-License-Identifier: Apache-2.0
"""Probes of the application: what ISTIO_KUBE_APP_PROBERS and ProxyConfig.readinessProbe ask for. Pure.

Peer: status/server.go validateAppKubeProber, health/probers.go; spec/agent.md 9.3, 4.8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, assert_never

from mesh.errors import BadSetting

SETTING = "ISTIO_KUBE_APP_PROBERS"
PREFIXES = ("/app-health/", "/app-lifecycle/")
PATHS = r"^/(app-health|app-lifecycle)/[^/]+/(livez|readyz|startupz|prestopz|poststartz)$"
_PATH = re.compile(PATHS)
_POD = "pod"
"""The workload's own address, in words."""
_KINDS = ("httpget", "tcpsocket", "grpc")


class HttpGet(NamedTuple):
    """Healthy by an answer's status."""

    port: int
    path: str = "/"
    https: bool = False
    host: str = ""
    """Empty: the workload's own address."""
    headers: tuple[tuple[str, str], ...] = ()


class TcpSocket(NamedTuple):
    """Healthy where a connection comes about."""

    port: int
    host: str = ""


class GrpcCheck(NamedTuple):
    """Healthy where grpc.health.v1 says SERVING."""

    port: int
    service: str = ""


class Exec(NamedTuple):
    """Healthy where a command ends with status 0. Only for readinessProbe."""

    command: tuple[str, ...]


Action = HttpGet | TcpSocket | GrpcCheck | Exec


def described(action: Action) -> str:
    """In words; without headers, queries and arguments, which may hold credentials."""
    match action:
        case HttpGet():
            scheme = "https" if action.https else "http"
            path, asks, _ = action.path.removeprefix("/").partition("?")
            return f"GET {scheme}://{action.host or _POD}:{action.port}/{path}{asks and '?...'}"
        case TcpSocket():
            return f"TCP {action.host or _POD}:{action.port}"
        case GrpcCheck():
            return f"gRPC {_POD}:{action.port} {action.service}".strip()
        case Exec():
            return f"command {action.command[0] if action.command else ''}".strip()
        case _:
            assert_never(action)


class Prober(NamedTuple):
    """One probe."""

    action: Action
    timeout: float = 0.0
    """Seconds; 0 is none, except for gRPC, which then fails at once (the peer's)."""


class HealthProbe(NamedTuple):
    """readinessProbe: how often the application is asked, and what counts."""

    prober: Prober
    initial_delay: float = 0.0
    period: float = 10.0
    success_threshold: int = 1
    failure_threshold: int = 1


def app_probers(text: str) -> dict[str, Prober]:
    """Path to probe. Raises BadSetting for what the peer refuses to start with."""
    if not text:
        return {}
    try:
        given = json.loads(text)
    except ValueError as error:
        raise _fault(text, f"failed to decode app prober: {error}") from None
    if not isinstance(given, dict):
        raise _fault(text, "failed to decode app prober: not a JSON object")
    return {path: _prober(path, each, text) for path, each in given.items()}


def _prober(path: str, given: Any, text: str) -> Prober:
    if not _PATH.match(path):
        raise _fault(text, f"invalid path, must be in form of regex pattern {PATHS}")
    if not isinstance(given, dict):
        raise _fault(text, f"failed to decode app prober: {path} is not a JSON object")
    found = [(key.lower(), value) for key, value in given.items() if value is not None]
    kinds = [(key, value) for key, value in found if key in _KINDS]
    if len(kinds) != 1 or not isinstance(kinds[0][1], dict):
        raise _fault(text, "invalid prober type, must be one of type httpGet, tcpSocket or gRPC")
    kind, body = kinds[0]
    port = body.get("port", 0)
    if isinstance(port, bool) or not isinstance(port, int):
        raise _fault(text, f"invalid prober config for {path}, the port must be int type")
    timeout = dict(found).get("timeoutseconds", 0)
    if isinstance(timeout, bool) or not isinstance(timeout, int):
        raise _fault(text, f"failed to decode app prober: timeoutSeconds of {path} is not a number")
    return Prober(_action(kind, body, port), float(timeout))


def _action(kind: str, body: Mapping[str, Any], port: int) -> Action:
    match kind:
        case "httpget":
            path = str(body.get("path") or "")
            https = str(body.get("scheme") or "").upper() == "HTTPS"
            return HttpGet(port, path if path.startswith("/") else f"/{path}", https)
        case "tcpsocket":
            return TcpSocket(port)
        case _:
            return GrpcCheck(port, str(body.get("service") or ""))


def _fault(text: str, why: str) -> BadSetting:
    return BadSetting(SETTING, text, why, hint="the injector writes this; check the pod's probes")


def health_probe(given: Mapping[str, Any]) -> HealthProbe:
    """ProxyConfig.readinessProbe. Raises BadSetting."""
    action = next(_health_actions(given), None)
    if action is None:
        why = "names none of httpGet, tcpSocket, exec and grpc"
        raise BadSetting("readinessProbe", json.dumps(dict(given)), why)
    return HealthProbe(
        Prober(action, _number(given, "timeoutSeconds", 1)),
        initial_delay=_number(given, "initialDelaySeconds", 0),
        period=_number(given, "periodSeconds", 10),
        success_threshold=int(_number(given, "successThreshold", 1)),
        failure_threshold=int(_number(given, "failureThreshold", 1)),
    )


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    """0 is the same as absent, as in proto3."""
    try:
        return float(given.get(name) or default)
    except (TypeError, ValueError):
        raise BadSetting(f"readinessProbe.{name}", str(given[name]), "not a number") from None


def _health_actions(given: Mapping[str, Any]) -> Iterator[Action]:
    http = given.get("httpGet")
    if isinstance(http, Mapping):
        rows = http.get("httpHeaders") or ()
        yield HttpGet(
            int(_number(http, "port", 0)),
            str(http.get("path") or "/"),
            str(http.get("scheme") or "http").lower() == "https",
            str(http.get("host") or ""),
            tuple((str(row.get("name", "")), str(row.get("value", ""))) for row in rows),
        )
    tcp = given.get("tcpSocket")
    if isinstance(tcp, Mapping):
        yield TcpSocket(int(_number(tcp, "port", 0)), str(tcp.get("host") or ""))
    command = given.get("exec")
    if isinstance(command, Mapping):
        yield Exec(tuple(str(word) for word in command.get("command") or ()))
    grpc = given.get("grpc")
    if isinstance(grpc, Mapping):
        yield GrpcCheck(int(_number(grpc, "port", 0)), str(grpc.get("service") or ""))
