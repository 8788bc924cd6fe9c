# SPDX-License-Identifier: Apache-2.0
"""A VirtualService's conditions in Envoy's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import plain
from tests.upstream.support import sidecar, world
from upstream.config import Kind
from upstream.config.virtual_service import HttpMatch
from upstream.generate.route_match import applies, catches_all, route_match
from upstream.generate.view import view_of

TEXT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: default}}
spec:
  hosts: [a.test]
  gateways: [mesh, gw]
  http: [{{match: [{match}], route: [{{destination: {{host: a.test}}}}]}}]
"""


def parsed(match: str) -> HttpMatch:
    (one,) = world(TEXT.format(match=match)).objects(Kind.VIRTUAL_SERVICE)
    found: HttpMatch = one.spec.http[0].match[0]
    return found


def test_nothing_asked_for_is_everything() -> None:
    assert plain(route_match(None)) == {"prefix": "/"}


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{uri: {exact: /x}}", {"path": "/x"}),
        ("{uri: {prefix: /x}}", {"prefix": "/x"}),
        ("{uri: {regex: /x.*}}", {"safeRegex": {"regex": "/x.*"}}),
    ],
)
def test_path(match: str, expected: dict[str, Any]) -> None:
    assert plain(route_match(parsed(match))) == {**expected, "caseSensitive": True}


def test_case_of_the_path() -> None:
    match = parsed("{uri: {prefix: /x}, ignoreUriCase: true}")
    assert plain(route_match(match))["caseSensitive"] is False


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{headers: {x: {exact: v}}}", [{"name": "x", "stringMatch": {"exact": "v"}}]),
        ("{headers: {x: {prefix: v}}}", [{"name": "x", "stringMatch": {"prefix": "v"}}]),
        (
            "{headers: {x: {regex: v+}}}",
            [{"name": "x", "stringMatch": {"safeRegex": {"regex": "v+"}}}],
        ),
        ("{headers: {x: {}}}", [{"name": "x", "presentMatch": True}]),
        ("{headers: {x: {regex: '*'}}}", [{"name": "x", "presentMatch": True}]),
        (
            "{withoutHeaders: {x: {exact: v}}}",
            [
                {
                    "name": "x",
                    "stringMatch": {"exact": "v"},
                    "invertMatch": True,
                    "treatMissingHeaderAsEmpty": True,
                }
            ],
        ),
        (
            "{withoutHeaders: {x: {}}}",
            [{"name": "x", "presentMatch": True, "invertMatch": True}],
        ),
        (
            (
                "{headers: {b: {exact: v}, a: {exact: w}}, method: {exact: GET},"
                " authority: {prefix: h}, scheme: {exact: https}}"
            ),
            [
                {"name": "a", "stringMatch": {"exact": "w"}},
                {"name": "b", "stringMatch": {"exact": "v"}},
                {"name": ":method", "stringMatch": {"exact": "GET"}},
                {"name": ":authority", "stringMatch": {"prefix": "h"}},
                {"name": ":scheme", "stringMatch": {"exact": "https"}},
            ],
        ),
    ],
)
def test_headers_by_name_then_what_the_request_itself_is(
    match: str, expected: list[dict[str, Any]]
) -> None:
    assert plain(route_match(parsed(match)))["headers"] == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("{exact: v}", {"stringMatch": {"exact": "v"}}),
        ("{regex: v+}", {"stringMatch": {"safeRegex": {"regex": "v+"}}}),
        ("{exact: ''}", {"presentMatch": True}),
    ],
)
def test_query_parameters(wanted: str, expected: dict[str, Any]) -> None:
    made = plain(route_match(parsed(f"{{queryParams: {{q: {wanted}}}}}")))
    assert made["queryParameters"] == [{"name": "q", **expected}]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("@request.auth.claims.group", ["payload", "group"]),
        ("@request.auth.claims.a.b", ["payload", "a", "b"]),
        ("@request.auth.claims[a.b][c]", ["payload", "a.b", "c"]),
    ],
)
def test_claims_are_metadata_of_the_token_filter(name: str, keys: list[str]) -> None:
    made = plain(route_match(parsed(f'{{headers: {{"{name}": {{exact: v}}}}}}')))
    (claim,) = made["dynamicMetadata"]
    assert claim["filter"] == "envoy.filters.http.jwt_authn"
    assert [one["key"] for one in claim["path"]] == keys
    value = {"stringMatch": {"exact": "v"}}
    assert claim["value"]["orMatch"]["valueMatchers"] == [value, {"listMatch": {"oneOf": value}}]
    assert "invert" not in claim
    assert "headers" not in made


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{uri: {prefix: /}}", True),
        ("{uri: {regex: .*}}", True),
        ("{uri: {prefix: /x}}", False),
        ("{uri: {exact: /}}", False),
        ("{headers: {x: {exact: v}}}", False),
        ("{queryParams: {x: {exact: v}}}", False),
        ("{withoutHeaders: {'@request.auth.claims.x': {exact: v}}}", False),
        ("{port: 80}", True),
    ],
)
def test_catches_all(match: str, *, expected: bool) -> None:
    assert catches_all(route_match(parsed(match))) is expected


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{port: 80}", True),
        ("{port: 81}", False),
        ("{gateways: [mesh]}", True),
        ("{gateways: [gw]}", False),
        ("{sourceNamespace: default}", True),
        ("{sourceNamespace: other}", False),
        ("{sourceLabels: {app: a}}", True),
        ("{sourceLabels: {app: a, more: x}}", False),
    ],
)
def test_what_is_settled_before_any_request(match: str, *, expected: bool) -> None:
    view = view_of(sidecar(labels={"app": "a", "version": "v1"}), world())
    assert applies(parsed(match), view, 80) is expected
    assert applies(None, view, 80)
