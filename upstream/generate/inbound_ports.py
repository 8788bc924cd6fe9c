# SPDX-License-Identifier: Apache-2.0
"""The ports at which a workload is reached: from its Sidecar, else from the services it is part of. Pure.

Source: spec/upstream.md 7.5, 21.1; istio pilot/pkg/networking/core/listener_inbound.go.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, fields

from upstream.config.destination_rule import ConnectionPool
from upstream.config.shared import Protocol
from upstream.config.sidecar import CaptureMode, Ingress, ServerTls
from upstream.generate.view import View
from upstream.registry import Service, ServicePort

ANY = "0.0.0.0"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InboundPort:
    """One port of the workload."""

    number: int
    protocol: Protocol
    name: str
    bind: str
    real: bool
    """Whether it is a listener of its own instead of a part of the virtual one."""
    service_port: int
    """The port by which clients know it."""
    owner: str
    """What its routes call it: the service's host, or the Sidecar's ``name.namespace``."""
    services: tuple[Service, ...] = ()
    endpoint: str = ""
    """Where the application listens when that is not the port itself."""
    tls: ServerTls | None = None
    pool: ConnectionPool | None = None
    config_path: str = ""

    @property
    def facts(self) -> Hashable:
        """All of it: ports of two workloads that agree in it are the same port of the same services."""
        return tuple(getattr(self, one.name) for one in fields(self))

    @property
    def as_service_port(self) -> ServicePort:
        """The port as policies look at it."""
        return ServicePort(name=self.name, number=self.service_port, protocol=self.protocol)


def inbound_ports(view: View) -> list[InboundPort]:
    """By port number. A Sidecar's ingress replaces what services say; without capture only it counts."""
    sidecar = view.scope.sidecar
    if sidecar and sidecar.spec.ingress:
        path = f"/apis/networking.istio.io/v1/namespaces/{sidecar.namespace}/sidecar/{sidecar.name}"
        owner = f"{sidecar.name}.{sidecar.namespace}"
        found = [_ingress(view, entry, owner, path) for entry in sidecar.spec.ingress]
    elif view.captured:
        found = list(_from_services(view))
    else:
        found = []
    return sorted(found, key=lambda port: port.number)


def _ingress(view: View, entry: Ingress, owner: str, path: str) -> InboundPort:
    port = entry.port
    if port is None:
        raise ValueError("BUG: the check of Sidecar asks for a port")
    real = entry.capture_mode is CaptureMode.NONE or not view.captured
    return InboundPort(
        number=port.number,
        protocol=Protocol.parse(port.protocol),
        name=port.name,
        bind=entry.bind or view.proxy.ip,
        real=real,
        service_port=port.number,
        owner=owner,
        services=tuple(
            dict.fromkeys(t.service for t in view.targets if t.target_port == port.number)
        ),
        endpoint=entry.default_endpoint,
        tls=entry.tls,
        pool=entry.connection_pool,
        config_path=path,
    )


def _from_services(view: View) -> Iterator[InboundPort]:
    """The oldest service decides about a port that several share."""
    sharing: dict[int, dict[Service, None]] = {}
    for target in view.targets:
        sharing.setdefault(target.target_port, {})[target.service] = None
    seen: set[int] = set()
    for target in view.targets:
        if target.target_port in seen or target.port.protocol is Protocol.UDP:
            continue
        seen.add(target.target_port)
        yield InboundPort(
            number=target.target_port,
            protocol=target.port.protocol,
            name=target.port.name,
            bind=ANY,
            real=False,
            service_port=target.port.number,
            owner=target.service.hostname,
            services=tuple(sharing[target.target_port]),
        )
