# SPDX-License-Identifier: Apache-2.0
"""The fields of Istio's ProxyConfig as a table, and JSON or YAML text read by it. Pure.

The agent knows no generated ProxyConfig message; this table says what protojson would accept and how
it would print it (spec/agent.md 1.9): camelCase or snake_case in, camelCase out, unknown fields
dropped, durations as ``0.010s``. Source: istio/api mesh/v1alpha1/proxy.proto.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mesh import durations
from mesh.errors import BadSetting

Fields = Mapping[str, str]
"""JSON name to kind: a scalar, a message or an enum of the tables below; ``[]`` list of, ``{}`` map to.

``?`` after the kind means that zero differs from absent: wrappers, and members of a oneof.
"""

MESSAGES: Mapping[str, Fields] = {
    "ProxyConfig": {
        "configPath": "string",
        "binaryPath": "string",
        "serviceCluster": "string?",
        "tracingServiceName": "TracingServiceName?",
        "drainDuration": "duration",
        "discoveryAddress": "string",
        "zipkinAddress": "string",
        "statsdUdpAddress": "string",
        "envoyMetricsServiceAddress": "string",
        "proxyAdminPort": "int32",
        "controlPlaneAuthPolicy": "AuthenticationPolicy",
        "customConfigFile": "string",
        "statNameLength": "int32",
        "concurrency": "int32?",
        "proxyBootstrapTemplatePath": "string",
        "interceptionMode": "InboundInterceptionMode",
        "tracing": "Tracing",
        "envoyAccessLogService": "RemoteService",
        "envoyMetricsService": "RemoteService",
        "proxyMetadata": "{}string",
        "runtimeValues": "{}string",
        "statusPort": "int32",
        "extraStatTags": "[]string",
        "gatewayTopology": "Topology",
        "terminationDrainDuration": "duration",
        "meshId": "string",
        "readinessProbe": "ReadinessProbe",
        "proxyStatsMatcher": "ProxyStatsMatcher",
        "holdApplicationUntilProxyStarts": "bool?",
        "caCertificatesPem": "[]string",
        "image": "ProxyImage",
        "privateKeyProvider": "PrivateKeyProvider",
        "proxyHeaders": "json",
        "fileFlushInterval": "duration",
        "fileFlushMinSizeKb": "uint32?",
        "statsCompression": "bool?",
        "connectionSettings": "ConnectionSettings",
    },
    "Tracing": {
        "zipkin": "Address",
        "lightstep": "Lightstep",
        "datadog": "Address",
        "stackdriver": "json",
        "openCensusAgent": "json",
        "customTags": "json",
        "maxPathTagLength": "uint32",
        "sampling": "double",
        "tlsSettings": "ClientTLSSettings",
        "enableIstioTags": "bool?",
    },
    "Address": {"address": "string"},
    "Lightstep": {"address": "string", "accessToken": "secret"},
    "RemoteService": {
        "address": "string",
        "tlsSettings": "ClientTLSSettings",
        "tcpKeepalive": "TcpKeepalive",
    },
    "ClientTLSSettings": {
        "mode": "TLSmode",
        "clientCertificate": "string",
        "privateKey": "string",
        "caCertificates": "string",
        "credentialName": "string",
        "subjectAltNames": "[]string",
        "sni": "string",
        "insecureSkipVerify": "bool?",
        "caCrl": "string",
    },
    "TcpKeepalive": {"probes": "uint32", "time": "duration", "interval": "duration"},
    "Topology": {
        "numTrustedProxies": "uint32",
        "forwardClientCertDetails": "ForwardClientCertDetails",
        "proxyProtocol": "json",
    },
    "ReadinessProbe": {
        "initialDelaySeconds": "int32",
        "timeoutSeconds": "int32",
        "periodSeconds": "int32",
        "successThreshold": "int32",
        "failureThreshold": "int32",
        "httpGet": "HTTPHealthCheckConfig",
        "tcpSocket": "HostPort",
        "exec": "Exec",
        "grpc": "GrpcHealthCheckConfig",
    },
    "HTTPHealthCheckConfig": {
        "path": "string",
        "port": "uint32",
        "host": "string",
        "scheme": "string",
        "httpHeaders": "[]HTTPHeader",
    },
    "HTTPHeader": {"name": "string", "value": "string"},
    "HostPort": {"host": "string", "port": "uint32"},
    "Exec": {"command": "[]string"},
    "GrpcHealthCheckConfig": {"port": "uint32", "service": "string"},
    "ProxyStatsMatcher": {
        "inclusionPrefixes": "[]string",
        "inclusionSuffixes": "[]string",
        "inclusionRegexps": "[]string",
    },
    "ProxyImage": {"imageType": "string"},
    "PrivateKeyProvider": {"cryptomb": "PollDelay", "qat": "PollDelay"},
    "PollDelay": {"pollDelay": "duration", "fallback": "bool?"},
    "ConnectionSettings": {"globalDownstreamConnectionLimit": "uint32?"},
}

ENUMS: Mapping[str, Mapping[str, int]] = {
    "TracingServiceName": {
        "APP_LABEL_AND_NAMESPACE": 0,
        "CANONICAL_NAME_ONLY": 1,
        "CANONICAL_NAME_AND_NAMESPACE": 2,
    },
    "AuthenticationPolicy": {"NONE": 0, "MUTUAL_TLS": 1, "INHERIT": 1000},
    "InboundInterceptionMode": {"REDIRECT": 0, "TPROXY": 1, "NONE": 2},
    "TLSmode": {"DISABLE": 0, "SIMPLE": 1, "MUTUAL": 2, "ISTIO_MUTUAL": 3},
    "ForwardClientCertDetails": {
        "UNDEFINED": 0,
        "SANITIZE": 1,
        "FORWARD_ONLY": 2,
        "APPEND_FORWARD": 3,
        "SANITIZE_SET": 4,
        "ALWAYS_FORWARD_ONLY": 5,
    },
}

_RANGES = {"int32": (-(1 << 31), (1 << 31) - 1), "uint32": (0, (1 << 32) - 1)}


def parse_text(text: str, source: str) -> dict[str, Any]:
    """The mapping in JSON or YAML ``text``; empty text is an empty mapping.

    JSON is tried first because PyYAML costs the agent memory. Raises BadSetting naming ``source``.
    """
    if not text.strip():
        return {}
    try:
        data = json.loads(text)
    except ValueError:
        data = _parse_yaml(text, source)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise BadSetting(source, _short(data), "not a mapping of fields")
    return data


def _parse_yaml(text: str, source: str) -> object:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "cannot be parsed"
        raise BadSetting(source, "...", f"not valid YAML{where}: {why}") from None


def read_message(kind: str, data: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The known fields of ``data`` in canonical form, explicit zeros kept. Raises BadSetting naming the field."""
    table = MESSAGES[kind]
    names = {_snake(name): name for name in table} | {name: name for name in table}
    read: dict[str, Any] = {}
    for key, value in data.items():
        name = names.get(str(key))
        if (
            name is None or value is None
        ):  # null is absent in proto JSON; unknown fields are tolerated
            continue
        read[name] = _value(table[name].rstrip("?"), value, f"{path}.{name}")
    return read


def without_defaults(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """``data`` as protojson prints it: what equals its default is left out."""
    table = MESSAGES[kind]
    return {
        name: _pruned(table[name].rstrip("?"), value)
        for name, value in data.items()
        if table[name].endswith("?") or not _is_default(table[name], value)
    }


def _pruned(kind: str, value: Any) -> Any:
    if kind.startswith("[]"):
        return [_pruned(kind[2:], item) for item in value]
    return without_defaults(kind, value) if kind in MESSAGES else value


def _is_default(kind: str, value: Any) -> bool:
    if kind in ENUMS:
        return ENUMS[kind].get(value) == 0
    if kind in MESSAGES or kind in {"duration", "json"}:
        return False
    return not value


def _value(kind: str, value: Any, path: str) -> Any:
    if kind.startswith("[]"):
        if not isinstance(value, list):
            raise _fault(path, value, "not a list")
        return [_value(kind[2:], item, f"{path}[{i}]") for i, item in enumerate(value)]
    if kind.startswith("{}"):
        if not isinstance(value, dict):
            raise _fault(path, value, "not a map")
        return {str(key): _value(kind[2:], item, f"{path}.{key}") for key, item in value.items()}
    if kind in MESSAGES:
        if not isinstance(value, dict):
            raise _fault(path, value, "not a message")
        return read_message(kind, value, path)
    return _enum(kind, value, path) if kind in ENUMS else _scalar(kind, value, path)


def _enum(kind: str, value: Any, path: str) -> str:
    for name, number in ENUMS[kind].items():
        if value == name or (value == number and not isinstance(value, bool)):
            return name
    raise _fault(path, value, f"not one of {', '.join(ENUMS[kind])}")


def _scalar(kind: str, value: Any, path: str) -> Any:
    match kind:
        case "json":
            return value
        case "secret" if not isinstance(value, str):
            raise _fault(path, "...", "not a string")
        case "string" if not isinstance(value, str):
            raise _fault(path, value, "not a string (quote it)")
        case "string" | "secret":
            return value
        case "bool" if not isinstance(value, bool):
            raise _fault(path, value, "not true or false")
        case "bool":
            return value
        case "duration":
            return _duration(value, path)
        case "double":
            return _double(value, path)
        case _:
            return _integer(kind, value, path)


def _integer(kind: str, value: Any, path: str) -> int:
    low, high = _RANGES[kind]
    try:
        if isinstance(value, bool) or int(value) != float(value):
            raise ValueError
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise _fault(path, value, "not an integer") from None
    if not low <= number <= high:
        raise _fault(path, value, f"not between {low} and {high}")
    return number


def _double(value: Any, path: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _fault(path, value, "not a number") from None


def _duration(value: Any, path: str) -> str:
    try:
        return duration_text(durations.parse(value))
    except (TypeError, ValueError):
        raise _fault(path, value, "not a duration such as 5s") from None


def duration_text(seconds: float) -> str:
    """Proto JSON of a duration: seconds with 0, 3, 6 or 9 digits after the point."""
    exact = Decimal(str(seconds))
    for digits in (0, 3, 6):
        if exact == round(exact, digits):
            return f"{exact:.{digits}f}s"
    return f"{exact:.9f}s"


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _fault(path: str, value: Any, why: str) -> BadSetting:
    return BadSetting(path, _short(value), why)


def _short(value: object) -> str:
    text = str(value) if isinstance(value, (str, int, float)) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
