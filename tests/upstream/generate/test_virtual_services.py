# SPDX-License-Identifier: Apache-2.0
"""VirtualServices with names completed, delegates merged and visibility applied."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.upstream.support import world
from upstream.config.shared import StringMatch
from upstream.generate.virtual_services import Routing, mesh_routings

OBJECT = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME, namespace: SPACE}
spec: {SPEC}
"""
TO = "route: [{destination: {host: d}}]"


def virtual(spec: str, name: str = "v", space: str = "demo") -> str:
    return OBJECT.replace("NAME", name).replace("SPACE", space).replace("SPEC", spec)


def routings(*texts: str, namespace: str = "demo") -> tuple[Routing, ...]:
    return mesh_routings(world("".join(texts)), namespace)


def test_short_names_are_of_the_objects_namespace() -> None:
    (one,) = routings(
        virtual(
            "hosts: [a, b.test], gateways: [mesh, g, x/y],"
            f" http: [{{match: [{{gateways: [g]}}], mirror: {{host: m}}, {TO}}}],"
            " tcp: [{route: [{destination: {host: t}}]}]"
        )
    )
    suffix = "demo.svc.cluster.local"
    assert one.hosts == (f"a.{suffix}", "b.test")
    assert one.gateways == {"mesh", "demo/g", "x/y"}
    assert one.destinations == {f"{host}.{suffix}" for host in ("d", "m", "t")}
    assert one.http[0].match[0].gateways == ("demo/g",)
    assert one.config_path == "/apis/networking.istio.io/v1/namespaces/demo/virtual-service/v"


@pytest.mark.parametrize(
    ("spec", "own", "other"),
    [
        (f"hosts: [a], http: [{{{TO}}}]", 1, 1),
        (f"hosts: [a], exportTo: ['.'], http: [{{{TO}}}]", 1, 0),
        (f"hosts: [a], gateways: [g], http: [{{{TO}}}]", 0, 0),
        (f"http: [{{{TO}}}]", 0, 0),
    ],
)
def test_who_sees_it(spec: str, own: int, other: int) -> None:
    assert len(routings(virtual(spec))) == own
    assert len(routings(virtual(spec), namespace="third")) == other


ROOT = (
    "hosts: [a], http: [{name: r, match: [{uri: {prefix: /x}, headers: {h: {exact: v}}}],"
    " timeout: 9s, delegate: {name: inner, namespace: team}}]"
)


def inner(route: str, more: str = "") -> str:
    return virtual(f"{more}http: [{{{route}}}]", "inner", "team")


def test_a_delegates_routes_under_the_roots_conditions() -> None:
    (one,) = routings(
        virtual(ROOT), inner(f"name: i, match: [{{uri: {{exact: /x/y}}, port: 80}}], {TO}")
    )
    (rule,) = one.http
    (match,) = rule.match
    assert rule.name == "r-i"
    assert (match.uri, match.port) == (StringMatch(exact="/x/y"), 80)
    assert match.headers == {"h": StringMatch(exact="v")}
    assert rule.timeout == timedelta(seconds=9)
    assert rule.route[0].destination.host == "d.team.svc.cluster.local"


def test_what_the_delegate_says_itself_stays() -> None:
    (one,) = routings(virtual(ROOT), inner(f"timeout: 1s, {TO}"))
    assert one.http[0].timeout == timedelta(seconds=1)
    assert one.http[0].match[0].uri == StringMatch(prefix="/x")


@pytest.mark.parametrize(
    ("route", "more"),
    [
        (f"match: [{{uri: {{prefix: /other}}}}], {TO}", ""),
        (f"match: [{{headers: {{h: {{exact: w}}}}}}], {TO}", ""),
        ("delegate: {name: deeper}", ""),
        (TO, "exportTo: ['.'], "),
    ],
)
def test_what_cannot_be_merged_is_left_out(route: str, more: str) -> None:
    (one,) = routings(virtual(ROOT), inner(route, more))
    assert one.http == ()


def test_a_delegate_that_is_not_there() -> None:
    (one,) = routings(virtual(ROOT))
    assert one.http == ()


def test_made_once_for_a_world() -> None:
    where = world(virtual(f"hosts: [a], http: [{{{TO}}}]"))
    assert mesh_routings(where, "demo")[0] is mesh_routings(where, "other")[0]
