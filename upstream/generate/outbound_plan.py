# SPDX-License-Identifier: Apache-2.0
"""Which outbound listeners a proxy has, and what shares them; no Envoy messages yet. Pure.

HTTP ports of all services share ``0.0.0.0_<port>``; TCP ports have a listener on their service's address, or share
the wildcard one where a network or a server name tells them apart. Source: spec/upstream.md 7.3, 21.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from upstream.config.shared import Protocol
from upstream.config.sidecar import CaptureMode
from upstream.generate.names import UNIX, listener
from upstream.generate.scope import EgressListener
from upstream.generate.tcp_routes import TcpChain, tcp_chains
from upstream.generate.view import View
from upstream.registry import ANY_ADDRESS, Service, ServicePort

LOOPBACK = "127.0.0.1"
RESERVED = frozenset({15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090})
"""Envoy's own listeners and the agent's."""


@dataclass(slots=True, kw_only=True, eq=False)
class Planned:
    """One listener."""

    bind: str
    port: int
    real: bool
    shared: bool
    """Whether it is bound to every address, so that traffic for no service arrives too."""
    route: str = ""
    """The name of its route configuration, when it speaks HTTP."""
    grpc_web: bool = False
    """Whether browsers' gRPC is translated."""
    chains: list[TcpChain] = field(default_factory=list)

    @property
    def name(self) -> str:
        return listener(self.bind, self.port)

    def add(self, chains: Iterable[TcpChain]) -> None:
        """Of two that nothing tells apart the oldest stays (peer)."""
        taken = {match for chain in self.chains for match in chain.matches}
        for chain in chains:
            for rest in chain.without(taken):
                self.chains.append(rest)
                taken |= rest.matches


def outbound_plan(view: View) -> list[Planned]:
    """By name. Sidecar listeners with a port come first and keep their address for themselves."""
    plan: dict[str, Planned] = {}
    for egress in view.scope.egress:
        if egress.port is not None:
            one = _explicit(view, egress)
            if one.route or one.chains:  # Envoy takes no listener that leads nowhere
                plan.setdefault(one.name, one)
    locked = frozenset(plan)
    for egress in view.scope.egress:
        if egress.port is None:
            for service in egress.services:
                for port in service.ports:
                    _place(view, egress, service, port, plan, locked)
    return [plan[name] for name in sorted(plan)]


def route_names(view: View) -> list[str]:
    """The route configurations that the listeners refer to."""
    return sorted({one.route for one in outbound_plan(view) if one.route})


def _real(view: View, egress: EgressListener) -> bool:
    return egress.capture is CaptureMode.NONE or (
        egress.capture is CaptureMode.DEFAULT and not view.captured
    )


def _explicit(view: View, egress: EgressListener) -> Planned:
    port = egress.port
    if port is None:
        raise ValueError("BUG: the caller looked for a port")
    real = _real(view, egress)
    bind = egress.bind or (LOOPBACK if real else ANY_ADDRESS)
    one = Planned(bind=bind, port=port.number, real=real, shared=bind == ANY_ADDRESS)
    protocol = Protocol.parse(port.protocol)
    if protocol.http or protocol.auto:
        one.route = bind if bind.startswith(UNIX) else str(port.number)
        return one
    for service in egress.services:
        only = service.ports[0] if len(service.ports) == 1 else None
        service_port = service.port(port.number) or only  # peer: a listener's port may be its own
        if service_port:
            one.add(tcp_chains(view, service, service_port))
    return one


def _place(
    view: View,
    egress: EgressListener,
    service: Service,
    port: ServicePort,
    plan: dict[str, Planned],
    locked: frozenset[str],
) -> None:
    """Find or make the listener of a service port, and add the port to it."""
    real = _real(view, egress)
    if port.protocol is Protocol.UDP or port.number in RESERVED:
        return
    if real and port.number < 1024 and view.proxy.metadata.get("UNPRIVILEGED_POD") == "true":
        return
    bind = _bind(service, port, real=real)
    name = listener(bind, port.number)
    if name in locked or listener(ANY_ADDRESS, port.number) in locked:
        return
    fresh = Planned(bind=bind, port=port.number, real=real, shared=bind == ANY_ADDRESS)
    _join(view, plan.setdefault(name, fresh), service, port)


def _bind(service: Service, port: ServicePort, *, real: bool) -> str:
    if real:
        return LOOPBACK
    return ANY_ADDRESS if port.protocol.http else service.virtual_ip or ANY_ADDRESS


def _join(view: View, one: Planned, service: Service, port: ServicePort) -> None:
    if port.protocol.http:
        one.grpc_web = port.protocol is Protocol.GRPC_WEB if not one.route else one.grpc_web
        one.route = str(port.number)
        return
    if port.protocol.auto:
        alone = not one.shared and not one.real
        one.route = f"{service.hostname}:{port.number}" if alone else str(port.number)
    one.add(tcp_chains(view, service, port))
