# SPDX-License-Identifier: Apache-2.0
"""Faults and CORS, each field."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import plain
from tests.upstream.support import world
from upstream.config import Kind
from upstream.config.virtual_service import HttpRoute
from upstream.generate.route_filters import cors, fault

TEXT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: default}}
spec:
  hosts: [a.test]
  http: [{{{rule}, route: [{{destination: {{host: a.test}}}}]}}]
"""
ALL = {"numerator": 100}


def parsed(rule: str) -> HttpRoute:
    (one,) = world(TEXT.format(rule=rule)).objects(Kind.VIRTUAL_SERVICE)
    found: HttpRoute = one.spec.http[0]
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "{delay: {fixedDelay: 5s, percentage: {value: 0.5}}}",
            {
                "delay": {
                    "fixedDelay": "5s",
                    "percentage": {"numerator": 5000, "denominator": "MILLION"},
                }
            },
        ),
        (
            "{abort: {httpStatus: 503, percentage: {value: 100}}}",
            {
                "abort": {
                    "httpStatus": 503,
                    "percentage": {"numerator": 1000000, "denominator": "MILLION"},
                }
            },
        ),
        (
            "{abort: {grpcStatus: UNAVAILABLE, percentage: {value: 1}}}",
            {
                "abort": {
                    "grpcStatus": 14,
                    "percentage": {"numerator": 10000, "denominator": "MILLION"},
                }
            },
        ),
    ],
)
def test_fault(given: str, expected: dict[str, Any]) -> None:
    found = parsed(f"fault: {given}").fault
    assert found is not None
    assert plain(fault(found)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{}", {}),
        ("{allowOrigin: [a]}", {"allowOriginStringMatch": [{"exact": "a"}]}),
        (
            "{allowOrigin: [old], allowOrigins: [{exact: a}]}",
            {"allowOriginStringMatch": [{"exact": "a"}]},
        ),
        (
            "{allowOrigins: [{exact: a}, {prefix: b}, {regex: c}]}",
            {
                "allowOriginStringMatch": [
                    {"exact": "a"},
                    {"prefix": "b"},
                    {"safeRegex": {"regex": "c"}},
                ]
            },
        ),
        (
            "{allowMethods: [GET, PUT], allowHeaders: [x, y], exposeHeaders: [z]}",
            {"allowMethods": "GET,PUT", "allowHeaders": "x,y", "exposeHeaders": "z"},
        ),
        ("{maxAge: 90s}", {"maxAge": "90"}),
        ("{allowCredentials: false}", {"allowCredentials": False}),
        ("{unmatchedPreflights: IGNORE}", {"forwardNotMatchingPreflights": False}),
        ("{unmatchedPreflights: FORWARD}", {}),
    ],
)
def test_cors(given: str, expected: dict[str, Any]) -> None:
    found = parsed(f"corsPolicy: {given}").cors_policy
    assert found is not None
    assert plain(cors(found)) == {
        "filterEnabled": {"defaultValue": ALL},
        "forwardNotMatchingPreflights": True,
        **expected,
    }
