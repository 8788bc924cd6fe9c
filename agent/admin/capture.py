# SPDX-License-Identifier: Apache-2.0
"""Which capture rules this pod should have, and why each: planned from what the agent was told of its pod. Pure.

The rules themselves are the init container's or the CNI plugin's, and only root may read them; the agent plans anew
what the injector's template asks for by annotation. Whether the kernel does so is ``agent.status.capture``'s question.
Source: DESIGN 2 (the agent may plan); peer: the injection template's arguments of istio-init.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from iptables.config import ALL, TPROXY, CaptureConfig, Ranges
from iptables.plan import plan
from iptables.rules import Family
from mesh import ports
from mesh.nodemeta import NO_INTERCEPTION, interception_mode

SOURCE = "planned from annotations and environment; defaults where neither says anything"
_TRAFFIC = "traffic.sidecar.istio.io"
_ALWAYS_OUT = (str(ports.ENVOY_PROMETHEUS), str(ports.ENVOY_STATUS))
"""Ports of the proxy itself, which the injector excludes for everybody."""
_TRUE = ("true", "True", "1")


def intended(
    metadata: Mapping[str, Any],
    annotations: Mapping[str, str],
    *,
    status_port: int,
    addresses: Sequence[str],
) -> CaptureConfig:
    """What the injector would have asked for."""

    def listed(name: str, default: str = "") -> tuple[str, ...]:
        text = annotations.get(f"{_TRAFFIC}/{name}", default)
        return tuple(each.strip() for each in text.split(",") if each.strip())

    dual_stack = str(metadata.get("DUAL_STACK", "")) in _TRUE
    excluded = listed("excludeInboundPorts")
    return CaptureConfig(
        mode=TPROXY if interception_mode(metadata) == TPROXY else "REDIRECT",
        inbound_ports=listed("includeInboundPorts", ALL),
        inbound_ports_exclude=tuple(
            dict.fromkeys([*_ALWAYS_OUT, *([str(status_port)] if status_port else []), *excluded])
        ),
        outbound_ports=listed("includeOutboundPorts"),
        outbound_ports_exclude=listed("excludeOutboundPorts"),
        outbound=_ranges(listed("includeOutboundIPRanges", ALL)),
        outbound_exclude=_ranges(listed("excludeOutboundIPRanges")),
        exclude_interfaces=listed("excludeInterfaces"),
        virtual_interfaces=listed("kubevirtInterfaces"),
        drop_invalid=str(metadata.get("INVALID_DROP", "")) in _TRUE,
        ipv6=any(":" in each for each in (addresses if dual_stack else addresses[:1])),
        dual_stack=dual_stack,
    )


def _ranges(given: tuple[str, ...]) -> Ranges:
    if given == (ALL,):
        return Ranges(everything=True)
    return Ranges(
        v4=tuple(each for each in given if ":" not in each),
        v6=tuple(each for each in given if ":" in each),
    )


def told(
    metadata: Mapping[str, Any],
    annotations: Mapping[str, str],
    *,
    status_port: int,
    addresses: Sequence[str],
) -> dict[str, object]:
    """The answer of the endpoint: mode, where this is known from, rules in the order of the kernel."""
    mode = interception_mode(metadata)
    if mode == NO_INTERCEPTION:
        return {"mode": mode, "source": SOURCE, "notes": [], "rules": []}
    config = intended(metadata, annotations, status_port=status_port, addresses=addresses)
    planned = plan(config)
    dns = str(metadata.get("DNS_CAPTURE", "")) in _TRUE
    notes = ["DNS is captured, too: its rules depend on the init container's resolv.conf"]
    return {
        "mode": mode,
        "source": SOURCE,
        "notes": notes if dns else [],
        "rules": [
            {
                "family": str(family),
                "table": str(rule.table),
                "chain": rule.chain,
                "rule": rule.text,
                "why": rule.why,
            }
            for family in Family
            for rule in planned.of(family)
        ],
    }
