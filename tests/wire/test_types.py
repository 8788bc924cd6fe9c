# SPDX-License-Identifier: Apache-2.0
"""Names of types: short ones for logs, and the order of pushes."""

from __future__ import annotations

from wire import types


def test_short_names() -> None:
    assert types.short_name(types.CLUSTER) == "CDS"
    assert types.short_name("type.googleapis.com/a.b.Thing") == "Thing"
    assert types.short_name("") == ""


def test_push_order_makes_before_it_breaks() -> None:
    order = types.PUSH_ORDER.index
    assert order(types.CLUSTER) < order(types.ENDPOINT) < order(types.LISTENER) < order(types.ROUTE)
