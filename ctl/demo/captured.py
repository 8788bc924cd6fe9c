# SPDX-License-Identifier: Apache-2.0
"""The demo with real capture: each workload in a network namespace, its traffic taken by the rules of istio-iptables.

What differs from ``Cluster``: pods have addresses and the usual ports; the application calls the service's address and
knows of no proxy; agent and Envoy run as the proxy's user. Programs are started, never imported.
"""

from __future__ import annotations

import os
from pathlib import Path

from ctl.demo import topology
from ctl.demo.cluster import Cluster
from ctl.demo.node import APP_UID, CONTROL_PLANE, Node, run
from ctl.demo.processes import Program, Programs, script
from ctl.demo.topology import HOST, Workload
from mesh import ports

SERVICE = "10.66.0.10"
"""The address of the service: nobody has it, only the sidecars know what it stands for."""
APP_PORT, CALLER_PORT, ADMIN_PORT = 8080, 3128, 15000
BIND = {
    "grpc": "127.0.0.1:15010",
    "secure_grpc": "127.0.0.1:15012",
    "http": "127.0.0.1:8080",
    "monitoring": "127.0.0.1:15014",
}
BACKEND_FLAGS = {"iptables": [], "nft": ["--native-nftables"]}


class CapturedCluster(Cluster):
    """Control plane on the node, pods around it."""

    title = "Pilothouse: one control plane, three sidecars with real Envoy, mutual TLS, traffic captured by {backend}."
    captured = True

    def __init__(
        self, directory: Path, identity: Path, envoy: str, programs: Programs, *, backend: str
    ) -> None:
        super().__init__(directory, identity, envoy, programs)
        self.title = self.title.format(backend=backend)
        self._node = Node(programs, directory)
        self._backend = backend
        self.bind = dict(BIND)

    def make_workloads(self) -> list[Workload]:
        """The same ports in every pod: each has a network of its own."""
        return [
            Workload(
                name=name,
                account=account,
                version=version,
                address=f"10.77.{number}.2",
                app_port=APP_PORT,
                inbound_port=APP_PORT,
                outbound_port=CALLER_PORT,
                admin_port=ADMIN_PORT,
                status_port=ports.AGENT_STATUS,
                envoy_status_port=ports.ENVOY_STATUS,
                prometheus_port=ports.ENVOY_PROMETHEUS,
            )
            for number, (name, account, version) in enumerate(topology.WORKLOADS, start=1)
        ]

    def write_config(self) -> None:
        """The node's network first: everything else stands on it."""
        self._node.prepare(int(BIND["secure_grpc"].rpartition(":")[2]))
        super().write_config()

    def write_listeners(self) -> None:
        """None: captured workloads have the mesh's usual ones."""

    def service_yaml(self, reviews: list[Workload]) -> str:
        return topology.service_yaml(reviews, address=SERVICE)

    @property
    def discovery(self) -> str:
        return f"{CONTROL_PLANE}:{self.addresses['secure_grpc'].rpartition(':')[2]}"

    def start_app(self, workload: Workload, home: Path) -> Program:
        """The pod's network and its rules come before anything that uses it, as an init container's work does."""
        self._node.add_pod(workload.name, workload.address)
        run(self.capture_words(workload, "--run-validation", "--rollback"))
        inside = self._node.inside(workload.name, APP_UID)
        caller = ["--port", str(CALLER_PORT), "--service", SERVICE]
        self.programs.start(
            f"{workload.name}-caller", [*inside, *self.module("caller"), *caller], cwd=home, env={}
        )
        return super().start_app(workload, home)

    def capture_words(self, workload: Workload, *more: str) -> list[str]:
        """istio-iptables in the pod, with the flags that an injector gives it."""
        own = (ports.ENVOY_PROMETHEUS, ports.ENVOY_STATUS, ports.AGENT_STATUS, CALLER_PORT)
        return [
            *self._node.inside(workload.name),
            script("istio-iptables"),
            f"--proxy-uid={ports.PROXY_UID}",
            "--istio-inbound-ports=*",
            f"--istio-local-exclude-ports={','.join(map(str, own))}",
            "--istio-service-cidr=*",
            *BACKEND_FLAGS[self._backend],
            *more,
        ]

    def uncapture(self, workload: Workload) -> None:
        """Take the rules out again."""
        run(self.capture_words(workload, "--cleanup-only"))

    def inside(self, workload: Workload, *, proxy: bool) -> list[str]:
        return self._node.inside(workload.name, ports.PROXY_UID if proxy else APP_UID)

    def app_host(self, workload: Workload) -> str:
        return workload.address

    def seen_from(self, workload: Workload) -> str:
        return workload.address

    def through(self, workload: Workload) -> str | None:
        """Envoy's admin port is the pod's own loopback: asked from within."""
        return workload.proxy_url

    def _provision(self, workload: Workload, home: Path) -> None:
        super()._provision(workload, home)
        for top in (home, self.identity / workload.name):
            for folder, _, files in os.walk(top):
                for name in (folder, *(os.path.join(folder, file) for file in files)):
                    os.chown(name, ports.PROXY_UID, ports.PROXY_UID)

    def hints(self) -> str:
        client = self.workloads[0]
        pod = " ".join(self._node.inside(client.name))
        return f"""
  curl -x {client.proxy_url} http://{HOST}/
  $EDITOR {self.config}/canary.yaml
The pods' networks are seen from the demo's own: nsenter --target {os.getpid()} --net, and then
  {pod} ip addr
  {" ".join(self.capture_words(client))} --explain 'tcp out {SERVICE}:80 uid {APP_UID}'"""
