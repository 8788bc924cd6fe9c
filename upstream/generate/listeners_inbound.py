# SPDX-License-Identifier: Apache-2.0
"""LDS, inbound: filter chains by the workload's mTLS mode and each port's protocol. Pure.

Source: spec/upstream.md 7.5, 17.2.

Captured traffic arrives at one virtual listener, whose chains tell ports apart; without capture each port of the
Sidecar is a listener of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.config.route.v3 import route_pb2 as rds_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from upstream.config.security import MtlsMode
from upstream.config.shared import Protocol
from upstream.generate.addresses import address
from upstream.generate.authz import http_authorization, tcp_authorization
from upstream.generate.chains import (
    PLAIN_HTTP,
    RAW,
    TLS,
    Chain,
    Filter,
    Listener,
    ListenerFilter,
    Match,
    except_ports,
    http_inspector,
    make_transparent,
    original_dst,
    original_src,
    tcp_proxy,
    tls_inspector,
)
from upstream.generate.http_connection import as_network_filter, http_filters, manager
from upstream.generate.inbound_ports import InboundPort, inbound_ports
from upstream.generate.metadata import config_metadata
from upstream.generate.mtls import downstream_socket, workload_mode
from upstream.generate.names import (
    BLACK_HOLE,
    INBOUND_PASSTHROUGH,
    INBOUND_PORT,
    VIRTUAL_INBOUND,
    inbound_cluster,
    listener,
)
from upstream.generate.resource import Generated, resource
from upstream.generate.telemetry import network_exchange
from upstream.generate.view import View
from upstream.proxy import Interception

MTLS_HTTP = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
MTLS_TCP = ("istio-peer-exchange", "istio")
MTLS_ALL = ("istio", "istio-peer-exchange", *MTLS_HTTP)
OFFERED = ("h2", "http/1.1")
_Manager: TypeAlias = hcm_pb2.HttpConnectionManager


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One row of the chain matrix: what is matched, whether TLS is terminated, what speaks."""

    transport: str
    alpn: tuple[str, ...] = ()
    terminate: bool = False
    http: bool = False


_STRICT_HTTP = (_Kind(transport=TLS, terminate=True, http=True),)
_STRICT_TCP = (_Kind(transport=TLS, terminate=True),)
_STRICT_AUTO = (
    _Kind(transport=TLS, alpn=MTLS_HTTP, terminate=True, http=True),
    _Kind(transport=TLS, terminate=True),
)
_PERMISSIVE_HTTP = (
    _Kind(transport=TLS, alpn=MTLS_ALL, terminate=True, http=True),
    _Kind(transport=RAW, http=True),
)
_PERMISSIVE_TCP = (
    _Kind(transport=TLS, alpn=MTLS_ALL, terminate=True),
    _Kind(transport=TLS),
    _Kind(transport=RAW),
)
_PERMISSIVE_AUTO = (
    _Kind(transport=TLS, alpn=MTLS_HTTP, terminate=True, http=True),
    _Kind(transport=RAW, alpn=PLAIN_HTTP, http=True),
    _Kind(transport=TLS, alpn=MTLS_TCP, terminate=True),
    _Kind(transport=RAW),
    _Kind(transport=TLS),
)
_DISABLE_HTTP = (_Kind(transport=RAW, http=True),)
_DISABLE_TCP = (_Kind(transport=RAW),)
_DISABLE_AUTO = (_Kind(transport=RAW, alpn=PLAIN_HTTP, http=True), _Kind(transport=RAW))

_MATRIX = {
    MtlsMode.STRICT: (_STRICT_HTTP, _STRICT_TCP, _STRICT_AUTO),
    MtlsMode.PERMISSIVE: (_PERMISSIVE_HTTP, _PERMISSIVE_TCP, _PERMISSIVE_AUTO),
    MtlsMode.DISABLE: (_DISABLE_HTTP, _DISABLE_TCP, _DISABLE_AUTO),
}


def _kinds(mode: MtlsMode, protocol: Protocol) -> tuple[_Kind, ...]:
    http, tcp, auto = _MATRIX[mode]
    if protocol.auto:
        return auto
    return http if protocol.http else tcp


def inbound_listeners(view: View) -> Iterator[Generated]:
    """Real listeners, and the virtual one where traffic is captured."""
    ports = inbound_ports(view)
    for port in ports:
        if port.real:
            name = listener(port.bind, port.number)
            yield resource(name, _own(view, port))
    if view.captured:
        virtual = [port for port in ports if not port.real]
        key = ("virtual inbound", view.group, tuple(port.facts for port in virtual))
        yield view.world.memo(key, lambda: resource(VIRTUAL_INBOUND, _virtual(view, virtual)))


def _mode(view: View, number: int) -> MtlsMode:
    return workload_mode(view.proxy.namespace, view.proxy.labels, number, view.world)


def _own(view: View, port: InboundPort) -> Listener:
    """A listener of its own, for one port."""
    kinds = _kinds(_mode(view, port.number), port.protocol)
    out = Listener(
        name=listener(port.bind, port.number),
        address=address(port.bind, port.number),
        traffic_direction=base_pb2.INBOUND,
        continue_on_listener_filters_timeout=True,
        max_connections_to_accept_per_socket_event=UInt32Value(value=1),
        filter_chains=[_chain(view, port, kind) for kind in kinds],
    )
    out.listener_filters_timeout.FromTimedelta(view.world.mesh.protocol_detection_timeout)
    if any(kind.transport == TLS for kind in kinds):
        out.listener_filters.append(tls_inspector())
    if _sniffed(kinds):
        out.listener_filters.append(http_inspector())
    return out


def _sniffed(kinds: Iterable[_Kind]) -> bool:
    return any(kind.transport == RAW and kind.alpn for kind in kinds)


def _virtual(view: View, ports: Sequence[InboundPort]) -> Listener:
    """The listener of captured traffic; ports that no service has pass through."""
    rest = _kinds(_mode(view, 0), Protocol.UNSUPPORTED)
    hole = Chain(name="virtualInbound-blackhole", filters=[tcp_proxy(BLACK_HOLE)])
    hole.filter_chain_match.destination_port.value = INBOUND_PORT
    chosen = {port.number: _kinds(_mode(view, port.number), port.protocol) for port in ports}
    out = Listener(
        name=VIRTUAL_INBOUND,
        address=address("0.0.0.0", INBOUND_PORT),
        traffic_direction=base_pb2.INBOUND,
        continue_on_listener_filters_timeout=True,
        max_connections_to_accept_per_socket_event=UInt32Value(value=1),
        filter_chains=[
            hole,
            *(_passing(view, kind) for kind in rest),
            *(_chain(view, port, kind) for port in ports for kind in chosen[port.number]),
        ],
    )
    out.listener_filters_timeout.FromTimedelta(view.world.mesh.protocol_detection_timeout)
    out.listener_filters.append(original_dst())
    if view.proxy.interception is Interception.TPROXY:
        out.listener_filters.append(original_src())
    out.listener_filters.extend(_inspectors(chosen, rest))
    make_transparent(out, view)
    return out


def _inspectors(
    chosen: dict[int, tuple[_Kind, ...]], rest: tuple[_Kind, ...]
) -> Iterator[ListenerFilter]:
    """Bytes are looked at only on ports where that decides something."""
    secure = {port: any(k.transport == TLS for k in kinds) for port, kinds in chosen.items()}
    if any(kind.transport == TLS for kind in rest) or any(secure.values()):
        tls = tls_inspector()
        tls.filter_disabled.CopyFrom(except_ports(_quiet(secure)))
        yield tls
    sniffed = {port: _sniffed(kinds) for port, kinds in chosen.items()}
    if _sniffed(rest) or any(sniffed.values()):
        http = http_inspector()
        http.filter_disabled.CopyFrom(except_ports(_quiet(sniffed)))
        yield http


def _quiet(wanted: dict[int, bool]) -> list[int]:
    return [*sorted(port for port, on in wanted.items() if not on), INBOUND_PORT]


def _passing(view: View, kind: _Kind) -> Chain:
    name = "virtualInbound-catchall-http" if kind.http else VIRTUAL_INBOUND
    out = Chain(name=name)
    if kind.http:
        routes = _routes(INBOUND_PASSTHROUGH, "inbound|http|0", ":0/*", retries=True)
        out.filters.extend(_http(view, INBOUND_PASSTHROUGH, routes))
    else:
        out.filters.extend(_tcp(view, INBOUND_PASSTHROUGH))
    _match(out, view, kind, 0)
    return out


def _chain(view: View, port: InboundPort, kind: _Kind) -> Chain:
    cluster = inbound_cluster(port.number)
    name = listener(port.bind, port.number)
    out = Chain(name=name)
    if port.config_path:
        out.metadata.CopyFrom(config_metadata(port.config_path))
    if kind.http:
        host = f"inbound|http|{port.service_port}"
        operation = f"{port.owner}:{port.service_port}/*"
        retries = port.protocol not in (Protocol.GRPC, Protocol.GRPC_WEB)
        routes = _routes(cluster, host, operation, retries=retries)
        http2, web = port.protocol.http2, port.protocol is Protocol.GRPC_WEB
        out.filters.extend(_http(view, f"inbound_{name}", routes, http2=http2, grpc_web=web))
    else:
        out.filters.extend(_tcp(view, cluster))
    _match(out, view, kind, port.number)
    return out


def _match(out: Chain, view: View, kind: _Kind, port: int) -> None:
    match = Match(transport_protocol=kind.transport, application_protocols=kind.alpn)
    if port:
        match.destination_port.value = port
    out.filter_chain_match.CopyFrom(match)
    if kind.terminate:
        offered: tuple[str, ...] = OFFERED
        if view.world.istio_filters and not kind.http:
            offered = ("istio-peer-exchange", *OFFERED)
        out.transport_socket.CopyFrom(downstream_socket(view.world, offered))


def _tcp(view: View, cluster: str) -> list[Filter]:
    exchange = [network_exchange()] if view.world.istio_filters else []
    return [*exchange, *tcp_authorization(view), tcp_proxy(cluster)]


def _http(
    view: View,
    prefix: str,
    routes: rds_pb2.RouteConfiguration,
    *,
    http2: bool = False,
    grpc_web: bool = False,
) -> list[Filter]:
    hcm = manager(view, prefix)
    if http2:
        hcm.http2_protocol_options.SetInParent()
    hcm.route_config.CopyFrom(routes)
    hcm.http_filters.extend(
        http_filters(view, inbound=True, security=http_authorization(view), grpc_web=grpc_web)
    )
    hcm.server_name = "istio-envoy"
    hcm.forward_client_cert_details = _Manager.APPEND_FORWARD
    details = _Manager.SetCurrentClientCertDetails(
        subject=BoolValue(value=True), dns=True, uri=True
    )
    hcm.set_current_client_cert_details.CopyFrom(details)
    exchange = [network_exchange()] if view.world.istio_filters else []
    return [*exchange, as_network_filter(hcm)]


def _routes(
    cluster: str, host: str, operation: str, *, retries: bool
) -> rds_pb2.RouteConfiguration:
    """Everything to the workload. A request that the application never saw may be sent again."""
    action = route_pb2.RouteAction(cluster=cluster)
    action.timeout.SetInParent()
    action.max_stream_duration.max_stream_duration.SetInParent()
    action.max_stream_duration.grpc_timeout_header_max.SetInParent()
    if retries:
        action.retry_policy.retry_on = "reset-before-request"
        action.retry_policy.num_retries.value = 2
    route = route_pb2.Route(
        name="default",
        match=route_pb2.RouteMatch(prefix="/"),
        decorator=route_pb2.Decorator(operation=operation),
        route=action,
    )
    return rds_pb2.RouteConfiguration(
        name=cluster,
        validate_clusters=BoolValue(value=False),
        virtual_hosts=[route_pb2.VirtualHost(name=host, domains=["*"], routes=[route])],
    )
