# SPDX-License-Identifier: Apache-2.0
"""The bootstrap, put together from its sections. Only the child imports this; it decides and touches nothing.

Field names in the JSON are Envoy's own (snake_case): the library's camelCase is wrong for names with
digits. Answers to spec/agent.md section 2.
"""

from __future__ import annotations

import json
import os.path
from dataclasses import dataclass
from typing import Any

from envoy_data_plane.envoy.config.bootstrap.v3 import (
    Bootstrap,
    BootstrapDeferredStatOptions,
    BootstrapStaticResources,
)

from bootstrap.family import Family, family_of
from bootstrap.inputs import BootstrapInputs
from bootstrap.sections import clusters, listeners, node, overload, runtime, stats

_TOKEN_FILE = "lightstep_access_token.txt"  # noqa: S105  the name of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Authored:
    """What is to be written, path to content, the bootstrap last; and what was tolerated. Modes by umask."""

    files: dict[str, str]
    warnings: tuple[str, ...]


def author(inputs: BootstrapInputs) -> Authored:
    """The files for ``inputs``. Raises BootstrapFailed naming the input that cannot be used."""
    warnings: list[str] = []
    family = family_of(inputs.instance_ips, dual_stack=inputs.switches.dual_stack)
    token_path = os.path.join(os.path.dirname(inputs.output), _TOKEN_FILE)
    message = bootstrap(inputs, family, warnings)
    files = {}
    token = _add_tracer(message, inputs, family, token_path)
    if token:
        files[token_path] = token
    _add_services(message, inputs, family)
    if clusters.self_discovery(inputs) and message.static_resources:
        message.static_resources.clusters.append(clusters.local_cluster())
    files[inputs.output] = render(message)
    return Authored(files=files, warnings=tuple(warnings))


def bootstrap(inputs: BootstrapInputs, family: Family, warnings: list[str]) -> Bootstrap:
    """What every proxy has."""
    waypoint = inputs.node_id.startswith("waypoint~")
    delta = inputs.switches.delta_xds or waypoint
    discovery = _metadata_discovery(inputs, warnings, delta=delta, waypoint=waypoint)
    flush, evict = stats.intervals(inputs, warnings)
    return Bootstrap(
        application_log_config=node.log_config(inputs),
        node=node.node(inputs),
        layered_runtime=runtime.layered_runtime(inputs),
        bootstrap_extensions=runtime.extensions(metadata_discovery=discovery),
        stats_flush_interval=flush,
        stats_eviction_interval=evict,
        stats_config=stats.stats_config(inputs, warnings, metadata_discovery=discovery),
        admin=runtime.admin(inputs, family),
        dynamic_resources=clusters.dynamic_resources(delta=delta),
        static_resources=BootstrapStaticResources(
            clusters=clusters.own_clusters(inputs, family),
            listeners=listeners.listeners(inputs, family),
        ),
        overload_manager=overload.overload_manager(inputs),
        cluster_manager=clusters.cluster_manager(inputs),
        deferred_stat_options=BootstrapDeferredStatOptions(enable_deferred_creation_stats=True),
    )


def _metadata_discovery(
    inputs: BootstrapInputs, warnings: list[str], *, delta: bool, waypoint: bool
) -> bool:
    wanted = waypoint or inputs.metadata.get("METADATA_DISCOVERY") == "true"
    if wanted and not delta:
        warnings.append(
            "metadata discovery needs delta xDS: left out because ISTIO_DELTA_XDS is off"
        )
    return bool(wanted and delta)


def _add_tracer(
    message: Bootstrap, inputs: BootstrapInputs, family: Family, token_path: str
) -> str:
    if not inputs.proxy_config.get("tracing"):
        return ""
    from bootstrap.sections.tracing import tracer

    found = tracer(inputs, family, token_path)
    if found is None or message.static_resources is None:
        return ""
    message.tracing = found.tracing
    message.static_resources.clusters.append(found.cluster)
    return found.token


_SERVICE_FIELDS = (
    "envoyMetricsService",
    "envoyMetricsServiceAddress",
    "envoyAccessLogService",
    "statsdUdpAddress",
)


def _add_services(message: Bootstrap, inputs: BootstrapInputs, family: Family) -> None:
    if not any(inputs.proxy_config.get(name) for name in _SERVICE_FIELDS):
        return
    from bootstrap.sections.services import service_clusters, stats_sinks

    message.stats_sinks = stats_sinks(inputs)
    if message.static_resources is not None:
        message.static_resources.clusters.extend(service_clusters(inputs, family))


def render(message: Bootstrap) -> str:
    """Proto JSON with original field names."""
    fields = message.to_dict(casing=str)  # type: ignore[arg-type]  # any function of a name is a casing
    return json.dumps(_whole(fields), indent=1) + "\n"


def _whole(value: Any) -> Any:
    """Struct numbers are floats: whole ones are written as people write ports."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
