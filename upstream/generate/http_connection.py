# SPDX-License-Identifier: Apache-2.0
"""The HTTP connection manager that all HTTP filter chains share, and its filters. Pure.

Source: spec/upstream.md 7.3, 7.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.http.grpc_stats.v3 import config_pb2 as grpc_stats_pb2
from envoy.extensions.filters.http.grpc_web.v3 import grpc_web_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from envoy.type.metadata.v3 import metadata_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue

from upstream.generate.names import stat
from upstream.generate.resource import packed
from upstream.generate.telemetry import alpn, http_exchange
from upstream.generate.view import View

HCM = "envoy.filters.network.http_connection_manager"
_Manager: TypeAlias = hcm_pb2.HttpConnectionManager
UNKNOWN = "unknown"
"""Envoy refuses an empty tag."""
_RBAC = "envoy.filters.http.rbac"
_DRY_RUN = "istio.authorization.dry_run"


def manager(view: View, prefix: str) -> hcm_pb2.HttpConnectionManager:
    """What both directions have in common."""
    out = _Manager(
        stat_prefix=stat(prefix),
        normalize_path=BoolValue(value=True),
        path_with_escaped_slashes_action=_Manager.KEEP_UNCHANGED,
        use_remote_address=BoolValue(value=False),
        proxy_100_continue=True,
        upgrade_configs=[_Manager.UpgradeConfig(upgrade_type="websocket")],
        tracing=_tracing(view),
    )
    out.stream_idle_timeout.SetInParent()
    identifier = uuid_pb2.UuidRequestIdConfig(
        use_request_id_for_trace_sampling=BoolValue(value=True)
    )
    out.request_id_extension.typed_config.CopyFrom(packed(identifier))
    return out


def http_filters(
    view: View,
    *,
    inbound: bool,
    security: Sequence[hcm_pb2.HttpFilter] = (),
    grpc_web: bool = False,
) -> list[hcm_pb2.HttpFilter]:
    """In Istio's order: who it is, whether it may, what is counted, what is injected, where it goes."""
    istio = view.world.istio_filters
    statistics = grpc_stats_pb2.FilterConfig(
        emit_filter_state=True, stats_for_all_methods=BoolValue(value=False)
    )
    return [
        *([http_exchange(inbound=inbound)] if istio else []),
        *security,
        *([_filter("envoy.filters.http.grpc_web", grpc_web_pb2.GrpcWeb())] if grpc_web else []),
        _filter("envoy.filters.http.grpc_stats", statistics),
        *([alpn()] if istio and not inbound else []),
        _filter("envoy.filters.http.fault", fault_pb2.HTTPFault()),
        _filter("envoy.filters.http.cors", cors_pb2.Cors()),
        _filter("envoy.filters.http.router", router_pb2.Router()),
    ]


def _filter(name: str, config: Message) -> hcm_pb2.HttpFilter:
    return hcm_pb2.HttpFilter(name=name, typed_config=packed(config))


def as_network_filter(out: hcm_pb2.HttpConnectionManager) -> listener_components_pb2.Filter:
    """The connection manager as the last filter of a chain."""
    return listener_components_pb2.Filter(name=HCM, typed_config=packed(out))


def _tracing(view: View) -> hcm_pb2.HttpConnectionManager.Tracing:
    """Sampling, and tags that say where a span comes from; a provider is another matter."""
    labels = view.proxy.labels
    literals = {
        "istio.canonical_revision": labels.get("service.istio.io/canonical-revision", "latest"),
        "istio.canonical_service": labels.get("service.istio.io/canonical-name", UNKNOWN),
        "istio.cluster_id": view.proxy.cluster_id or UNKNOWN,
        "istio.mesh_id": view.proxy.mesh_id or UNKNOWN,
        "istio.namespace": view.proxy.namespace,
    }
    out = _Manager.Tracing()
    out.client_sampling.value = 100.0
    out.random_sampling.value = 1.0
    out.overall_sampling.value = 100.0
    for action in ("allow", "deny"):
        for what, key in (("name", "effective_policy_id"), ("result", "engine_result")):
            tag = f"{_DRY_RUN}.{action}_policy.{what}"
            out.custom_tags.append(_dry_run(tag, f"istio_dry_run_{action}_shadow_{key}"))
    for name, value in literals.items():
        literal = custom_tag_pb2.CustomTag.Literal(value=value)
        out.custom_tags.append(custom_tag_pb2.CustomTag(tag=name, literal=literal))
    return out


def _dry_run(tag: str, key: str) -> custom_tag_pb2.CustomTag:
    request = metadata_pb2.MetadataKind(request=metadata_pb2.MetadataKind.Request())
    path = metadata_pb2.MetadataKey.PathSegment(key=key)
    metadata = custom_tag_pb2.CustomTag.Metadata(
        kind=request, metadata_key=metadata_pb2.MetadataKey(key=_RBAC, path=[path])
    )
    return custom_tag_pb2.CustomTag(tag=tag, metadata=metadata)
