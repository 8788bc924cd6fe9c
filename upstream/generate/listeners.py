# SPDX-License-Identifier: Apache-2.0
"""LDS: outbound listeners, then inbound. Pure. Source: spec/upstream.md 7.3, 7.5."""

from __future__ import annotations

from upstream.generate.listeners_inbound import inbound_listeners
from upstream.generate.listeners_outbound import outbound_listeners
from upstream.generate.resource import Generated
from upstream.generate.view import View


def listeners(view: View) -> list[Generated]:
    """Routers get theirs from Gateways, which are not acted on yet."""
    if view.router:
        return []
    return [*outbound_listeners(view), *inbound_listeners(view)]
