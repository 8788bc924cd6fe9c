# SPDX-License-Identifier: Apache-2.0
"""What Envoy does before it breaks: a limit on connections and, where asked for, on its heap. Spec/agent.md 2.5.

The heap part is ours (PILOT_OVERLOAD_MANAGER): without it, an Envoy that grows is killed with all that it serves.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.overload.v3 import (
    OverloadAction,
    OverloadManager,
    ResourceMonitor,
    ThresholdTrigger,
    Trigger,
)
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections.v3 import (
    DownstreamConnectionsConfig,
)
from envoy_data_plane.envoy.extensions.resource_monitors.fixed_heap.v3 import FixedHeapConfig
from envoy_data_plane.google.protobuf import Any as AnyMessage

from bootstrap.inputs import BootstrapInputs

_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_HEAP = "envoy.resource_monitors.fixed_heap"
_LIMIT_METADATA = "ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS"
_LIMIT_RUNTIME = "overload.global_downstream_max_connections"
_NO_LIMIT = (1 << 31) - 1

HEAP_ACTIONS = (
    ("envoy.overload_actions.shrink_heap", 0.9),
    ("envoy.overload_actions.disable_http_keepalive", 0.92),
    ("envoy.overload_actions.stop_accepting_requests", 0.95),
    ("envoy.overload_actions.stop_accepting_connections", 0.98),
)
"""Gentle ones first; each begins at a share of the heap's limit."""


def overload_manager(inputs: BootstrapInputs) -> OverloadManager:
    """One limit on the connections of all listeners but our own; the heap's where there is one."""
    limit = DownstreamConnectionsConfig(max_active_downstream_connections=connection_limit(inputs))
    connections = ResourceMonitor(name=_CONNECTIONS, typed_config=AnyMessage.pack(limit))
    if not inputs.heap_limit:
        return OverloadManager(resource_monitors=[connections])
    heap = FixedHeapConfig(max_heap_size_bytes=inputs.heap_limit)
    return OverloadManager(
        refresh_interval=timedelta(milliseconds=250),
        resource_monitors=[
            connections,
            ResourceMonitor(name=_HEAP, typed_config=AnyMessage.pack(heap)),
        ],
        actions=[_action(name, share) for name, share in HEAP_ACTIONS],
    )


def _action(name: str, share: float) -> OverloadAction:
    trigger = Trigger(name=_HEAP, threshold=ThresholdTrigger(value=share))
    return OverloadAction(name=name, triggers=[trigger])


def connection_limit(inputs: BootstrapInputs) -> int:
    """The first of connectionSettings, proxyMetadata, runtimeValues that says a number."""
    config = inputs.proxy_config
    candidates = (
        (config.get("connectionSettings") or {}).get("globalDownstreamConnectionLimit"),
        (config.get("proxyMetadata") or {}).get(_LIMIT_METADATA),
        (config.get("runtimeValues") or {}).get(_LIMIT_RUNTIME),
    )
    numbers = (_positive(candidate) for candidate in candidates)
    return next((number for number in numbers if number), _NO_LIMIT)


def _positive(value: object) -> int:
    text = str(value).removeprefix("+")
    return int(text) if text.isascii() and text.isdigit() else 0
