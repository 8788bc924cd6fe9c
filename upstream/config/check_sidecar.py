# SPDX-License-Identifier: Apache-2.0
"""What istiod refuses in a Sidecar though every field has the right type. Pure.

Source: istio pkg/config/validation ValidateSidecar; spec/upstream.md 8.3, 21.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from upstream.config.check_destination_rule import pool_problems
from upstream.config.check_service_entry import protocol_problems
from upstream.config.problems import (
    DNS_LABEL,
    UNIX,
    Problem,
    host_problems,
    is_ip,
    is_socket_path,
    label_problems,
    port_problems,
)
from upstream.config.shared import Protocol
from upstream.config.sidecar import (
    CaptureMode,
    Egress,
    Ingress,
    OutboundMode,
    OutboundPolicy,
    ServerTls,
    ServerTlsMode,
    Sidecar,
)

_OWN = ("127.0.0.1", "0.0.0.0", "::1", "::")
_TERMINATED = (ServerTlsMode.SIMPLE, ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL)


def check_sidecar(spec: Sidecar) -> Iterator[Problem]:
    """What is wrong with listeners."""
    pool = spec.inbound_connection_pool
    if not (spec.ingress or spec.egress or spec.outbound_traffic_policy or pool):
        yield Problem("", "says nothing", "give ingress, egress or outboundTrafficPolicy")
    if spec.workload_selector:
        yield from label_problems("workloadSelector.labels", spec.workload_selector.labels)
    numbers = Counter(entry.port.number for entry in spec.ingress if entry.port)
    for i, entry in enumerate(spec.ingress):
        yield from _ingress(f"ingress[{i}]", entry)
        if entry.port and numbers[entry.port.number] > 1:
            yield Problem(f"ingress[{i}].port.number", f"{entry.port.number} is used twice")
    for i, egress in enumerate(spec.egress):
        yield from _egress(f"egress[{i}]", egress, last=i == len(spec.egress) - 1)
    yield from _egress_twice(spec.egress)
    yield from pool_problems("inboundConnectionPool", pool)
    if spec.outbound_traffic_policy:
        yield from _outbound("outboundTrafficPolicy", spec.outbound_traffic_policy)


def _ingress(path: str, entry: Ingress) -> Iterator[Problem]:
    if entry.port is None:
        yield Problem(f"{path}.port", "missing")
    else:
        yield from port_problems(f"{path}.port.number", entry.port.number)
        yield from protocol_problems(f"{path}.port.protocol", entry.port.protocol)
    if entry.bind and not is_ip(entry.bind):
        yield Problem(f"{path}.bind", f"{entry.bind!r} is not an IP address")
    if entry.tls:
        yield from _server_tls(f"{path}.tls", entry.tls, entry.port.protocol if entry.port else "")
    yield from pool_problems(f"{path}.connectionPool", entry.connection_pool)
    yield from _default_endpoint(f"{path}.defaultEndpoint", entry.default_endpoint)


def _default_endpoint(path: str, endpoint: str) -> Iterator[Problem]:
    if not endpoint:
        return
    if endpoint.startswith(UNIX):
        if not is_socket_path(endpoint):
            yield Problem(path, "is neither an absolute path nor an abstract name")
        return
    host, colon, port = endpoint.rpartition(":")
    if not colon or not port.isdigit() or not 1 <= int(port) <= 65535:
        hint = "such as 127.0.0.1:8080 or unix:///path"
        yield Problem(path, f"{endpoint!r} is not address:port", hint)
    elif host.strip("[]") not in _OWN:
        hint = "only 127.0.0.1, 0.0.0.0, [::1] and [::] are allowed"
        yield Problem(path, f"{host!r} is not this workload", hint)


def _server_tls(path: str, tls: ServerTls, protocol: str) -> Iterator[Problem]:
    if not Protocol.parse(protocol).tls:
        yield Problem(path, "is for ports of protocol HTTPS and TLS")
    if tls.mode in (ServerTlsMode.ISTIO_MUTUAL, ServerTlsMode.AUTO_PASSTHROUGH):
        hint = "mutual TLS of the mesh is PeerAuthentication's matter"
        yield Problem(f"{path}.mode", f"{tls.mode} is not for a Sidecar", hint)
    if tls.subject_alt_names:
        yield Problem(f"{path}.subjectAltNames", "is not for a Sidecar")
    wanted = {"serverCertificate": tls.server_certificate, "privateKey": tls.private_key}
    if tls.mode in (ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL):
        wanted["caCertificates"] = tls.ca_certificates
    if tls.mode in _TERMINATED:
        for name, value in wanted.items():
            if not value:
                yield Problem(f"{path}.{name}", f"missing: {tls.mode} wants it")


def _egress(path: str, entry: Egress, *, last: bool) -> Iterator[Problem]:
    if not entry.hosts:
        yield Problem(f"{path}.hosts", "missing", "such as */*")
    for i, host in enumerate(entry.hosts):
        yield from _import(f"{path}.hosts[{i}]", host)
    if entry.port is None:
        if entry.bind:
            yield Problem(f"{path}.bind", "needs a port")
        if not last:
            yield Problem(f"{path}.port", "missing: only the last entry may have none")
        return
    yield from protocol_problems(f"{path}.port.protocol", entry.port.protocol)
    if entry.bind.startswith(UNIX):
        if entry.capture_mode is CaptureMode.IPTABLES:
            yield Problem(f"{path}.captureMode", "a unix socket cannot be captured")
        if not is_socket_path(entry.bind):
            yield Problem(f"{path}.bind", "is neither an absolute path nor an abstract name")
    elif entry.bind and not is_ip(entry.bind):
        yield Problem(f"{path}.bind", f"{entry.bind!r} is not an IP address")
    else:
        yield from port_problems(f"{path}.port.number", entry.port.number)


def _import(path: str, text: str) -> Iterator[Problem]:
    """``namespace/host``: either may be ``*`` or ``~``, the namespace ``.`` for one's own."""
    space, slash, host = text.partition("/")
    if not slash or not space or "/" in host:
        yield Problem(path, f"{text!r} is not namespace/host", "such as */*")
        return
    if space not in ("*", ".", "~") and not DNS_LABEL.fullmatch(space):
        yield Problem(path, f"{space!r} is not a namespace", "a name, '*', '.' or '~'")
    if host == "~":
        return
    if host.startswith("*") and host != "*" and not host.startswith("*."):
        yield Problem(path, f"{host!r} is part of a label", "let * stand for whole labels")
    else:
        yield from host_problems(path, host)


def _egress_twice(entries: Sequence[Egress]) -> Iterator[Problem]:
    paths: set[str] = set()
    numbers: set[int] = set()
    for i, entry in enumerate(entries):
        if entry.port is None:
            continue
        if entry.bind.startswith(UNIX):
            if entry.bind in paths:
                yield Problem(f"egress[{i}].bind", f"{entry.bind} is used twice")
            paths.add(entry.bind)
        else:
            if entry.port.number in numbers:
                yield Problem(f"egress[{i}].port.number", f"{entry.port.number} is used twice")
            numbers.add(entry.port.number)


def _outbound(path: str, policy: OutboundPolicy) -> Iterator[Problem]:
    proxy = policy.egress_proxy
    if proxy is None:
        return
    if policy.mode is not OutboundMode.ALLOW_ANY:
        yield Problem(f"{path}.egressProxy", "wants mode ALLOW_ANY")
    yield from host_problems(f"{path}.egressProxy.host", proxy.host, wildcard=False)
    if proxy.port is None:
        yield Problem(f"{path}.egressProxy.port", "missing")
    else:
        yield from port_problems(f"{path}.egressProxy.port.number", proxy.port.number)
