# SPDX-License-Identifier: Apache-2.0
"""Services and their endpoints, as ServiceEntry and WorkloadEntry describe them. Pure. Source: spec/upstream.md 6.

The model is Istio's: one service for each host and address of a ServiceEntry, endpoints by service port, and the
way back from a workload's address to the services that it is part of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from mesh.identity import Identity
from upstream.config.objects import Kind, Object
from upstream.config.problems import is_ip
from upstream.config.service_entry import Location, Resolution, ServiceEntry, WorkloadEntry
from upstream.config.shared import Port, Protocol
from upstream.world import World

TLS_MODE_LABEL = "security.istio.io/tlsMode"
TLS_MODE_ISTIO = "istio"
TLS_MODE_DISABLED = "disabled"
ANY_ADDRESS = "0.0.0.0"
EVERYONE = "*"
OWN_NAMESPACE = "."
NOBODY = "~"


class Discovery(StrEnum):
    """Where a proxy takes a service's addresses from."""

    EDS = "EDS"
    STRICT_DNS = "STRICT_DNS"
    LOGICAL_DNS = "LOGICAL_DNS"
    PASSTHROUGH = "PASSTHROUGH"


_DISCOVERY = {
    Resolution.NONE: Discovery.PASSTHROUGH,
    Resolution.STATIC: Discovery.EDS,
    Resolution.DNS: Discovery.STRICT_DNS,
    Resolution.DNS_ROUND_ROBIN: Discovery.LOGICAL_DNS,
    Resolution.DYNAMIC_DNS: Discovery.STRICT_DNS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """A port that clients name."""

    name: str
    number: int
    protocol: Protocol
    target_port: int = 0

    @classmethod
    def of(cls, port: Port) -> Self:
        return cls(
            name=port.name,
            number=port.number,
            protocol=Protocol.parse(port.protocol),
            target_port=port.target_port or port.number,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address of one service port."""

    address: str
    port: int
    port_name: str
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    service_account: str = ""
    """A SPIFFE id, empty where nobody named one."""
    network: str = ""
    locality: str = ""
    weight: int = 0
    workload: str = ""

    @property
    def tls_mode(self) -> str:
        """As its label says; one that has an identity is in the mesh."""
        known = TLS_MODE_ISTIO if self.service_account else TLS_MODE_DISABLED
        return self.labels.get(TLS_MODE_LABEL, known)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Service:
    """A host with one address; compared by identity, as it lives and dies with its registry."""

    hostname: str
    namespace: str
    address: str
    ports: tuple[ServicePort, ...]
    discovery: Discovery
    external: bool
    export_to: frozenset[str]
    subject_alt_names: tuple[str, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def has_address(self) -> bool:
        """Whether clients see an address of its own."""
        return self.address != ANY_ADDRESS

    @property
    def virtual_ip(self) -> str:
        """Its address where that is one and not a network, else empty."""
        return self.address if self.has_address and is_ip(self.address) else ""

    def port(self, number: int) -> ServicePort | None:
        return next((port for port in self.ports if port.number == number), None)

    def endpoints_of(self, port: ServicePort) -> Iterator[Endpoint]:
        return (one for one in self.endpoints if one.port_name == port.name)

    def visible_to(self, namespace: str) -> bool:
        """Whether exportTo lets ``namespace`` see it."""
        return exported(self.export_to, self.namespace, namespace)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """A port of a service that a workload serves."""

    service: Service
    port: ServicePort
    target_port: int


class Registry:
    """All services in Istio's order, and indexes of them."""

    __slots__ = ("_by_address", "by_host", "services")

    def __init__(self, services: tuple[Service, ...]) -> None:
        self.services = services
        self.by_host: dict[str, tuple[Service, ...]] = _grouped(services)
        self._by_address = _targets(services)

    @classmethod
    def of(cls, world: World) -> Registry:
        """The registry of ``world``, built once."""
        return world.memo("registry", lambda: cls(tuple(_services(world))))

    def targets(self, addresses: tuple[str, ...]) -> tuple[Target, ...]:
        """What a workload with these addresses serves."""
        return tuple(t for address in addresses for t in self._by_address.get(address, ()))

    def service_accounts(self, hostname: str, port: int) -> tuple[str, ...]:
        """Identities that may answer for a port of a host, sorted."""
        found: set[str] = set()
        for service in self.by_host.get(hostname, ()):
            service_port = service.port(port)
            if service_port is None:
                continue
            found.update(service.subject_alt_names)
            found.update(one.service_account for one in service.endpoints_of(service_port))
        return tuple(sorted(found - {""}))


def exported(export_to: frozenset[str], owner: str, namespace: str) -> bool:
    """Whether an object of ``owner`` with this exportTo is seen in ``namespace``; empty is everyone."""
    if not export_to or EVERYONE in export_to:
        return True
    if NOBODY in export_to:
        return False
    return namespace in export_to or (OWN_NAMESPACE in export_to and namespace == owner)


def _services(world: World) -> Iterator[Service]:
    """By name, which for these services is the host, then namespace; the object's own age first."""
    found = [
        ((one.created, service.hostname, service.namespace), service)
        for one in world.objects(Kind.SERVICE_ENTRY)
        for service in _of_entry(one, world)
    ]
    return (service for _, service in sorted(found, key=lambda pair: pair[0]))


def _of_entry(one: Object[ServiceEntry], world: World) -> Iterator[Service]:
    spec = one.spec
    ports = tuple(ServicePort.of(port) for port in spec.ports)
    for host in spec.hosts:
        endpoints = tuple(_endpoints(one, host, ports, world))
        for address in spec.addresses or (ANY_ADDRESS,):
            yield Service(
                hostname=host,
                namespace=one.namespace,
                address=_plain(address),
                ports=ports,
                discovery=_DISCOVERY[spec.resolution],
                external=spec.location is Location.MESH_EXTERNAL,
                export_to=frozenset(spec.export_to),
                subject_alt_names=spec.subject_alt_names,
                endpoints=endpoints,
            )


def _plain(address: str) -> str:
    """A network of one address is that address."""
    host, slash, bits = address.partition("/")
    single = "128" if ":" in host else "32"
    return host if slash and bits == single else address


def _endpoints(
    one: Object[ServiceEntry], host: str, ports: tuple[ServicePort, ...], world: World
) -> Iterator[Endpoint]:
    spec = one.spec
    if spec.workload_selector is not None:
        for entry in _selected(spec.workload_selector.labels, one.namespace, world):
            labels = {**entry.labels, **entry.spec.labels}
            yield from _of_workload(entry.spec, labels, entry.name, entry.namespace, ports, world)
        return
    for index, inline in enumerate(spec.endpoints):
        name = f"{one.name}-{index}"
        yield from _of_workload(inline, inline.labels, name, one.namespace, ports, world)
    dns = _DISCOVERY[spec.resolution] in (Discovery.STRICT_DNS, Discovery.LOGICAL_DNS)
    if dns and not spec.endpoints and not host.startswith("*"):
        for port in ports:
            yield Endpoint(
                address=host,
                port=port.target_port,
                port_name=port.name,
                namespace=one.namespace,
                workload=one.name,
            )


def _selected(
    labels: Mapping[str, str], namespace: str, world: World
) -> Iterator[Object[WorkloadEntry]]:
    for entry in world.objects(Kind.WORKLOAD_ENTRY):
        mine = {**entry.labels, **entry.spec.labels}
        if entry.namespace == namespace and labels.items() <= mine.items():
            yield entry


def _of_workload(
    entry: WorkloadEntry,
    labels: Mapping[str, str],
    name: str,
    namespace: str,
    ports: tuple[ServicePort, ...],
    world: World,
) -> Iterator[Endpoint]:
    account = entry.service_account
    identity = Identity(
        trust_domain=world.mesh.trust_domain, namespace=namespace, service_account=account
    )
    for port in ports:
        unix = entry.address.startswith("unix://")
        yield Endpoint(
            address=entry.address,
            port=0 if unix else entry.ports.get(port.name) or port.target_port,
            port_name=port.name,
            namespace=namespace,
            labels=labels,
            service_account=str(identity) if account else "",
            network=entry.network,
            locality=entry.locality,
            weight=entry.weight,
            workload=name,
        )


def _grouped(services: tuple[Service, ...]) -> dict[str, tuple[Service, ...]]:
    groups: dict[str, list[Service]] = defaultdict(list)
    for service in services:
        groups[service.hostname].append(service)
    return {host: tuple(group) for host, group in groups.items()}


def _targets(services: tuple[Service, ...]) -> dict[str, list[Target]]:
    index: dict[str, list[Target]] = defaultdict(list)
    for service in services:
        for port in service.ports:
            for endpoint in service.endpoints_of(port):
                target = Target(service=service, port=port, target_port=endpoint.port)
                index[endpoint.address].append(target)
    return dict(index)
