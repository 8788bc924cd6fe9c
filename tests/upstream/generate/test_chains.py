# SPDX-License-Identifier: Apache-2.0
"""Parts of listeners that both directions use."""

from __future__ import annotations

import pytest
from envoy.extensions.filters.listener.original_src.v3.original_src_pb2 import OriginalSrc
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from tests.upstream.generate.made import plain
from tests.upstream.support import sidecar, world
from upstream.generate import chains
from upstream.generate.view import view_of
from upstream.proxy import Interception


def test_a_cluster_for_the_bytes() -> None:
    made, inside = chains.tcp_proxy("c"), TcpProxy()
    assert made.typed_config.Unpack(inside)
    assert plain(inside) == {"statPrefix": "c", "cluster": "c"}


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (chains.http_inspector(), "http_inspector"),
        (chains.tls_inspector(), "tls_inspector"),
        (chains.original_dst(), "original_dst"),
        (chains.original_src(), "original_src"),
    ],
)
def test_listener_filters(made: chains.ListenerFilter, name: str) -> None:
    assert made.name == f"envoy.filters.listener.{name}"
    assert made.typed_config.type_url


def test_the_mark_is_the_one_that_capture_rules_know() -> None:
    inside = OriginalSrc()
    assert chains.original_src().typed_config.Unpack(inside)
    assert inside.mark == 1337


@pytest.mark.parametrize(
    ("mode", "transparent"), [(Interception.TPROXY, True), (Interception.REDIRECT, False)]
)
def test_transparency(mode: Interception, *, transparent: bool) -> None:
    made = chains.Listener()
    chains.make_transparent(made, view_of(sidecar(interception=mode), world()))
    assert made.transparent.value is transparent


def test_ports_at_which_nobody_looks() -> None:
    (one,) = [chains.except_ports([80])]
    assert plain(one) == {"destinationPortRange": {"start": 80, "end": 81}}
    several = plain(chains.except_ports([80, 90]))["orMatch"]["rules"]
    assert [rule["destinationPortRange"]["start"] for rule in several] == [80, 90]
