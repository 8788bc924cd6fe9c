# SPDX-License-Identifier: Apache-2.0
"""Names of the clusters whose endpoints come by EDS, for a proxy that has not named them. Pure."""

from __future__ import annotations

from upstream.config.shared import Protocol
from upstream.generate.destination_rules import NOTHING, rule_for
from upstream.generate.discovery import discovery_of
from upstream.generate.names import outbound_cluster
from upstream.generate.view import View
from upstream.registry import Discovery


def eds_names(view: View) -> list[str]:
    """In the order of the clusters."""
    names: dict[str, None] = {}
    for service in view.scope.services:
        rule = rule_for(view.proxy, service, view.world)
        for port in service.ports:
            if port.protocol is Protocol.UDP:
                continue
            for subset in (None, *(rule.subsets if rule else ())):
                policy = rule.policy_for(port, subset) if rule else NOTHING
                if discovery_of(view, service, policy) is not Discovery.EDS:
                    continue
                name = outbound_cluster(
                    port.number, subset.name if subset else "", service.hostname
                )
                names[name] = None
    return list(names)
