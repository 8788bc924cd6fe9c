# SPDX-License-Identifier: Apache-2.0
"""Runtime flags, process-wide extensions and the admin server. Source: spec/agent.md 2.5, 2.6."""

from __future__ import annotations

from typing import Any

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.bootstrap.v3 import (
    Admin,
    LayeredRuntime,
    RuntimeLayer,
    RuntimeLayerAdminLayer,
)
from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.google.protobuf import Any as AnyMessage
from envoy_data_plane.google.protobuf import Struct

from bootstrap.family import Family
from bootstrap.inputs import BootstrapInputs
from bootstrap.sections.messages import socket_address, typed_struct

_FLAGS: dict[str, Any] = {
    "re2.max_program_size.error_level": "32768",
    "envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst": True,
    "envoy.reloadable_features.http_reject_path_with_fragment": False,
    "envoy.reloadable_features.fixed_heap_use_allocated": True,
    "envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update": False,
}
_PROFILE = "/var/lib/istio/data/envoy.prof"
_INTERNAL_LISTENER = "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"


def layered_runtime(inputs: BootstrapInputs) -> LayeredRuntime:
    """Our flags overlaid by the operator's, below what the admin endpoint sets."""
    static = Struct.from_dict(runtime_flags(inputs))
    return LayeredRuntime(
        layers=[
            RuntimeLayer(name="global config", static_layer=static),
            RuntimeLayer(name="admin", admin_layer=RuntimeLayerAdminLayer()),
        ]
    )


def runtime_flags(inputs: BootstrapInputs) -> dict[str, Any]:
    """An empty runtime value removes a flag; ``true`` and ``false`` are booleans, the rest strings."""
    flags = dict(_FLAGS)
    if inputs.switches.compliance_policy == "fips-140-2":
        flags["envoy.reloadable_features.google_grpc_disable_tls_13"] = True
    if not inputs.switches.strip_fragment:
        name = "envoy.reloadable_features.http_strip_fragment_from_path_unsafe_if_disabled"
        flags[name] = "false"
    for key, value in (inputs.proxy_config.get("runtimeValues") or {}).items():
        if value:
            flags[key] = {"true": True, "false": False}.get(value, value)
        else:
            flags.pop(key, None)
    return flags


def extensions(*, metadata_discovery: bool) -> list[TypedExtensionConfig]:
    """Ambient's workload table where wanted; internal listeners always."""
    internal = typed_struct(
        "envoy.bootstrap.internal_listener", _INTERNAL_LISTENER, {"buffer_size_kb": 64}
    )
    if not metadata_discovery:
        return [internal]
    source: dict[str, Any] = {"config_source": {"ads": {}}}
    workloads = typed_struct("metadata_discovery", "istio.workload.BootstrapExtension", source)
    return [workloads, internal]


def admin(inputs: BootstrapInputs, family: Family) -> Admin:
    """On loopback only."""
    log = AccessLog(
        name="envoy.access_loggers.file",
        typed_config=AnyMessage.pack(FileAccessLog(path="/dev/null")),
    )
    port = inputs.proxy_config.get("proxyAdminPort", 0)
    return Admin(
        access_log=[log],
        profile_path=_PROFILE,
        address=socket_address(family.loopback, port),
    )
