# SPDX-License-Identifier: Apache-2.0
"""Where one proxy takes the addresses of a service from, which decides its clusters and what it asks EDS for. Pure.

Source: spec/upstream.md 7.1.
"""

from __future__ import annotations

from upstream.config.destination_rule import Balance, TrafficPolicy
from upstream.generate.view import View
from upstream.registry import Discovery, Service


def discovery_of(view: View, service: Service, policy: TrafficPolicy) -> Discovery:
    """As the service says, but traffic has an original destination only where a sidecar caught it."""
    balancer = policy.load_balancer
    if balancer and balancer.simple is Balance.PASSTHROUGH and not view.router:
        return Discovery.PASSTHROUGH
    if service.discovery is Discovery.PASSTHROUGH and view.router:
        return Discovery.EDS
    return service.discovery
