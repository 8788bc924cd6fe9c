# SPDX-License-Identifier: Apache-2.0
"""What istiod refuses in one HTTP route of a VirtualService though every field has the right type. Pure.

Source: istio pkg/config/validation/virtualservice.go; spec/upstream.md 7.4, 8.3.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from http import HTTPMethod, HTTPStatus

from upstream.config.check_destination_rule import subset_problems
from upstream.config.problems import (
    Problem,
    host_problems,
    label_problems,
    match_problems,
    percent_problems,
    port_problems,
    regex_problems,
    time_problems,
)
from upstream.config.virtual_service import (
    GRPC_CODES,
    Abort,
    Cors,
    Delay,
    Destination,
    DirectResponse,
    Fault,
    HeaderOperations,
    Headers,
    HttpMatch,
    HttpRoute,
    Percent,
    Redirect,
    Retries,
    Rewrite,
)

HOST_HEADERS = (":authority", "host")
_VALUE = re.compile(r"([^%\r\n\0]|%%|%[A-Z0-9_]+(\([^)]*\))?(:[0-9]+)?%)*")
"""Text with Envoy's commands in it, such as ``%DOWNSTREAM_REMOTE_ADDRESS%``."""
RETRY_ON = frozenset(
    [
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "envoy-ratelimited",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ]
)


def http_route_problems(path: str, route: HttpRoute, *, delegate: bool) -> Iterator[Problem]:
    """Faults of a route; one that is part of a delegation has to be simpler."""
    yield from _action(path, route)
    for i, match in enumerate(route.match):
        yield from _match(f"{path}.match[{i}]", match)
        if (delegate or route.delegate) and match.uri and match.uri.regex:
            yield Problem(f"{path}.match[{i}].uri.regex", "is not for a route that is delegated")
    yield from _targets(path, route)
    yield from time_problems(f"{path}.timeout", route.timeout or None)
    if route.retries:
        yield from _retries(f"{path}.retries", route.retries)
    if route.fault:
        yield from _fault(f"{path}.fault", route.fault)
    yield from _mirrors(path, route)
    yield from _headers(f"{path}.headers", route.headers)
    if route.rewrite:
        yield from _rewrite(f"{path}.rewrite", route.rewrite, route.headers)
    if route.redirect:
        yield from _redirect(f"{path}.redirect", route.redirect)
    if route.direct_response:
        yield from _direct(f"{path}.directResponse", route.direct_response)
    if route.cors_policy:
        yield from _cors(f"{path}.corsPolicy", route.cors_policy)


def _action(path: str, route: HttpRoute) -> Iterator[Problem]:
    actions = (route.route, route.redirect, route.direct_response, route.delegate)
    given = sum(action is not None and action != () for action in actions)
    if given == 0:
        yield Problem(path, "has no action", "give route, redirect, directResponse or delegate")
    elif given > 1:
        hint = "keep one of route, redirect, directResponse, delegate"
        yield Problem(path, "has several actions", hint)
    answered = route.redirect or route.direct_response
    for name, value in (("fault", route.fault), ("rewrite", route.rewrite)):
        if value and answered and not (name == "fault" and route.direct_response):
            yield Problem(f"{path}.{name}", "has nothing to act on: the route forwards nothing")


def _targets(path: str, route: HttpRoute) -> Iterator[Problem]:
    for i, share in enumerate(route.route):
        where = f"{path}.route[{i}]"
        yield from _destination(f"{where}.destination", share.destination)
        yield from _headers(f"{where}.headers", share.headers)
        if share.weight < 0:
            yield Problem(f"{where}.weight", f"{share.weight} is negative")
    if len(route.route) > 1 and not sum(share.weight for share in route.route):
        yield Problem(f"{path}.route", "weights add up to 0", "give at least one a weight")


def _destination(path: str, to: Destination) -> Iterator[Problem]:
    yield from host_problems(f"{path}.host", to.host, wildcard=False)
    if to.subset:
        yield from subset_problems(f"{path}.subset", to.subset)
    if to.port:
        yield from port_problems(f"{path}.port.number", to.port.number)


def _match(path: str, match: HttpMatch) -> Iterator[Problem]:
    single = {"uri": match.uri, "scheme": match.scheme, "method": match.method}
    for name, value in {**single, "authority": match.authority}.items():
        if value is not None:
            yield from match_problems(f"{path}.{name}", value, required=True)
    for name, group in (
        ("headers", match.headers),
        ("withoutHeaders", match.without_headers),
        ("queryParams", match.query_params),
    ):
        for key, value in group.items():
            if not key:
                yield Problem(f"{path}.{name}", "one of them has no name")
            yield from match_problems(f"{path}.{name}[{key}]", value, required=False)
    if match.port:
        yield from port_problems(f"{path}.port", match.port)
    yield from label_problems(f"{path}.sourceLabels", match.source_labels)


def _retries(path: str, retries: Retries) -> Iterator[Problem]:
    if retries.attempts < 0:
        yield Problem(f"{path}.attempts", f"{retries.attempts} is negative")
    if retries.attempts == 0 and (retries.retry_on or retries.per_try_timeout):
        yield Problem(f"{path}.attempts", "0 attempts with other retry settings", "remove those")
    yield from time_problems(f"{path}.perTryTimeout", retries.per_try_timeout or None)
    yield from time_problems(f"{path}.backoff", retries.backoff)
    codes = {str(int(status)) for status in HTTPStatus}
    for word in (part.strip() for part in retries.retry_on.split(",")):
        if word and word not in RETRY_ON and word not in codes:
            hint = f"a status code, or one of {', '.join(sorted(RETRY_ON))}"
            yield Problem(f"{path}.retryOn", f"{word!r} is not a reason to retry", hint)


def _fault(path: str, fault: Fault) -> Iterator[Problem]:
    if not (fault.delay or fault.abort):
        yield Problem(path, "says nothing", "give delay or abort")
    if fault.delay:
        yield from _delay(f"{path}.delay", fault.delay)
    if fault.abort:
        yield from _abort(f"{path}.abort", fault.abort)


def _delay(path: str, delay: Delay) -> Iterator[Problem]:
    if not delay.fixed_delay:
        yield Problem(f"{path}.fixedDelay", "missing")
    yield from time_problems(f"{path}.fixedDelay", delay.fixed_delay or None)
    yield from _share(f"{path}.percentage", delay.percentage)
    yield from percent_problems(f"{path}.percent", delay.percent)


def _abort(path: str, abort: Abort) -> Iterator[Problem]:
    yield from _share(f"{path}.percentage", abort.percentage)
    if abort.grpc_status:
        if abort.grpc_status not in GRPC_CODES:
            hint = f"one of {', '.join(GRPC_CODES)}"
            yield Problem(f"{path}.grpcStatus", f"{abort.grpc_status!r} is not a status", hint)
    elif not 200 <= abort.http_status <= 600:
        yield Problem(f"{path}.httpStatus", f"{abort.http_status} is not an HTTP status")


def _share(path: str, share: Percent | None) -> Iterator[Problem]:
    if share is None:
        return
    yield from percent_problems(f"{path}.value", share.value)
    if 0 < share.value < 0.0001:
        yield Problem(f"{path}.value", "is too small", "0.0001 is the smallest")


def _mirrors(path: str, route: HttpRoute) -> Iterator[Problem]:
    if route.mirror and route.mirrors:
        yield Problem(f"{path}.mirrors", "cannot stand beside mirror", "keep one of the two")
    if route.mirror:
        yield from _destination(f"{path}.mirror", route.mirror)
    yield from _share(f"{path}.mirrorPercentage", route.mirror_percentage)
    if route.mirror_percent is not None:
        yield from percent_problems(f"{path}.mirrorPercent", route.mirror_percent)
    for i, mirror in enumerate(route.mirrors):
        yield from _destination(f"{path}.mirrors[{i}].destination", mirror.destination)
        yield from _share(f"{path}.mirrors[{i}].percentage", mirror.percentage)


def _headers(path: str, headers: Headers | None) -> Iterator[Problem]:
    if headers is None:
        return
    for side, operations in (("request", headers.request), ("response", headers.response)):
        if operations:
            yield from _operations(f"{path}.{side}", operations)


def _operations(path: str, operations: HeaderOperations) -> Iterator[Problem]:
    groups: Mapping[str, Mapping[str, str] | tuple[str, ...]] = {
        "set": operations.set,
        "add": operations.add,
        "remove": operations.remove,
    }
    for word, names in groups.items():
        for name in names:
            if not name:
                yield Problem(f"{path}.{word}", "a header has no name")
            elif name.startswith(":") and name.lower() not in HOST_HEADERS:
                yield Problem(f"{path}.{word}[{name}]", "a pseudo header cannot be changed")
            elif word == "remove" and name.lower() in HOST_HEADERS:
                yield Problem(f"{path}.{word}[{name}]", "the host cannot be removed")
    for word, values in (("set", operations.set), ("add", operations.add)):
        for name, value in values.items():
            if not _VALUE.fullmatch(value):
                hint = "write % as %%, a command as %COMMAND%"
                yield Problem(f"{path}.{word}[{name}]", f"{value!r} is not a value", hint)


def _rewrite(path: str, rewrite: Rewrite, headers: Headers | None) -> Iterator[Problem]:
    regex = rewrite.uri_regex_rewrite
    if not (rewrite.uri or rewrite.authority or regex):
        yield Problem(path, "says nothing", "give uri, uriRegexRewrite or authority")
    if rewrite.uri and regex:
        yield Problem(path, "has both uri and uriRegexRewrite", "keep one of the two")
    if regex:
        yield from regex_problems(f"{path}.uriRegexRewrite.match", regex.match)
        for name, value in (("match", regex.match), ("rewrite", regex.rewrite)):
            if not value:
                yield Problem(f"{path}.uriRegexRewrite.{name}", "missing")
    request = headers.request if headers else None
    if rewrite.authority and request:
        for name in (*request.set, *request.add):
            if name.lower() in HOST_HEADERS:
                hint = "keep either the header operation or the rewrite"
                yield Problem(f"{path}.authority", f"the header {name!r} is set too", hint)


def _redirect(path: str, redirect: Redirect) -> Iterator[Problem]:
    if not (redirect.uri or redirect.authority or redirect.scheme) and not (
        redirect.port or redirect.derive_port
    ):
        yield Problem(path, "says nothing", "give uri, authority, scheme or port")
    if redirect.scheme not in ("", "http", "https"):
        yield Problem(f"{path}.scheme", f"{redirect.scheme!r} is neither http nor https")
    if redirect.port and redirect.derive_port:
        yield Problem(f"{path}.port", "cannot stand beside derivePort", "keep one of the two")
    if redirect.redirect_code not in (0, 301, 302, 303, 307, 308):
        hint = "301, 302, 303, 307 or 308"
        yield Problem(f"{path}.redirectCode", f"{redirect.redirect_code} is no redirect", hint)
    if redirect.port:
        yield from port_problems(f"{path}.port", redirect.port)


def _direct(path: str, answer: DirectResponse) -> Iterator[Problem]:
    if not 200 <= answer.status <= 599:
        yield Problem(f"{path}.status", f"{answer.status} is not an HTTP status", "200 to 599")
    size = 0
    if answer.body:
        if answer.body.string and answer.body.bytes:
            yield Problem(f"{path}.body", "has both string and bytes", "keep one of the two")
        try:
            size = len(answer.body.string or base64.b64decode(answer.body.bytes, validate=True))
        except binascii.Error:
            yield Problem(f"{path}.body.bytes", "is not base64")
    if size > 1 << 20:
        yield Problem(f"{path}.body", "is larger than 1 MiB")


def _cors(path: str, cors: Cors) -> Iterator[Problem]:
    for i, origin in enumerate(cors.allow_origins):
        yield from match_problems(f"{path}.allowOrigins[{i}]", origin, required=True)
        if origin.regex == "*":
            hint = "'.*' matches everything"
            yield Problem(f"{path}.allowOrigins[{i}].regex", "has nothing to repeat", hint)
    methods = {*HTTPMethod, "*"}
    for i, method in enumerate(cors.allow_methods):
        if method not in methods:
            yield Problem(f"{path}.allowMethods[{i}]", f"{method!r} is not a method")
    for name, headers in (
        ("allowHeaders", cors.allow_headers),
        ("exposeHeaders", cors.expose_headers),
    ):
        for i, header in enumerate(headers):
            if not header:
                yield Problem(f"{path}.{name}[{i}]", "is empty")
    if cors.max_age is not None:
        yield from time_problems(f"{path}.maxAge", cors.max_age)
        if cors.max_age % timedelta(seconds=1):
            yield Problem(f"{path}.maxAge", "is not in whole seconds")
