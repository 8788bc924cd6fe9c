# SPDX-License-Identifier: Apache-2.0
"""What istiod refuses though every field has the right type: the networking kinds. Pure. Source: spec 8.3."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from upstream.config.destination_rule import DestinationRule, LoadBalancer, TrafficPolicy
from upstream.config.problems import Problem, host_problems, is_ip, is_network, port_problems
from upstream.config.security import MtlsMode, PeerAuthentication
from upstream.config.service_entry import Resolution, ServiceEntry, WorkloadEntry
from upstream.config.shared import Port, StringMatch, TlsMode
from upstream.config.sidecar import CaptureMode, Egress, Ingress, Sidecar
from upstream.config.virtual_service import HttpMatch, HttpRoute, Retries, VirtualService

UNIX = "unix://"


def check_service_entry(spec: ServiceEntry) -> Iterator[Problem]:
    """What is wrong with hosts, ports and endpoints."""
    if not spec.hosts:
        yield Problem("hosts", "missing", "name at least one host")
    for i, host in enumerate(spec.hosts):
        yield from host_problems(f"hosts[{i}]", host)
        if host == "*":
            yield Problem(f"hosts[{i}]", "'*' alone is too wide", "such as *.example.com")
    for i, address in enumerate(spec.addresses):
        if not is_network(address):
            yield Problem(f"addresses[{i}]", f"{address!r} is neither an IP address nor a CIDR")
    yield from _service_ports(spec.ports)
    if spec.workload_selector and spec.endpoints:
        yield Problem("workloadSelector", "cannot stand beside endpoints", "keep one of the two")
    if spec.resolution is Resolution.NONE and spec.endpoints:
        yield Problem("endpoints", "resolution NONE has no endpoints", "use STATIC or DNS")
    for i, endpoint in enumerate(spec.endpoints):
        yield from _endpoint(f"endpoints[{i}]", endpoint, spec)


def _service_ports(ports: tuple[Port, ...]) -> Iterator[Problem]:
    names = Counter(port.name for port in ports)
    numbers = Counter(port.number for port in ports)
    for i, port in enumerate(ports):
        yield from port_problems(f"ports[{i}].number", port.number)
        if not port.name:
            yield Problem(f"ports[{i}].name", "missing")
        elif names[port.name] > 1:
            yield Problem(f"ports[{i}].name", f"{port.name!r} is used twice")
        if numbers[port.number] > 1:
            yield Problem(f"ports[{i}].number", f"{port.number} is used twice")
        if port.target_port:
            yield from port_problems(f"ports[{i}].targetPort", port.target_port)


def _endpoint(path: str, endpoint: WorkloadEntry, spec: ServiceEntry) -> Iterator[Problem]:
    address = endpoint.address
    if address.startswith(UNIX):
        if endpoint.ports:
            yield Problem(f"{path}.ports", "a unix socket has no ports")
    elif not address:
        if not endpoint.network:
            yield Problem(f"{path}.address", "missing")
    elif spec.resolution is Resolution.STATIC and not is_ip(address):
        hint = "use an IP address, or resolution DNS"
        yield Problem(f"{path}.address", f"{address!r} is not an IP address", hint)
    elif not is_ip(address):
        yield from host_problems(f"{path}.address", address, wildcard=False)
    named = {port.name for port in spec.ports}
    for name, number in endpoint.ports.items():
        yield from port_problems(f"{path}.ports[{name}]", number)
        if name not in named:
            hint = f"one of {', '.join(sorted(named))}"
            yield Problem(f"{path}.ports[{name}]", "names no port of the service", hint)


def check_workload_entry(spec: WorkloadEntry) -> Iterator[Problem]:
    """What is wrong with an endpoint of its own."""
    if not spec.address and not spec.network:
        yield Problem("address", "missing")
    elif spec.address.startswith(UNIX) and spec.ports:
        yield Problem("ports", "a unix socket has no ports")
    for name, number in spec.ports.items():
        yield from port_problems(f"ports[{name}]", number)


def check_virtual_service(spec: VirtualService) -> Iterator[Problem]:
    """What is wrong with routing rules."""
    if not spec.hosts and spec.http and not any(route.delegate for route in spec.http):
        pass  # A delegate has no hosts of its own.
    for i, host in enumerate(spec.hosts):
        if not is_ip(host):
            yield from host_problems(f"hosts[{i}]", host)
    if not (spec.http or spec.tcp or spec.tls):
        yield Problem("", "has no http, tcp or tls routes", "give at least one")
    for i, route in enumerate(spec.http):
        yield from _http_route(f"http[{i}]", route)
    for i, tcp in enumerate(spec.tcp):
        if not tcp.route:
            yield Problem(f"tcp[{i}].route", "missing")
    for i, tls in enumerate(spec.tls):
        if not tls.route:
            yield Problem(f"tls[{i}].route", "missing")
        for j, match in enumerate(tls.match):
            if not match.sni_hosts:
                yield Problem(f"tls[{i}].match[{j}].sniHosts", "missing")


def _http_route(path: str, route: HttpRoute) -> Iterator[Problem]:
    actions = (route.route, route.redirect, route.direct_response, route.delegate)
    given = sum(bool(action) for action in actions)
    if given == 0:
        yield Problem(path, "has no action", "give route, redirect, directResponse or delegate")
    elif given > 1:
        yield Problem(
            path, "has several actions", "keep one of route, redirect, directResponse, delegate"
        )
    for i, share in enumerate(route.route):
        host = share.destination.host
        yield from host_problems(f"{path}.route[{i}].destination.host", host, wildcard=False)
        if share.weight < 0:
            yield Problem(f"{path}.route[{i}].weight", f"{share.weight} is negative")
    if len(route.route) > 1 and not sum(share.weight for share in route.route):
        yield Problem(f"{path}.route", "weights add up to 0", "give at least one a weight")
    for i, match in enumerate(route.match):
        yield from _http_match(f"{path}.match[{i}]", match)
    yield from _timing(f"{path}.timeout", route.timeout)
    if route.retries:
        yield from _retries(f"{path}.retries", route.retries)
    yield from _fault(f"{path}.fault", route)
    if route.direct_response and not 100 <= route.direct_response.status <= 599:
        yield Problem(f"{path}.directResponse.status", "is not an HTTP status")


def _http_match(path: str, match: HttpMatch) -> Iterator[Problem]:
    single = {"uri": match.uri, "scheme": match.scheme, "method": match.method}
    for name, value in {**single, "authority": match.authority}.items():
        if value is not None:
            yield from _string_match(f"{path}.{name}", value, required=True)
    for name, group in (
        ("headers", match.headers),
        ("withoutHeaders", match.without_headers),
        ("queryParams", match.query_params),
    ):
        for key, value in group.items():
            yield from _string_match(f"{path}.{name}[{key}]", value, required=False)


def _string_match(path: str, match: StringMatch, *, required: bool) -> Iterator[Problem]:
    given = [text for text in (match.exact, match.prefix, match.regex) if text is not None]
    if len(given) > 1:
        yield Problem(path, "is several matches at once", "keep one of exact, prefix, regex")
    if required and not any(given):
        yield Problem(path, "is an empty match", "give exact, prefix or regex")
    if match.regex and match.regex != "*":
        try:
            re.compile(match.regex)
        except re.error as exc:
            yield Problem(path, f"{match.regex!r} is not a regular expression: {exc}")


def _retries(path: str, retries: Retries) -> Iterator[Problem]:
    if retries.attempts < 0:
        yield Problem(f"{path}.attempts", f"{retries.attempts} is negative")
    if retries.attempts == 0 and (retries.retry_on or retries.per_try_timeout):
        yield Problem(f"{path}.attempts", "0 attempts with other retry settings", "remove those")
    yield from _timing(f"{path}.perTryTimeout", retries.per_try_timeout)


def _timing(path: str, value: timedelta | None) -> Iterator[Problem]:
    if value is not None and value and value < timedelta(milliseconds=1):
        yield Problem(path, "is shorter than 1ms")


def _fault(path: str, route: HttpRoute) -> Iterator[Problem]:
    if not route.fault:
        return
    delay, abort = route.fault.delay, route.fault.abort
    if delay and not delay.fixed_delay:
        yield Problem(f"{path}.delay.fixedDelay", "missing")
    if abort and not (abort.grpc_status or 200 <= abort.http_status <= 599):
        yield Problem(f"{path}.abort.httpStatus", "is not an HTTP status")
    for name, percentage in (
        ("delay", delay.percentage if delay else None),
        ("abort", abort.percentage if abort else None),
    ):
        if percentage and not 0 <= percentage.value <= 100:
            yield Problem(f"{path}.{name}.percentage.value", "is not within 0 and 100")


def check_destination_rule(spec: DestinationRule) -> Iterator[Problem]:
    """What is wrong with policies and subsets."""
    yield from host_problems("host", spec.host)
    yield from _policy("trafficPolicy", spec.traffic_policy)
    names = Counter(subset.name for subset in spec.subsets)
    for i, subset in enumerate(spec.subsets):
        if not subset.name:
            yield Problem(f"subsets[{i}].name", "missing")
        elif names[subset.name] > 1:
            yield Problem(f"subsets[{i}].name", f"{subset.name!r} is used twice")
        yield from _policy(f"subsets[{i}].trafficPolicy", subset.traffic_policy)


def _policy(path: str, policy: TrafficPolicy | None) -> Iterator[Problem]:
    if policy is None:
        return
    if policy.load_balancer:
        yield from _load_balancer(f"{path}.loadBalancer", policy.load_balancer)
    if policy.tls and policy.tls.mode is TlsMode.MUTUAL:
        tls = policy.tls
        if not (tls.credential_name or (tls.client_certificate and tls.private_key)):
            hint = "give clientCertificate and privateKey, or credentialName"
            yield Problem(f"{path}.tls", "MUTUAL without a client certificate", hint)
    for i, port in enumerate(policy.port_level_settings):
        where = f"{path}.portLevelSettings[{i}]"
        if port.port is None:
            yield Problem(f"{where}.port", "missing")
        else:
            yield from port_problems(f"{where}.port.number", port.port.number)
        if port.load_balancer:
            yield from _load_balancer(f"{where}.loadBalancer", port.load_balancer)


def _load_balancer(path: str, balancer: LoadBalancer) -> Iterator[Problem]:
    if balancer.simple and balancer.consistent_hash:
        yield Problem(path, "has both simple and consistentHash", "keep one of the two")
    hashing = balancer.consistent_hash
    if hashing:
        keys = (
            hashing.http_header_name,
            hashing.http_cookie,
            hashing.use_source_ip,
            hashing.http_query_parameter_name,
        )
        if sum(bool(key) for key in keys) != 1:
            hint = "one of httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName"
            yield Problem(f"{path}.consistentHash", "needs exactly one key", hint)
        if hashing.http_cookie and not hashing.http_cookie.name:
            yield Problem(f"{path}.consistentHash.httpCookie.name", "missing")


def check_sidecar(spec: Sidecar) -> Iterator[Problem]:
    """What is wrong with listeners."""
    numbers = Counter(entry.port.number for entry in spec.ingress if entry.port)
    for i, entry in enumerate(spec.ingress):
        yield from _ingress(f"ingress[{i}]", entry)
        if entry.port and numbers[entry.port.number] > 1:
            yield Problem(f"ingress[{i}].port.number", f"{entry.port.number} is used twice")
    for i, egress in enumerate(spec.egress):
        yield from _egress(f"egress[{i}]", egress, last=i == len(spec.egress) - 1)


def _ingress(path: str, entry: Ingress) -> Iterator[Problem]:
    if entry.port is None:
        yield Problem(f"{path}.port", "missing")
    else:
        yield from port_problems(f"{path}.port.number", entry.port.number)
    if entry.bind and not is_ip(entry.bind):
        yield Problem(f"{path}.bind", f"{entry.bind!r} is not an IP address")
    endpoint = entry.default_endpoint
    if not endpoint or endpoint.startswith(UNIX):
        return
    host, colon, port = endpoint.rpartition(":")
    if not colon or not port.isdigit() or not 1 <= int(port) <= 65535:
        hint = "such as 127.0.0.1:8080 or unix:///path"
        yield Problem(f"{path}.defaultEndpoint", f"{endpoint!r} is not address:port", hint)
    elif host.strip("[]") not in ("127.0.0.1", "0.0.0.0", "::1", "::"):
        hint = "only 127.0.0.1, 0.0.0.0, [::1] and [::] are allowed"
        yield Problem(f"{path}.defaultEndpoint", f"{host!r} is not this workload", hint)


def _egress(path: str, entry: Egress, *, last: bool) -> Iterator[Problem]:
    if not entry.hosts:
        yield Problem(f"{path}.hosts", "missing", "such as */*")
    for i, host in enumerate(entry.hosts):
        namespace, slash, name = host.partition("/")
        if not slash or not namespace:
            yield Problem(f"{path}.hosts[{i}]", f"{host!r} is not namespace/host", "such as */*")
        elif name != "~":
            yield from host_problems(f"{path}.hosts[{i}]", name)
    if entry.port is None:
        if entry.bind:
            yield Problem(f"{path}.bind", "needs a port")
        if not last:
            yield Problem(f"{path}.port", "missing: only the last entry may have none")
    elif entry.bind.startswith(UNIX):
        if entry.capture_mode is CaptureMode.IPTABLES:
            yield Problem(f"{path}.captureMode", "a unix socket cannot be captured")
    elif entry.bind and not is_ip(entry.bind):
        yield Problem(f"{path}.bind", f"{entry.bind!r} is not an IP address")
    else:
        yield from port_problems(f"{path}.port.number", entry.port.number)


def check_peer_authentication(spec: PeerAuthentication) -> Iterator[Problem]:
    """What is wrong with mTLS modes."""
    if spec.port_level_mtls and not (spec.selector and spec.selector.match_labels):
        yield Problem(
            "portLevelMtls", "needs a selector", "select the workloads that have the port"
        )
    for port, mtls in spec.port_level_mtls.items():
        where = f"portLevelMtls[{port}]"
        if not port.isdigit() or not 1 <= int(port) <= 65535:
            yield Problem(where, f"{port!r} is not a port", "1 to 65535")
        if mtls.mode not in set(MtlsMode):
            yield Problem(where, "is not a mode")
