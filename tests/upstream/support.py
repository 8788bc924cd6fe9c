# SPDX-License-Identifier: Apache-2.0
"""Worlds from YAML and proxies from a few words, for the tests of everything that is derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent

from upstream.config import Fault, MeshConfig, parse_documents, parse_mesh
from upstream.proxy import Interception, Locality, Proxy, ProxyType
from upstream.world import World


def world(yaml: str = "", mesh: str | None = None, *, istio_filters: bool = False) -> World:
    """The world of these documents; nothing in them may be faulty."""
    objects, faults = parse_documents(dedent(yaml), "test.yaml")
    assert not faults, faults
    config = MeshConfig()
    if mesh is not None:
        config, faults = parse_mesh(dedent(mesh), "mesh.yaml")
        assert not faults, faults
    return World({"test.yaml": objects}, mesh=config, istio_filters=istio_filters)


def faults_of(yaml: str) -> list[Fault]:
    """What is wrong with these documents."""
    return list(parse_documents(dedent(yaml), "test.yaml")[1])


def sidecar(
    namespace: str = "default",
    *,
    ip: str = "10.0.0.1",
    labels: Mapping[str, str] | None = None,
    interception: Interception = Interception.REDIRECT,
    kind: ProxyType = ProxyType.SIDECAR,
    locality: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Proxy:
    """A proxy of ``namespace`` at ``ip``."""
    return Proxy(
        type=kind,
        ips=(ip,),
        id=f"app.{namespace}",
        domain=f"{namespace}.svc.cluster.local",
        namespace=namespace,
        labels=labels or {},
        interception=interception,
        cluster_id="Kubernetes",
        locality=Locality.parse(locality) if locality else Locality(),
        metadata=metadata or {},
    )
