# SPDX-License-Identifier: Apache-2.0
"""What a route does: where it forwards, how it retries, what it rewrites and answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import hosts
from tests.upstream.support import sidecar, world

TEXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec: {hosts: [a.test], ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b, namespace: default}
spec: {hosts: [b.test], ports: [{number: 8080, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [a.test], http: [RULE]}
"""
HASHED = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: default}
spec: {host: a.test, trafficPolicy: {loadBalancer: {consistentHash: HASH}}}
"""
TO_A = "route: [{destination: {host: a.test}}]"
A = "outbound|80||a.test"
B = "outbound|8080||b.test"
RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"


def route(rule: str, more: str = "", mesh: str | None = None) -> dict[str, Any]:
    where = world(TEXT.replace("RULE", f"{{{rule}}}") + more, mesh)
    found: dict[str, Any] = hosts(sidecar(), where, "80")["a.test:80"]["routes"][0]
    return found


def action(rule: str, more: str = "", mesh: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = route(rule, more, mesh)["route"]
    return found


@pytest.mark.parametrize(
    ("destinations", "expected"),
    [
        ("[{destination: {host: a.test}}]", A),
        ("[{destination: {host: a.test, subset: v1}}]", "outbound|80|v1|a.test"),
        ("[{destination: {host: a.test, port: {number: 9}}}]", "outbound|9||a.test"),
        ("[{destination: {host: b.test}}]", B),
        ("[{destination: {host: unknown.test}}]", "outbound|80||unknown.test"),
        (
            "[{destination: {host: a.test}, weight: 100}, {destination: {host: b.test}, weight: 0}]",
            A,
        ),
    ],
)
def test_one_cluster(destinations: str, expected: str) -> None:
    assert action(f"route: {destinations}")["cluster"] == expected


def test_shares_of_several() -> None:
    made = action(
        "route: [{destination: {host: a.test}, weight: 30},"
        " {destination: {host: b.test}, weight: 70, headers: {request: {set: {Host: h}}}}]"
    )
    assert made["weightedClusters"]["clusters"] == [
        {"name": A, "weight": 30},
        {"name": B, "weight": 70, "hostRewriteLiteral": "h"},
    ]


def test_no_timeout_unless_asked_for() -> None:
    quiet, asked = action(TO_A), action(f"timeout: 3s, {TO_A}")
    assert (quiet["timeout"], quiet["maxGrpcTimeout"]) == ("0s", "0s")
    assert (asked["timeout"], asked["maxGrpcTimeout"]) == ("3s", "3s")


PREVIOUS = "envoy.retry_host_predicates.previous_hosts"


@pytest.mark.parametrize(
    ("retries", "mesh", "expected"),
    [
        ("", None, {"numRetries": 2, "retryOn": RETRY_ON, "hostSelectionRetryMaxAttempts": "5"}),
        (
            "{attempts: 3, perTryTimeout: 1s}",
            None,
            {
                "numRetries": 3,
                "retryOn": RETRY_ON,
                "perTryTimeout": "1s",
                "hostSelectionRetryMaxAttempts": "5",
            },
        ),
        (
            "{attempts: 1, retryOn: '5xx, 429,reset'}",
            None,
            {
                "numRetries": 1,
                "retryOn": "5xx,reset,retriable-status-codes",
                "retriableStatusCodes": [429],
                "hostSelectionRetryMaxAttempts": "5",
            },
        ),
        (
            "{attempts: 1, backoff: 2s}",
            None,
            {
                "numRetries": 1,
                "retryOn": RETRY_ON,
                "retryBackOff": {"baseInterval": "2s"},
                "hostSelectionRetryMaxAttempts": "5",
            },
        ),
        (
            "",
            "defaultHttpRetryPolicy: {attempts: 7, retryOn: reset}",
            {"numRetries": 7, "retryOn": "reset", "hostSelectionRetryMaxAttempts": "5"},
        ),
    ],
)
def test_retries_elsewhere(retries: str, mesh: str | None, expected: dict[str, Any]) -> None:
    made = action(f"retries: {retries}, {TO_A}" if retries else TO_A, mesh=mesh)["retryPolicy"]
    (predicate,) = made.pop("retryHostPredicate")
    assert predicate["name"] == PREVIOUS
    assert made == expected


@pytest.mark.parametrize(
    ("retries", "mesh"),
    [("{attempts: 0}", None), ("", "defaultHttpRetryPolicy: {attempts: 0}")],
)
def test_no_retries(retries: str, mesh: str | None) -> None:
    rule = f"retries: {retries}, {TO_A}" if retries else TO_A
    assert "retryPolicy" not in action(rule, mesh=mesh)


def test_retries_at_the_same_host_and_in_other_localities_when_asked_for() -> None:
    same = "retries: {attempts: 1, retryIgnorePreviousHosts: false}"
    far = "retries: {attempts: 1, retryRemoteLocalities: true}"
    assert "retryHostPredicate" not in action(f"{same}, {TO_A}")["retryPolicy"]
    priority = action(f"{far}, {TO_A}")["retryPolicy"]["retryPriority"]
    assert priority["name"] == "envoy.retry_priorities.previous_priorities"
    assert priority["typedConfig"]["updateFrequency"] == 2


@pytest.mark.parametrize(
    ("hashed", "expected"),
    [
        ("{httpHeaderName: x}", {"header": {"headerName": "x"}}),
        ("{useSourceIp: true}", {"connectionProperties": {"sourceIp": True}}),
        ("{httpQueryParameterName: q}", {"queryParameter": {"name": "q"}}),
        (
            "{httpCookie: {name: c, path: /p, ttl: 0s}}",
            {"cookie": {"name": "c", "path": "/p", "ttl": "0s"}},
        ),
    ],
)
def test_a_hashed_destination_is_fed_and_not_left_on_retry(
    hashed: str, expected: dict[str, Any]
) -> None:
    made = action(TO_A, HASHED.replace("HASH", hashed))
    assert made["hashPolicy"] == [expected]
    assert "retryHostPredicate" not in made["retryPolicy"]


@pytest.mark.parametrize(
    ("rewrite", "expected"),
    [
        ("{uri: /new}", {"prefixRewrite": "/new"}),
        ("{authority: h}", {"hostRewriteLiteral": "h"}),
        (
            r"{uriRegexRewrite: {match: '^/a(.*)', rewrite: '/b\1'}}",
            {
                "regexRewrite": {
                    "pattern": {"regex": "^/a(.*)"},
                    "substitution": r"/b\1",
                }
            },
        ),
    ],
)
def test_rewrite(rewrite: str, expected: dict[str, Any]) -> None:
    made = action(f"rewrite: {rewrite}, {TO_A}")
    names = ("prefixRewrite", "hostRewriteLiteral", "regexRewrite")
    assert {name: made[name] for name in names if name in made} == expected


def test_headers_set_before_added_by_name_and_the_host_apart() -> None:
    made = route(
        "headers: {request: {set: {b: '1', a: '2', Host: h}, add: {c: '3'}, remove: [d]},"
        f" response: {{remove: [e], set: {{f: '4'}}}}}}, {TO_A}"
    )
    added = [(one["header"]["key"], one.get("appendAction")) for one in made["requestHeadersToAdd"]]
    over = "OVERWRITE_IF_EXISTS_OR_ADD"
    assert added == [("a", over), ("b", over), ("c", None)]
    assert made["requestHeadersToRemove"] == ["d"]
    assert [one["header"]["key"] for one in made["responseHeadersToAdd"]] == ["f"]
    assert made["responseHeadersToRemove"] == ["e"]
    assert made["route"]["hostRewriteLiteral"] == "h"


@pytest.mark.parametrize(
    ("mirror", "expected"),
    [
        ("mirror: {host: b.test}", [(B, {"numerator": 100})]),
        (
            "mirror: {host: b.test}, mirrorPercentage: {value: 12.5}",
            [(B, {"numerator": 125000, "denominator": "MILLION"})],
        ),
        ("mirror: {host: b.test}, mirrorPercentage: {value: 0}", []),
        (
            "mirrors: [{destination: {host: b.test}}, {destination: {host: a.test}}]",
            [(B, {"numerator": 100}), (A, {"numerator": 100})],
        ),
    ],
)
def test_mirrors(mirror: str, expected: list[tuple[str, dict[str, Any]]]) -> None:
    made = action(f"{mirror}, {TO_A}").get("requestMirrorPolicies", [])
    assert [(one["cluster"], one["runtimeFraction"]["defaultValue"]) for one in made] == expected


SAME_PATH = {"pathRedirect": ""}
"""Said though it is empty, as istiod says it."""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{uri: /x, authority: h}", {"pathRedirect": "/x", "hostRedirect": "h"}),
        ("{uri: /x, redirectCode: 301}", {"pathRedirect": "/x"}),
        ("{uri: /x, redirectCode: 302}", {"pathRedirect": "/x", "responseCode": "FOUND"}),
        (
            "{uri: /x, redirectCode: 308}",
            {"pathRedirect": "/x", "responseCode": "PERMANENT_REDIRECT"},
        ),
        ("{scheme: https, port: 443}", {**SAME_PATH, "schemeRedirect": "https"}),
        ("{scheme: https, port: 80}", {**SAME_PATH, "schemeRedirect": "https", "portRedirect": 80}),
        ("{authority: h, port: 8443}", {**SAME_PATH, "hostRedirect": "h", "portRedirect": 8443}),
        ("{authority: h, derivePort: FROM_REQUEST_PORT}", {**SAME_PATH, "hostRedirect": "h"}),
        (
            "{scheme: https, derivePort: FROM_REQUEST_PORT}",
            {**SAME_PATH, "schemeRedirect": "https", "portRedirect": 80},
        ),
        ("{authority: h, derivePort: FROM_PROTOCOL_DEFAULT}", {**SAME_PATH, "hostRedirect": "h"}),
    ],
)
def test_redirect(given: str, expected: dict[str, Any]) -> None:
    made = route(f"redirect: {given}")
    assert made["redirect"] == expected
    assert "route" not in made


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", {}),
        (", body: {string: hello}", {"body": {"inlineString": "hello"}}),
        (", body: {bytes: aGk=}", {"body": {"inlineBytes": "aGk="}}),
    ],
)
def test_direct_response(body: str, expected: dict[str, Any]) -> None:
    made = route(f"directResponse: {{status: 418{body}}}")
    assert made["directResponse"] == {"status": 418, **expected}
