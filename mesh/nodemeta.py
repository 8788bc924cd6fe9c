# SPDX-License-Identifier: Apache-2.0
"""The typed keys of a node's metadata: what may stand there and how it is written. Pure.

Istio sends lists as comma-joined strings, ports as JSON inside a string, booleans as the strings
``true`` and ``false`` (spec/agent.md 2.3). Keys outside the table are free. Source: istio pkg/model/proxy.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from mesh.errors import BadSetting


class Kind(Enum):
    """How the value of a key is encoded."""

    STRING = auto()
    BOOL = auto()
    """A string that Go's ParseBool accepts; false is left out."""
    TRISTATE = auto()
    """As BOOL, but false is said."""
    LIST = auto()
    PORTS = auto()
    STRINGS = auto()
    """A JSON list of strings."""
    MAP = auto()
    NUMBER = auto()
    MESSAGE = auto()


def _table(**kinds: str) -> dict[str, Kind]:
    return {key: Kind[kind] for kind, keys in kinds.items() for key in keys.split()}


KEYS: Mapping[str, Kind] = _table(
    MESSAGE="PROXY_CONFIG",
    STRING="""
        ISTIO_VERSION ISTIO_REVISION NAMESPACE NODE_NAME WORKLOAD_NAME INTERCEPTION_MODE
        SERVICE_ACCOUNT HTTP_PROXY_PORT MESH_ID CLUSTER_ID NETWORK TLS_SERVER_CERT_CHAIN
        TLS_SERVER_KEY TLS_SERVER_ROOT_CERT TLS_CLIENT_CERT_CHAIN TLS_CLIENT_KEY
        TLS_CLIENT_ROOT_CERT BASE IDLE_TIMEOUT HTTP10 GENERATOR DNS_PROXY_ADDR
        AUTO_REGISTER_GROUP WORKLOAD_ENTRY UNPRIVILEGED_POD STS_PORT CLOUDRUN_ADDR
        WORKLOAD_IDENTITY_SOCKET_FILE NAME OWNER OUTLIER_LOG_PATH APP_CONTAINERS ISTIO_PROXY_SHA
    """,
    BOOL="""
        ENABLE_SELF_DISCOVERY DNS_CAPTURE DNS_AUTO_ALLOCATE ENABLE_HBONE DISABLE_HBONE_SEND
        EXIT_ON_ZERO_ACTIVE_CONNECTIONS INBOUND_LISTENER_EXACT_BALANCE
        OUTBOUND_LISTENER_EXACT_BALANCE ENVOY_SKIP_DEPRECATED_LOGS
    """,
    TRISTATE="METADATA_DISCOVERY",
    LIST="INSTANCE_IPS REQUESTED_NETWORK_VIEW",
    PORTS="POD_PORTS",
    STRINGS="PILOT_SAN",
    MAP="LABELS STATIC_LABELS ANNOTATIONS PLATFORM_METADATA",
    NUMBER="""
        ENVOY_STATUS_PORT ENVOY_PROMETHEUS_PORT ENVOY_SECURE_METRICS_PORT
        ENVOY_SECURE_MERGED_METRICS_PORT
    """,
)

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def typed(untyped: Mapping[str, Any]) -> dict[str, Any]:
    """The known keys of ``untyped`` in their own encoding, empty ones left out.

    Raises BadSetting for the first value of the wrong kind; the peer refuses to start, too.
    """
    read = {key: normal(key, untyped[key]) for key in KEYS if key in untyped}
    return {key: value for key, value in read.items() if not is_empty(key, value)}


def is_empty(key: str, value: Any) -> bool:
    """Whether Go's omitempty leaves ``key`` out."""
    kind = KEYS[key]
    if kind is Kind.BOOL:
        return bool(value != "true")
    return kind not in {Kind.TRISTATE, Kind.MESSAGE} and not value


def normal(key: str, value: Any) -> Any:
    """``value`` as ``key`` is written, or BadSetting."""
    match KEYS[key]:
        case Kind.STRING:
            return _string(key, value)
        case Kind.BOOL | Kind.TRISTATE:
            return string_bool(parse_bool(_string(key, value), key))
        case Kind.LIST:
            return ",".join(parse_list(_string(key, value)))
        case Kind.PORTS:
            ports = parse_ports(value, key)
            return json.dumps(ports, separators=(",", ":")) if ports else ""
        case Kind.STRINGS:
            return _strings(key, value)
        case Kind.MAP:
            return _map(key, value)
        case Kind.NUMBER:
            return _number(key, value)
        case Kind.MESSAGE:
            return _message(key, value)


def string_bool(value: bool) -> str:
    """The metadata form of a boolean."""
    return "true" if value else "false"


def parse_bool(text: Any, key: str = "value") -> bool:
    """What Go's ParseBool reads in ``text``."""
    if not isinstance(text, str) or text not in _TRUE | _FALSE:
        raise _fault(key, text, "not a boolean string such as true, false, 1 or 0")
    return text in _TRUE


def parse_list(text: str) -> list[str]:
    """The items of a comma-joined list; an empty text has none."""
    return text.split(",") if text else []


def parse_ports(value: Any, key: str = "POD_PORTS") -> list[dict[str, Any]]:
    """The ports in a string that holds a JSON list."""
    if not isinstance(value, str):
        raise _fault(key, value, "invalid syntax: not JSON inside a string")
    try:
        ports = json.loads(value or "[]")
    except ValueError:
        raise _fault(key, value, "invalid syntax: not JSON inside a string") from None
    if ports is None:
        return []
    if not isinstance(ports, list) or not all(isinstance(port, dict) for port in ports):
        raise _fault(key, value, "not a list of ports")
    return ports


def _string(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _fault(key, value, "not a string")
    return value


def _strings(key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _fault(key, value, "not a list of strings")
    return list(value)


def _map(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _fault(key, value, "not a map of strings")
    return dict(value)


def _number(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _fault(key, value, "not a number")
    return value


def _message(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _fault(key, value, "not an object")
    return dict(value)


def _fault(key: str, value: Any, why: str) -> BadSetting:
    text = value if isinstance(value, str) else json.dumps(value)
    return BadSetting(f"ISTIO_META_{key}", text[:60], why)


NO_INTERCEPTION = "NONE"
"""An interception mode: nobody captures traffic."""


def interception_mode(metadata: Mapping[str, Any]) -> str:
    """REDIRECT, TPROXY or NONE."""
    return str(metadata.get("INTERCEPTION_MODE") or "REDIRECT").upper()
