# SPDX-License-Identifier: Apache-2.0
"""VirtualServices that are refused, and for which field; single HTTP routes have a test of their own."""

from __future__ import annotations

import pytest

from tests.upstream.config.said import faults
from upstream.config import Kind

TO = "route: [{destination: {host: b.test}}]"
HTTP = f"http: [{{{TO}}}]"
CLAIM = "headers: {'@request.auth.claims.x': {exact: y}}"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("{hosts: [a.test]}", "spec"),
        (f"{{hosts: ['*'], {HTTP}}}", "hosts[0]"),
        (f"{{hosts: ['a!'], {HTTP}}}", "hosts[0]"),
        (f"{{hosts: [a.test, A.test], {HTTP}}}", "hosts[1]"),
        (f"{{hosts: ['*.a.test', '*.test'], {HTTP}}}", "hosts[1]"),
        (f"{{hosts: [a.test], gateways: ['a/*'], {HTTP}}}", "gateways[0]"),
        (f"{{hosts: [a.test], gateways: [a/b/c], {HTTP}}}", "gateways[0]"),
        (f"{{gateways: [g], {HTTP}}}", "gateways"),
        (f"{{tcp: [{{{TO}}}]}}", "tcp"),
        (
            f"{{hosts: [a.test], http: [{{match: [{{{CLAIM}}}], {TO}}}]}}",
            "http[0].match[0].headers[@request.auth.claims.x]",
        ),
        ("{hosts: [a.test], tcp: [{match: [{port: 1}]}]}", "tcp[0].route"),
        (
            f"{{hosts: [a.test], tcp: [{{match: [{{destinationSubnets: [x]}}], {TO}}}]}}",
            "tcp[0].match[0].destinationSubnets[0]",
        ),
        (f"{{hosts: [a.test], tls: [{{{TO}}}]}}", "tls[0].match"),
        (f"{{hosts: [a.test], tls: [{{match: [{{port: 1}}], {TO}}}]}}", "tls[0].match[0].sniHosts"),
        (
            f"{{hosts: [a.test], tls: [{{match: [{{sniHosts: [b.test]}}], {TO}}}]}}",
            "tls[0].match[0].sniHosts[0]",
        ),
        (f"{{hosts: [a.test], exportTo: [A!], {HTTP}}}", "exportTo[0]"),
        (
            "{hosts: [a.test], tcp: [{route: [{destination: {host: a}}, {destination: {host: b}}]}]}",
            "tcp[0].route",
        ),
    ],
)
def test_refused(spec: str, field: str) -> None:
    assert field in faults(Kind.VIRTUAL_SERVICE, spec)


@pytest.mark.parametrize(
    "spec",
    [
        f"{{hosts: [a], {HTTP}}}",
        f"{{hosts: [10.0.0.1], {HTTP}}}",
        f"{{hosts: ['*'], gateways: [g], {HTTP}}}",
        f"{{hosts: [a.test], gateways: [mesh, ns/g], http: [{{match: [{{{CLAIM}}}], {TO}}}]}}",
        f"{{{HTTP}}}",
        f"{{hosts: ['*.test'], tls: [{{match: [{{sniHosts: [a.test, 1.1.1.1]}}], {TO}}}]}}",
    ],
)
def test_taken(spec: str) -> None:
    assert faults(Kind.VIRTUAL_SERVICE, spec) == {}
