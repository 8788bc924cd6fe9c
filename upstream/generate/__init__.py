# SPDX-License-Identifier: Apache-2.0
"""Envoy resources for one proxy from one world, named and shaped as Istio's. Pure.

One file a subject; each knows its Envoy messages and nothing of sockets. ``generate`` is the only way in. What
several proxies share is serialized once and kept with the world. Source: spec/upstream.md 5, 7, 21.
"""

from upstream.generate.dispatch import TYPES, generate
from upstream.generate.resource import Generated

__all__ = ["TYPES", "Generated", "generate"]
