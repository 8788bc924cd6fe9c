# SPDX-License-Identifier: Apache-2.0
"""Every part of a VirtualService is read from its YAML name."""

from __future__ import annotations

from datetime import timedelta

from tests.upstream.config.said import spec_of
from upstream.config import Kind
from upstream.config.shared import PortSelector, StringMatch
from upstream.config.virtual_service import (
    Destination,
    RedirectPort,
    TlsMatch,
    UnmatchedPreflights,
    VirtualService,
)


def http(route: str) -> VirtualService:
    found = spec_of(Kind.VIRTUAL_SERVICE, f"{{hosts: [a.test], http: [{{{route}}}]}}")
    assert isinstance(found, VirtualService)
    return found


def test_conditions() -> None:
    (match,) = (
        http(
            "match: [{name: m, uri: {prefix: /a}, method: {exact: GET}, headers: {x: {regex: y}},"
            " withoutHeaders: {z: {}}, queryParams: {q: {exact: '1'}}, ignoreUriCase: true, port: 80,"
            " sourceLabels: {app: a}, sourceNamespace: n, gateways: [mesh]}],"
            " route: [{destination: {host: b}}]"
        )
        .http[0]
        .match
    )
    assert (match.name, match.uri, match.method) == (
        "m",
        StringMatch(prefix="/a"),
        StringMatch(exact="GET"),
    )
    assert (match.headers, match.without_headers) == (
        {"x": StringMatch(regex="y")},
        {"z": StringMatch()},
    )
    assert match.query_params == {"q": StringMatch(exact="1")}
    assert (match.ignore_uri_case, match.port, match.source_labels) == (True, 80, {"app": "a"})
    assert (match.source_namespace, match.gateways) == ("n", ("mesh",))


def test_an_action_with_everything() -> None:
    (rule,) = http(
        "name: r, timeout: 3s, retries: {attempts: 2, perTryTimeout: 1s, retryOn: 5xx, backoff: 1s,"
        " retryRemoteLocalities: true, retryIgnorePreviousHosts: false},"
        " fault: {delay: {fixedDelay: 1s, percentage: {value: 0.5}}, abort: {grpcStatus: INTERNAL}},"
        " mirror: {host: m, subset: v1}, mirrorPercentage: {value: 5}, rewrite: {uri: /x, authority: h},"
        " headers: {request: {set: {a: b}, add: {c: d}, remove: [e]}},"
        " corsPolicy: {allowOrigins: [{exact: o}], maxAge: 5s, unmatchedPreflights: IGNORE},"
        " route: [{destination: {host: b, port: {number: 90}}, weight: 7}]"
    ).http
    assert rule.timeout == timedelta(seconds=3)
    assert rule.retries is not None
    assert (rule.retries.attempts, rule.retries.backoff) == (2, timedelta(seconds=1))
    assert rule.retries.retry_ignore_previous_hosts is False
    assert rule.fault is not None
    assert rule.fault.abort is not None
    assert rule.fault.abort.grpc_status == "INTERNAL"
    assert rule.mirror == Destination(host="m", subset="v1")
    assert rule.rewrite is not None
    assert (rule.rewrite.uri, rule.rewrite.authority) == ("/x", "h")
    assert rule.headers is not None
    assert rule.headers.request is not None
    assert rule.headers.request.remove == ("e",)
    assert rule.cors_policy is not None
    assert rule.cors_policy.unmatched_preflights is UnmatchedPreflights.IGNORE
    assert rule.route[0].destination.port == PortSelector(number=90)
    assert rule.route[0].weight == 7


def test_answers() -> None:
    (rule,) = http("redirect: {uri: /x, derivePort: FROM_REQUEST_PORT, redirectCode: 308}").http
    assert rule.redirect is not None
    assert rule.redirect.derive_port is RedirectPort.FROM_REQUEST_PORT
    (rule,) = http("directResponse: {status: 418, body: {string: tea}}").http
    assert rule.direct_response is not None
    assert rule.direct_response.body is not None
    assert rule.direct_response.body.string == "tea"
    (rule,) = http("delegate: {name: d, namespace: n}").http
    assert rule.delegate is not None
    assert (rule.delegate.name, rule.delegate.namespace) == ("d", "n")


def test_connections() -> None:
    found = spec_of(
        Kind.VIRTUAL_SERVICE,
        "{hosts: [a.test], exportTo: ['.'],"
        " tcp: [{match: [{port: 1, destinationSubnets: [10.0.0.0/8]}], route: [{destination: {host: b}}]}],"
        " tls: [{match: [{sniHosts: [a.test]}], route: [{destination: {host: c}, weight: 5}]}]}",
    )
    assert found.export_to == (".",)
    assert found.tcp[0].match[0].destination_subnets == ("10.0.0.0/8",)
    assert found.tls[0].match == (TlsMatch(sni_hosts=("a.test",)),)
    assert found.tls[0].route[0].weight == 5
