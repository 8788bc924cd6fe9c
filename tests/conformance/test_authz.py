# SPDX-License-Identifier: Apache-2.0
"""RBAC filters that istiod makes of AuthorizationPolicies, compared as messages and in order."""

from __future__ import annotations

from typing import Any

import yaml
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.network.ext_authz.v3 import ext_authz_pb2 as network_ext_authz_pb2
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpFilter,
)
from google.protobuf import json_format

from tests.conformance.runner import Case, cases
from upstream.config import MeshConfig, parse_documents
from upstream.generate.authz import http_authorization, tcp_authorization
from upstream.generate.view import view_of
from upstream.proxy import Proxy, ProxyType
from upstream.world import World

assert ext_authz_pb2  # descriptors register themselves for json_format
assert network_ext_authz_pb2


def policies(case: Case) -> str:
    return (case.folder / "policies.yaml").read_text()


def serves(case: Case) -> bool:
    """External authorizers are not served."""
    actions = [one["spec"].get("action") for one in yaml.safe_load_all(policies(case)) if one]
    return "CUSTOM" not in actions


def world_of(case: Case) -> World:
    objects, faults = parse_documents(policies(case), "policies.yaml")
    assert not [fault for fault in faults if fault.fatal]
    mesh = MeshConfig(
        trust_domain=case.data["trustDomain"],
        trust_domain_aliases=tuple(case.data["trustDomainAliases"]),
        root_namespace=case.data["rootNamespace"],
    )
    return World({"policies.yaml": objects}, mesh=mesh)


def proxy_of(case: Case) -> Proxy:
    return Proxy(
        type=ProxyType.SIDECAR,
        ips=("10.0.0.1",),
        id="httpbin.foo",
        domain="foo.svc.cluster.local",
        namespace=case.data["proxy"]["namespace"],
        labels=case.data["proxy"]["labels"],
    )


def expected(case: Case, kind: type[Filter | HttpFilter]) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((case.folder / "expected.yaml").read_text())
    wanted = [json_format.ParseDict(one, kind()) for one in documents if one]
    return [json_format.MessageToDict(one) for one in wanted]


@cases("authz/http", serves=serves)
def test_authz_http(case: Case) -> None:
    made = http_authorization(view_of(proxy_of(case), world_of(case)))
    assert [json_format.MessageToDict(one) for one in made] == expected(case, HttpFilter)


@cases("authz/tcp", serves=serves)
def test_authz_tcp(case: Case) -> None:
    made = tcp_authorization(view_of(proxy_of(case), world_of(case)))
    assert [json_format.MessageToDict(one) for one in made] == expected(case, Filter)
