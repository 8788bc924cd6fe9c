# SPDX-License-Identifier: Apache-2.0
"""Every part of a ServiceEntry and a WorkloadEntry is read from its YAML name."""

from __future__ import annotations

from tests.upstream.config.said import spec_of
from upstream.config import Kind
from upstream.config.service_entry import Location, Resolution, ServiceEntry, WorkloadEntry
from upstream.config.shared import NetworkingSelector, Port


def test_service_entry() -> None:
    assert spec_of(
        Kind.SERVICE_ENTRY,
        "{hosts: [a.test], addresses: [10.0.0.1], location: MESH_INTERNAL, resolution: STATIC,"
        " ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}],"
        " workloadSelector: {labels: {app: a}}, exportTo: ['.'], subjectAltNames: [s]}",
    ) == ServiceEntry(
        hosts=("a.test",),
        addresses=("10.0.0.1",),
        ports=(Port(number=80, name="http", protocol="HTTP", target_port=8080),),
        location=Location.MESH_INTERNAL,
        resolution=Resolution.STATIC,
        workload_selector=NetworkingSelector(labels={"app": "a"}),
        export_to=(".",),
        subject_alt_names=("s",),
    )


def test_defaults_are_the_protos() -> None:
    spec = ServiceEntry()
    assert (spec.location, spec.resolution) == (Location.MESH_EXTERNAL, Resolution.NONE)


def test_workload_entry() -> None:
    assert spec_of(
        Kind.WORKLOAD_ENTRY,
        "{address: 10.0.0.1, ports: {http: 80}, labels: {app: a}, network: n, locality: r/z,"
        " weight: 3, serviceAccount: s}",
    ) == WorkloadEntry(
        address="10.0.0.1",
        ports={"http": 80},
        labels={"app": "a"},
        network="n",
        locality="r/z",
        weight=3,
        service_account="s",
    )
