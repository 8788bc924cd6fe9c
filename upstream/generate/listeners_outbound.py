# SPDX-License-Identifier: Apache-2.0
"""LDS, outbound: the planned listeners, and the one that captured traffic arrives at. Pure.

Source: spec/upstream.md 7.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from upstream.config.sidecar import OutboundMode
from upstream.generate.addresses import address
from upstream.generate.chains import (
    PLAIN_HTTP,
    RAW,
    Chain,
    Filter,
    Listener,
    Match,
    http_inspector,
    make_transparent,
    tcp_proxy,
    tls_inspector,
)
from upstream.generate.http_connection import as_network_filter, http_filters, manager
from upstream.generate.metadata import config_metadata
from upstream.generate.names import (
    BLACK_HOLE,
    OUTBOUND_PORT,
    PASSTHROUGH,
    VIRTUAL_OUTBOUND,
)
from upstream.generate.outbound_plan import Planned, outbound_plan
from upstream.generate.resource import Generated, resource
from upstream.generate.tcp_routes import TcpChain, tcp_filter
from upstream.generate.telemetry import network_exchange
from upstream.generate.view import View

CONNECT_TIMEOUT = Duration(seconds=15)
"""For the transport socket's handshake with the client."""
CATCH_ALL = "PassthroughFilterChain"


def outbound_listeners(view: View) -> tuple[Generated, ...]:
    """Planned listeners, and the virtual one where traffic is captured; made once for proxies of a kind."""
    return view.world.memo(("outbound listeners", view.group), lambda: tuple(_all(view)))


def _all(view: View) -> Iterator[Generated]:
    for one in outbound_plan(view):
        yield resource(one.name, _listener(view, one))
    if view.captured:
        yield resource(VIRTUAL_OUTBOUND, _virtual(view))


def _listener(view: View, one: Planned) -> Listener:
    out = Listener(
        name=one.name,
        address=address(one.bind, one.port),
        traffic_direction=base_pb2.OUTBOUND,
        continue_on_listener_filters_timeout=True,
    )
    out.listener_filters_timeout.FromTimedelta(view.world.mesh.protocol_detection_timeout)
    if one.real:
        out.max_connections_to_accept_per_socket_event.CopyFrom(UInt32Value(value=1))
    else:
        out.bind_to_port.CopyFrom(BoolValue(value=False))
    sniffed = bool(one.route) and (bool(one.chains) or not one.real)
    if one.route:
        out.filter_chains.append(_http_chain(view, one, sniffed=sniffed))
    several = bool(one.route) or len(one.chains) > 1
    for chain in one.chains:
        made = _tcp_chain(view, chain)
        if several and chain.unmatched:
            out.default_filter_chain.CopyFrom(made)
        else:
            out.filter_chains.append(made)
    open_end = all(not chain.unmatched for chain in one.chains)
    if one.shared and not one.real and open_end:
        out.default_filter_chain.CopyFrom(_catch_all(view))
    if any(chain.server_names for chain in one.chains):
        out.listener_filters.append(tls_inspector())
    if sniffed:
        out.listener_filters.append(http_inspector())
    return out


def _http_chain(view: View, one: Planned, *, sniffed: bool) -> Chain:
    hcm = manager(view, f"outbound_{one.name}")
    hcm.rds.route_config_name = one.route
    hcm.rds.config_source.CopyFrom(_ads())
    hcm.http_filters.extend(http_filters(view, inbound=False, grpc_web=one.grpc_web))
    chain = Chain(
        filters=[*_exchange(view), as_network_filter(hcm)],
        transport_socket_connect_timeout=CONNECT_TIMEOUT,
    )
    if sniffed:
        match = Match(transport_protocol=RAW, application_protocols=PLAIN_HTTP)
        chain.filter_chain_match.CopyFrom(match)
    return chain


def _ads() -> config_source_pb2.ConfigSource:
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        initial_fetch_timeout=Duration(),
        resource_api_version=config_source_pb2.V3,
    )


def _tcp_chain(view: View, chain: TcpChain) -> Chain:
    out = Chain(
        filters=[*_exchange(view), tcp_filter(view, chain)],
        transport_socket_connect_timeout=CONNECT_TIMEOUT,
    )
    if not chain.unmatched:
        ranges = [_cidr(network) for network in chain.networks]
        match = Match(server_names=chain.server_names, prefix_ranges=ranges)
        out.filter_chain_match.CopyFrom(match)
    if chain.routing and chain.server_names:
        out.metadata.CopyFrom(config_metadata(chain.routing.config_path))
    return out


def _cidr(text: str) -> address_pb2.CidrRange:
    network = ip_network(text, strict=False)
    length = UInt32Value(value=network.prefixlen)
    return address_pb2.CidrRange(address_prefix=str(network.network_address), prefix_len=length)


def _exchange(view: View) -> list[Filter]:
    return [network_exchange()] if view.world.istio_filters else []


def _catch_all(view: View) -> Chain:
    chain = Chain(name=CATCH_ALL, filters=[tcp_proxy(_unknown(view))])
    chain.filter_chain_match.SetInParent()
    return chain


def _unknown(view: View) -> str:
    """The cluster for destinations that no service has."""
    only_known = view.scope.outbound.mode is OutboundMode.REGISTRY_ONLY
    return BLACK_HOLE if only_known else PASSTHROUGH


def _virtual(view: View) -> Listener:
    """Where captured connections arrive before they are handed to the listener of their destination."""
    hole = Chain(name="virtualOutbound-blackhole", filters=[tcp_proxy(BLACK_HOLE)])
    hole.filter_chain_match.destination_port.value = OUTBOUND_PORT
    rest = Chain(name="virtualOutbound-catchall-tcp", filters=[tcp_proxy(_unknown(view))])
    out = Listener(
        name=VIRTUAL_OUTBOUND,
        address=address("0.0.0.0", OUTBOUND_PORT),
        traffic_direction=base_pb2.OUTBOUND,
        use_original_dst=BoolValue(value=True),
        max_connections_to_accept_per_socket_event=UInt32Value(value=1),
        filter_chains=[hole, rest],
    )
    make_transparent(out, view)
    return out
