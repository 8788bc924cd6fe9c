# SPDX-License-Identifier: Apache-2.0
"""What istiod refuses in a ServiceEntry and a WorkloadEntry though every field has the right type. Pure.

Source: istio pkg/config/validation ValidateServiceEntry, ValidateWorkloadEntry; spec/upstream.md 6.3, 8.3.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from upstream.config.problems import (
    UNIX,
    Problem,
    export_problems,
    host_problems,
    is_ip,
    is_network,
    is_socket_path,
    label_problems,
    port_problems,
)
from upstream.config.service_entry import Resolution, ServiceEntry, WorkloadEntry
from upstream.config.shared import Port, Protocol

PORT_NAME = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?")
_DNS = (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
_FIXED = (Resolution.NONE, Resolution.STATIC)


def check_service_entry(spec: ServiceEntry) -> Iterator[Problem]:
    """What is wrong with hosts, addresses, ports and endpoints."""
    if not spec.hosts:
        yield Problem("hosts", "missing", "name at least one host")
    for i, host in enumerate(spec.hosts):
        yield from host_problems(f"hosts[{i}]", host)
        if host == "*":
            yield Problem(f"hosts[{i}]", "'*' alone is too wide", "such as *.example.com")
    yield from _addresses(spec)
    yield from _ports(spec.ports)
    yield from _told_apart(spec)
    if spec.workload_selector:
        yield from label_problems("workloadSelector.labels", spec.workload_selector.labels)
        if spec.endpoints:
            yield Problem(
                "workloadSelector", "cannot stand beside endpoints", "keep one of the two"
            )
    yield from _resolution(spec)
    for i, endpoint in enumerate(spec.endpoints):
        yield from _endpoint(f"endpoints[{i}]", endpoint, spec)
    yield from export_problems(spec.export_to)


def _addresses(spec: ServiceEntry) -> Iterator[Problem]:
    for i, address in enumerate(spec.addresses):
        if not is_network(address):
            yield Problem(f"addresses[{i}]", f"{address!r} is neither an IP address nor a CIDR")
        elif "/" in address and spec.resolution not in _FIXED:
            hint = "use resolution NONE or STATIC"
            yield Problem(f"addresses[{i}]", f"a CIDR does not go with {spec.resolution}", hint)


def _ports(ports: tuple[Port, ...]) -> Iterator[Problem]:
    names = Counter(port.name for port in ports)
    numbers = Counter(port.number for port in ports)
    for i, port in enumerate(ports):
        yield from port_problems(f"ports[{i}].number", port.number)
        if not port.name:
            yield Problem(f"ports[{i}].name", "missing")
        elif not PORT_NAME.fullmatch(port.name):
            yield Problem(f"ports[{i}].name", f"{port.name!r} is not a port name")
        elif names[port.name] > 1:
            yield Problem(f"ports[{i}].name", f"{port.name!r} is used twice")
        if numbers[port.number] > 1:
            yield Problem(f"ports[{i}].number", f"{port.number} is used twice")
        if port.target_port:
            yield from port_problems(f"ports[{i}].targetPort", port.target_port)
        yield from protocol_problems(f"ports[{i}].protocol", port.protocol)


def protocol_problems(path: str, word: str) -> Iterator[Problem]:
    """Faults of a protocol's name; without one the protocol is told from the first bytes."""
    if word and Protocol.parse(word).auto:
        yield Problem(path, f"{word!r} is not a protocol", "such as HTTP, GRPC, TCP, TLS")


def _told_apart(spec: ServiceEntry) -> Iterator[Problem]:
    """Plain TCP does not say which of several hosts is meant."""
    if spec.resolution is Resolution.NONE or len(spec.hosts) < 2:
        return
    for i, port in enumerate(spec.ports):
        protocol = Protocol.parse(port.protocol)
        if not (protocol.http or protocol.tls):
            reason = "several hosts cannot be told apart on a port that is neither HTTP nor TLS"
            yield Problem(f"ports[{i}].protocol", reason, "give each host a ServiceEntry")
            return


def _resolution(spec: ServiceEntry) -> Iterator[Problem]:
    how, count = spec.resolution, len(spec.endpoints)
    if how is Resolution.NONE and count:
        yield Problem("endpoints", "resolution NONE has no endpoints", "use STATIC or DNS")
    if how is Resolution.DYNAMIC_DNS and count:
        yield Problem("endpoints", "resolution DYNAMIC_DNS has no endpoints", "use DNS")
    if how is Resolution.DNS_ROUND_ROBIN and count > 1:
        yield Problem("endpoints", "resolution DNS_ROUND_ROBIN has one endpoint", "use DNS")
    for i, host in enumerate(spec.hosts):
        wild = host.startswith("*")
        if how is Resolution.DYNAMIC_DNS and not wild:
            yield Problem(f"hosts[{i}]", "resolution DYNAMIC_DNS is for wildcard hosts", "use DNS")
        elif how in _DNS and wild and not count and not spec.workload_selector:
            hint = "name endpoints, or use DYNAMIC_DNS"
            yield Problem(f"hosts[{i}]", f"{host!r} cannot be looked up", hint)


def _endpoint(path: str, endpoint: WorkloadEntry, spec: ServiceEntry) -> Iterator[Problem]:
    address = endpoint.address
    if address.startswith(UNIX):
        yield from _socket(path, endpoint)
        if spec.resolution is not Resolution.STATIC:
            yield Problem(f"{path}.address", "a unix socket wants resolution STATIC")
        elif len(spec.ports) != 1:
            yield Problem(f"{path}.address", "a unix socket serves exactly one port")
    elif not address:
        if not endpoint.network:
            yield Problem(f"{path}.address", "missing")
    elif spec.resolution is Resolution.STATIC and not is_ip(address):
        hint = "use an IP address, or resolution DNS"
        yield Problem(f"{path}.address", f"{address!r} is not an IP address", hint)
    elif not is_ip(address):
        yield from host_problems(f"{path}.address", address, wildcard=False)
    named = {port.name for port in spec.ports}
    yield from _endpoint_ports(path, endpoint)
    for name in endpoint.ports:
        if name not in named:
            hint = f"one of {', '.join(sorted(named))}"
            yield Problem(f"{path}.ports[{name}]", "names no port of the service", hint)


def _socket(path: str, endpoint: WorkloadEntry) -> Iterator[Problem]:
    where = f"{path}." if path else ""
    if endpoint.ports:
        yield Problem(f"{where}ports", "a unix socket has no ports")
    if not is_socket_path(endpoint.address):
        hint = "such as unix:///run/app.sock, or unix://@name"
        yield Problem(f"{where}address", "is neither an absolute path nor an abstract name", hint)


def _endpoint_ports(path: str, endpoint: WorkloadEntry) -> Iterator[Problem]:
    where = f"{path}." if path else ""
    for name, number in endpoint.ports.items():
        yield from port_problems(f"{where}ports[{name}]", number)
        if not PORT_NAME.fullmatch(name):
            yield Problem(f"{where}ports[{name}]", f"{name!r} is not a port name")


def check_workload_entry(spec: WorkloadEntry) -> Iterator[Problem]:
    """What is wrong with an endpoint of its own."""
    if spec.address.startswith(UNIX):
        yield from _socket("", spec)
    elif not spec.address:
        if not spec.network:
            yield Problem("address", "missing")
    elif not is_ip(spec.address):
        yield from host_problems("address", spec.address, wildcard=False)
    yield from _endpoint_ports("", spec)
