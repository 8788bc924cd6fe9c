# SPDX-License-Identifier: Apache-2.0
"""Parts of listeners that both directions use. Pure. Source: spec/upstream.md 7.3, 7.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.listener.original_src.v3 import original_src_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.type.v3 import range_pb2
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from upstream.generate.resource import packed
from upstream.generate.view import View
from upstream.proxy import Interception

TCP_PROXY = "envoy.filters.network.tcp_proxy"
HTTP_INSPECTOR = "envoy.filters.listener.http_inspector"
TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"
ORIGINAL_DST = "envoy.filters.listener.original_dst"
ORIGINAL_SRC = "envoy.filters.listener.original_src"
MARK = 1337
RAW = "raw_buffer"
TLS = "tls"
PLAIN_HTTP = ("http/1.1", "h2c")

Chain: TypeAlias = listener_components_pb2.FilterChain
Match: TypeAlias = listener_components_pb2.FilterChainMatch
Filter: TypeAlias = listener_components_pb2.Filter
ListenerFilter: TypeAlias = listener_components_pb2.ListenerFilter
Listener: TypeAlias = listener_pb2.Listener


def tcp_proxy(cluster: str) -> Filter:
    """Hands the bytes to ``cluster``."""
    config = tcp_proxy_pb2.TcpProxy(stat_prefix=cluster, cluster=cluster)
    return Filter(name=TCP_PROXY, typed_config=packed(config))


def http_inspector() -> ListenerFilter:
    """Tells HTTP from the rest."""
    config = packed(http_inspector_pb2.HttpInspector())
    return ListenerFilter(name=HTTP_INSPECTOR, typed_config=config)


def tls_inspector() -> ListenerFilter:
    """A small first read saves memory: only ALPN and SNI matter."""
    inspector = tls_inspector_pb2.TlsInspector(initial_read_buffer_size=UInt32Value(value=512))
    return ListenerFilter(name=TLS_INSPECTOR, typed_config=packed(inspector))


def original_dst() -> ListenerFilter:
    """Restores the address that the client meant."""
    config = packed(original_dst_pb2.OriginalDst())
    return ListenerFilter(name=ORIGINAL_DST, typed_config=config)


def original_src() -> ListenerFilter:
    """Upstream connections keep the client's address; the mark is the one that capture rules know."""
    config = packed(original_src_pb2.OriginalSrc(mark=MARK))
    return ListenerFilter(name=ORIGINAL_SRC, typed_config=config)


def make_transparent(out: Listener, view: View) -> None:
    """TPROXY hands over connections to addresses that are not ours."""
    if view.proxy.interception is Interception.TPROXY:
        out.transparent.CopyFrom(BoolValue(value=True))


def except_ports(ports: Sequence[int]) -> listener_components_pb2.ListenerFilterChainMatchPredicate:
    """True at these ports, where an inspector is then not run."""
    predicate = listener_components_pb2.ListenerFilterChainMatchPredicate
    rules = [predicate(destination_port_range=_range(port)) for port in ports]
    if len(rules) == 1:
        return rules[0]
    return predicate(or_match=predicate.MatchSet(rules=rules))


def _range(port: int) -> range_pb2.Int32Range:
    return range_pb2.Int32Range(start=port, end=port + 1)
