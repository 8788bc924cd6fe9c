# SPDX-License-Identifier: Apache-2.0
"""HTTP routes that are refused, and for which field."""

from __future__ import annotations

import pytest

from tests.upstream.config.said import faults
from upstream.config import Kind

TO = "route: [{destination: {host: b.test}}]"


def said(route: str, hosts: str = "hosts: [a.test], ") -> dict[str, str]:
    found = faults(Kind.VIRTUAL_SERVICE, f"{{{hosts}http: [{{{route}}}]}}")
    return {field.removeprefix("http[0]").lstrip("."): why for field, why in found.items()}


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ("name: nothing", ""),
        (f"{TO}, redirect: {{uri: /x}}", ""),
        ("redirect: {uri: /x}, fault: {abort: {httpStatus: 500}}", "fault"),
        ("redirect: {uri: /x}, rewrite: {uri: /y}", "rewrite"),
        ("route: [{destination: {host: '*.test'}}]", "route[0].destination.host"),
        ("route: [{destination: {host: b, subset: 'v 1'}}]", "route[0].destination.subset"),
        ("route: [{destination: {host: b}, weight: -1}]", "route[0].weight"),
        ("route: [{destination: {host: b}}, {destination: {host: c}}]", "route"),
        (f"match: [{{uri: {{}}}}], {TO}", "match[0].uri"),
        (f"match: [{{uri: {{regex: '(?=a)'}}}}], {TO}", "match[0].uri.regex"),
        (f"match: [{{headers: {{x: {{regex: '('}}}}}}], {TO}", "match[0].headers[x].regex"),
        (f"match: [{{port: 70000}}], {TO}", "match[0].port"),
        (f"timeout: 0.1ms, {TO}", "timeout"),
        (f"retries: {{attempts: -1}}, {TO}", "retries.attempts"),
        (f"retries: {{attempts: 0, retryOn: 5xx}}, {TO}", "retries.attempts"),
        (f"retries: {{attempts: 1, retryOn: 'nosuch,999'}}, {TO}", "retries.retryOn"),
        (f"fault: {{}}, {TO}", "fault"),
        (f"fault: {{delay: {{percentage: {{value: 1}}}}}}, {TO}", "fault.delay.fixedDelay"),
        (f"fault: {{abort: {{httpStatus: 700}}}}, {TO}", "fault.abort.httpStatus"),
        (f"fault: {{abort: {{grpcStatus: NOPE}}}}, {TO}", "fault.abort.grpcStatus"),
        (
            f"fault: {{abort: {{httpStatus: 500, percentage: {{value: 101}}}}}}, {TO}",
            "fault.abort.percentage.value",
        ),
        (f"mirror: {{host: b}}, mirrors: [{{destination: {{host: c}}}}], {TO}", "mirrors"),
        (f"mirror: {{host: b}}, mirrorPercentage: {{value: -1}}, {TO}", "mirrorPercentage.value"),
        (f"headers: {{request: {{set: {{':path': /x}}}}}}, {TO}", "headers.request.set[:path]"),
        (f"headers: {{request: {{remove: [Host]}}}}, {TO}", "headers.request.remove[Host]"),
        (f"headers: {{response: {{add: {{a: '50%'}}}}}}, {TO}", "headers.response.add[a]"),
        (f"rewrite: {{}}, {TO}", "rewrite"),
        (
            f"rewrite: {{uriRegexRewrite: {{match: '*', rewrite: /}}}}, {TO}",
            "rewrite.uriRegexRewrite.match",
        ),
        (f"rewrite: {{uri: /, uriRegexRewrite: {{match: a, rewrite: b}}}}, {TO}", "rewrite"),
        (
            f"rewrite: {{authority: a}}, headers: {{request: {{set: {{host: b}}}}}}, {TO}",
            "rewrite.authority",
        ),
        ("redirect: {}", "redirect"),
        ("redirect: {uri: /, redirectCode: 200}", "redirect.redirectCode"),
        ("redirect: {uri: /, scheme: ftp}", "redirect.scheme"),
        ("directResponse: {status: 99}", "directResponse.status"),
        ("directResponse: {status: 200, body: {bytes: '!'}}", "directResponse.body.bytes"),
        (
            f"corsPolicy: {{allowOrigins: [{{regex: '*'}}]}}, {TO}",
            "corsPolicy.allowOrigins[0].regex",
        ),
        (f"corsPolicy: {{allowMethods: [FETCH]}}, {TO}", "corsPolicy.allowMethods[0]"),
        (f"corsPolicy: {{maxAge: 1.5s}}, {TO}", "corsPolicy.maxAge"),
        ("match: [{uri: {regex: a}}], delegate: {name: d}", "match[0].uri.regex"),
    ],
)
def test_refused(route: str, field: str) -> None:
    assert field in said(route)


@pytest.mark.parametrize(
    "route",
    [
        "directResponse: {status: 200, body: {string: hello}}",
        "directResponse: {status: 503}, fault: {abort: {httpStatus: 500}}",
        "redirect: {authority: b.test, derivePort: FROM_REQUEST_PORT}",
        "delegate: {name: d}",
        f"match: [{{headers: {{x: {{regex: '*'}}, y: {{}}}}}}], timeout: 0s, {TO}",
        f"retries: {{attempts: 3, retryOn: 'reset, 503,retriable-4xx', backoff: 25ms}}, {TO}",
        f"headers: {{request: {{set: {{a: '100%%', b: '%PROTOCOL%', c: '%REQ(x):3%'}}}}}}, {TO}",
        f"fault: {{abort: {{grpcStatus: UNAVAILABLE}}, delay: {{fixedDelay: 1s, percent: 5}}}}, {TO}",
    ],
)
def test_taken(route: str) -> None:
    assert said(route) == {}


def test_a_delegate_has_no_expressions() -> None:
    assert "match[0].uri.regex" in said(f"match: [{{uri: {{regex: a}}}}], {TO}", hosts="")
