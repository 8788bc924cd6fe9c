# SPDX-License-Identifier: Apache-2.0
"""The ports at which a workload is reached."""

from __future__ import annotations

from tests.upstream.support import sidecar, world
from upstream.config.shared import Protocol
from upstream.generate.inbound_ports import InboundPort, inbound_ports
from upstream.generate.view import view_of
from upstream.proxy import Interception

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME, namespace: default}
spec:
  hosts: [NAME.test]
  resolution: STATIC
  ports: [{number: NUMBER, name: p, protocol: PROTOCOL, targetPort: 8080}, {number: 53, name: u, protocol: UDP}]
  endpoints: [{address: 10.0.0.1}]
"""
SIDECAR = """---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec:
  ingress:
  - {port: {number: 9080, protocol: HTTP, name: h}, bind: 127.0.0.11, defaultEndpoint: '127.0.0.1:1', captureMode: NONE}
  - {port: {number: 8080, protocol: TCP, name: t}}
"""


def service(name: str, number: int = 80, protocol: str = "HTTP") -> str:
    text = SERVICE.replace("NAME", name).replace("NUMBER", str(number))
    return "---\n" + text.replace("PROTOCOL", protocol)


def ports(
    text: str, interception: Interception = Interception.REDIRECT, ip: str = "10.0.0.1"
) -> list[InboundPort]:
    return inbound_ports(view_of(sidecar(ip=ip, interception=interception), world(text)))


def test_target_ports_of_the_services_it_is_part_of() -> None:
    (one,) = ports(service("a"))
    assert (one.number, one.service_port, one.protocol) == (8080, 80, Protocol.HTTP)
    assert (one.bind, one.real, one.owner) == ("0.0.0.0", False, "a.test")
    assert ports(service("a"), ip="10.0.0.2") == []


def test_of_services_that_share_a_port_the_first_decides() -> None:
    (one,) = ports(service("b", 90, "TCP") + service("a"))
    assert (one.owner, one.protocol) == ("a.test", Protocol.HTTP)
    assert [each.hostname for each in one.services] == ["a.test", "b.test"]


def test_without_capture_services_say_nothing() -> None:
    assert ports(service("a"), Interception.NONE) == []


def test_a_sidecars_ingress_replaces_them() -> None:
    tcp, http = ports(service("a") + SIDECAR)
    assert (tcp.number, tcp.real, tcp.bind) == (8080, False, "10.0.0.1")
    assert (http.number, http.real, http.bind) == (9080, True, "127.0.0.11")
    assert (http.endpoint, http.owner) == ("127.0.0.1:1", "s.default")
    assert http.config_path.endswith("/namespaces/default/sidecar/s")
    assert [each.hostname for each in tcp.services] == ["a.test"]


def test_without_capture_every_ingress_is_a_listener() -> None:
    assert [one.real for one in ports(SIDECAR, Interception.NONE)] == [True, True]


def test_as_policies_look_at_it() -> None:
    (one,) = ports(service("a"))
    assert (one.as_service_port.number, one.as_service_port.protocol) == (80, Protocol.HTTP)
