# SPDX-License-Identifier: Apache-2.0
"""The routes of one VirtualService in order, and of a service without one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import plain
from tests.upstream.support import sidecar, world
from upstream.generate.http_routes import default_route, routes_of
from upstream.generate.view import View, view_of

TEXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec: {hosts: [a.test], ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [a.test], http: [RULES]}
"""
TO = "route: [{destination: {host: a.test}}]"
TWO = "route: [{destination: {host: a.test}, weight: 1}, {destination: {host: b.test}, weight: 1}]"


def view(rules: str) -> View:
    return view_of(sidecar(labels={"app": "a"}), world(TEXT.replace("RULES", rules)))


def routes(rules: str, port: int = 80) -> list[dict[str, Any]]:
    where = view(rules)
    (routing,) = where.scope.egress[0].routings
    return [plain(one) for one in routes_of(routing, where, port)]


def test_each_condition_is_a_route() -> None:
    made = routes(f"{{match: [{{uri: {{exact: /a}}}}, {{uri: {{prefix: /b}}}}], {TO}}}, {{{TO}}}")
    assert [one["match"].get("path") or one["match"]["prefix"] for one in made] == ["/a", "/b", "/"]


def test_nothing_follows_what_catches_all() -> None:
    assert len(routes(f"{{{TO}}}, {{match: [{{uri: {{exact: /a}}}}], {TO}}}")) == 1


@pytest.mark.parametrize(
    ("match", "count"),
    [
        ("port: 80", 1),
        ("port: 81", 0),
        ("sourceLabels: {app: b}", 0),
        ("sourceLabels: {app: a}", 1),
        ("sourceLabels: {app: a, more: b}", 0),
        ("sourceNamespace: other", 0),
        ("gateways: [g]", 0),
        ("gateways: [mesh]", 1),
    ],
)
def test_conditions_that_are_settled_here(match: str, count: int) -> None:
    assert len(routes(f"{{match: [{{{match}}}], {TO}}}")) == count


@pytest.mark.parametrize(
    ("rule", "name", "operation"),
    [
        (f"name: r, {TO}", "r", "a.test:80/*"),
        (f"name: r, match: [{{name: m, uri: {{exact: /x}}}}], {TO}", "r.m", "a.test:80/x"),
        (f"match: [{{uri: {{regex: '/x.*'}}}}], {TO}", "", "a.test:80/x.*"),
        (TWO, "", "v:80/*"),
        ("redirect: {uri: /y}", "", "v:80/*"),
    ],
)
def test_what_it_is_called(rule: str, name: str, operation: str) -> None:
    (made,) = routes(f"{{{rule}}}")
    assert made.get("name", "") == name
    assert made["decorator"]["operation"] == operation
    config = made["metadata"]["filterMetadata"]["istio"]["config"]
    assert config.endswith("/virtual-service/v")


def test_filters_of_one_route() -> None:
    (made,) = routes(
        f"{{fault: {{abort: {{httpStatus: 503}}}}, corsPolicy: {{allowOrigins: [{{exact: o}}]}}, {TO}}}"
    )
    assert set(made["typedPerFilterConfig"]) == {
        "envoy.filters.http.fault",
        "envoy.filters.http.cors",
    }


def test_a_service_without_one() -> None:
    where = view(f"{{{TO}}}")
    (service,) = where.scope.services
    made = plain(default_route(service, service.ports[0], where))
    assert (made["name"], made["match"]) == ("default", {"prefix": "/"})
    assert made["route"]["cluster"] == "outbound|80||a.test"
    assert made["decorator"] == {"operation": "a.test:80/*"}
