# SPDX-License-Identifier: Apache-2.0
"""What a route does: clusters and weights, timeouts, retries, rewrites, mirrors, headers, answers. Pure.

Source: spec/upstream.md 7.4; istio pilot/pkg/networking/core/route.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import TypeAlias

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from envoy.type.matcher.v3 import regex_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from upstream.config.destination_rule import ConsistentHash
from upstream.config.virtual_service import (
    Destination,
    DirectResponse,
    HeaderOperations,
    Headers,
    HttpDestination,
    HttpRoute,
    Percent,
    Redirect,
    RedirectPort,
    Retries,
    Rewrite,
)
from upstream.generate.destination_rules import rule_for
from upstream.generate.names import outbound_cluster
from upstream.generate.resource import packed
from upstream.generate.view import View
from upstream.registry import Service, ServicePort

RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
_BY_CODE = "retriable-status-codes"
PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
PREVIOUS_PRIORITIES = "envoy.retry_priorities.previous_priorities"
HOST_HEADERS = frozenset({":authority", "host"})
_CODES = {
    302: route_pb2.RedirectAction.FOUND,
    303: route_pb2.RedirectAction.SEE_OTHER,
    307: route_pb2.RedirectAction.TEMPORARY_REDIRECT,
    308: route_pb2.RedirectAction.PERMANENT_REDIRECT,
}
_Action: TypeAlias = route_pb2.RouteAction
_Header: TypeAlias = base_pb2.HeaderValueOption


def hashing(view: View, service: Service, port: ServicePort, subset: str) -> ConsistentHash | None:
    """The consistent hash of a destination, which its routes have to feed."""
    rule = rule_for(view.proxy, service, view.world)
    if rule is None:
        return None
    policy = rule.policy_for(port, rule.subset(subset) if subset else None)
    return policy.load_balancer.consistent_hash if policy.load_balancer else None


def plain_action(view: View, cluster: str, hashed: ConsistentHash | None) -> route_pb2.RouteAction:
    """What happens to requests that no VirtualService speaks of."""
    action = _Action(cluster=cluster)
    _set_timeout(action, None)
    default = view.world.mesh.default_http_retry_policy
    _set_retries(action, default, hashed=False)
    if hashed:
        action.hash_policy.append(hash_policy(hashed))
    return action


def forward(out: route_pb2.Route, rule: HttpRoute, view: View, port: int) -> None:
    """Fill in ``out`` for a route to services."""
    action = out.route
    targets = [_Target(to, view, port) for to in rule.route]
    retries = rule.retries or view.world.mesh.default_http_retry_policy
    hashed = len(targets) == 1 and targets[0].hashed is not None
    _set_retries(action, retries, hashed=hashed)
    _set_timeout(action, rule.timeout)
    authority = _add_headers(out, rule.headers)
    if rule.rewrite:
        _rewrite(action, rule.rewrite)
        authority = rule.rewrite.authority or authority
    if authority:
        action.host_rewrite_literal = authority
    _mirror(action, rule, view, port)
    live = targets if len(targets) == 1 else [one for one in targets if one.weight]
    for one in live:
        if one.hashed:
            action.hash_policy.append(hash_policy(one.hashed))
    if len(live) == 1:
        action.cluster = live[0].cluster
        own = _add_headers(out, live[0].headers)
        if own and not authority:
            action.host_rewrite_literal = own
    else:
        action.weighted_clusters.clusters.extend(one.weighted() for one in live)


class _Target:
    """One destination with its cluster and what it asks of the route."""

    __slots__ = ("cluster", "hashed", "headers", "weight")

    def __init__(self, to: HttpDestination, view: View, port: int) -> None:
        service, number = _resolve(to.destination, view, port)
        service_port = service.port(number) if service else None
        subset = to.destination.subset
        self.cluster = outbound_cluster(number, subset, to.destination.host)
        self.weight = to.weight
        self.headers = to.headers
        self.hashed = (
            hashing(view, service, service_port, subset) if service and service_port else None
        )

    def weighted(self) -> route_pb2.WeightedCluster.ClusterWeight:
        out = route_pb2.WeightedCluster.ClusterWeight(
            name=self.cluster, weight=UInt32Value(value=self.weight)
        )
        authority = _add_headers(out, self.headers)
        if authority:
            out.host_rewrite_literal = authority
        return out


def _resolve(destination: Destination, view: View, port: int) -> tuple[Service | None, int]:
    """The service and its port: as named, else its only one, else the listener's."""
    service = view.scope.by_host.get(destination.host)
    if destination.port and destination.port.number:
        return service, destination.port.number
    if service and len(service.ports) == 1:
        return service, service.ports[0].number
    return service, port


def destination_cluster(destination: Destination, view: View, port: int) -> str:
    """The cluster that a destination means."""
    _, number = _resolve(destination, view, port)
    return outbound_cluster(number, destination.subset, destination.host)


def _set_timeout(action: _Action, timeout: timedelta | None) -> None:
    """Without one, none: Envoy's own default of 15 seconds would surprise."""
    action.timeout.SetInParent()
    action.max_grpc_timeout.SetInParent()
    if timeout:
        action.timeout.FromTimedelta(timeout)
        action.max_grpc_timeout.FromTimedelta(timeout)


def _set_retries(action: _Action, retries: Retries | None, *, hashed: bool) -> None:
    if retries is not None and retries.attempts <= 0:
        return
    policy = route_pb2.RetryPolicy(num_retries=UInt32Value(value=2), retry_on=RETRY_ON)
    elsewhere = not hashed
    if elsewhere:
        policy.host_selection_retry_max_attempts = 5
    if retries is not None:
        policy.num_retries.value = retries.attempts
        if retries.retry_on:
            policy.retry_on, codes = _retry_on(retries.retry_on)
            policy.retriable_status_codes.extend(codes)
        if retries.per_try_timeout is not None:
            policy.per_try_timeout.FromTimedelta(retries.per_try_timeout)
        if retries.backoff is not None:
            policy.retry_back_off.base_interval.FromTimedelta(retries.backoff)
        if retries.retry_ignore_previous_hosts is not None:
            elsewhere = retries.retry_ignore_previous_hosts
        if retries.retry_remote_localities:
            _retry_remotely(policy)
    if elsewhere:
        policy.retry_host_predicate.add(
            name=PREVIOUS_HOSTS,
            typed_config=packed(previous_hosts_pb2.PreviousHostsPredicate()),
        )
    action.retry_policy.CopyFrom(policy)


def _retry_on(text: str) -> tuple[str, list[int]]:
    """Conditions, and the numbers among them, which are status codes."""
    known = {int(status) for status in HTTPStatus}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    codes = [int(part) for part in parts if part.isdigit() and int(part) in known]
    words = [part for part in parts if not (part.isdigit() and int(part) in known)]
    if codes and _BY_CODE not in words:
        words.append(_BY_CODE)
    return ",".join(words), codes


def _retry_remotely(policy: route_pb2.RetryPolicy) -> None:
    config = previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=2)
    policy.retry_priority.name = PREVIOUS_PRIORITIES
    policy.retry_priority.typed_config.CopyFrom(packed(config))


def _rewrite(action: _Action, rewrite: Rewrite) -> None:
    if rewrite.uri_regex_rewrite:
        pattern = regex_pb2.RegexMatcher(regex=rewrite.uri_regex_rewrite.match)
        action.regex_rewrite.CopyFrom(
            regex_pb2.RegexMatchAndSubstitute(
                pattern=pattern, substitution=rewrite.uri_regex_rewrite.rewrite
            )
        )
    elif rewrite.uri:
        action.prefix_rewrite = rewrite.uri


def _mirror(action: _Action, rule: HttpRoute, view: View, port: int) -> None:
    if rule.mirror:
        share = rule.mirror_percentage
        if share is None and rule.mirror_percent is not None:
            share = Percent(value=float(rule.mirror_percent))
        _mirror_to(action, rule.mirror, share, view, port)
    for mirror in rule.mirrors:
        _mirror_to(action, mirror.destination, mirror.percentage, view, port)


def _mirror_to(
    action: _Action, destination: Destination, share: Percent | None, view: View, port: int
) -> None:
    if share is not None and share.value <= 0:
        return
    policy = action.request_mirror_policies.add(
        cluster=destination_cluster(destination, view, port)
    )
    fraction = policy.runtime_fraction.default_value
    fraction.CopyFrom(percent(share) if share else percent_pb2.FractionalPercent(numerator=100))


def percent(share: Percent) -> percent_pb2.FractionalPercent:
    """To four places."""
    return percent_pb2.FractionalPercent(
        numerator=round(share.value * 10000), denominator=percent_pb2.FractionalPercent.MILLION
    )


def hash_policy(hashed: ConsistentHash) -> route_pb2.RouteAction.HashPolicy:
    """What of a request decides where it goes."""
    if hashed.http_header_name:
        header = _Action.HashPolicy.Header(header_name=hashed.http_header_name)
        return _Action.HashPolicy(header=header)
    if hashed.http_cookie:
        cookie = _Action.HashPolicy.Cookie(
            name=hashed.http_cookie.name, path=hashed.http_cookie.path
        )
        if hashed.http_cookie.ttl is not None:
            cookie.ttl.SetInParent()
            cookie.ttl.FromTimedelta(hashed.http_cookie.ttl)
        for attribute in hashed.http_cookie.attributes:
            cookie.attributes.add(name=attribute.name, value=attribute.value)
        return _Action.HashPolicy(cookie=cookie)
    if hashed.use_source_ip:
        source = _Action.HashPolicy.ConnectionProperties(source_ip=True)
        return _Action.HashPolicy(connection_properties=source)
    name = hashed.http_query_parameter_name
    return _Action.HashPolicy(query_parameter=_Action.HashPolicy.QueryParameter(name=name))


def _add_headers(
    out: route_pb2.Route | route_pb2.WeightedCluster.ClusterWeight, headers: Headers | None
) -> str:
    """Apply header operations; the host that they set, if any."""
    if headers is None:
        return ""
    request = headers.request or HeaderOperations()
    response = headers.response or HeaderOperations()
    out.request_headers_to_add.extend(_values(request))
    out.request_headers_to_remove.extend(request.remove)
    out.response_headers_to_add.extend(_values(response))
    out.response_headers_to_remove.extend(response.remove)
    return _authority(request.set) or _authority(request.add)


def _authority(values: Mapping[str, str]) -> str:
    return next((text for name, text in values.items() if name.lower() in HOST_HEADERS), "")


def _values(operations: HeaderOperations) -> Sequence[_Header]:
    return [
        _Header(header=base_pb2.HeaderValue(key=name, value=values[name]), append_action=action)
        for values, action in (
            (operations.set, _Header.OVERWRITE_IF_EXISTS_OR_ADD),
            (operations.add, _Header.APPEND_IF_EXISTS_OR_ADD),
        )
        for name in sorted(values)
        if name.lower() not in HOST_HEADERS
    ]


def redirect(out: route_pb2.Route, rule: HttpRoute, given: Redirect, port: int) -> None:
    """Answer with another address."""
    _add_headers(out, rule.headers)
    action = out.redirect
    action.SetInParent()
    action.host_redirect = given.authority
    action.path_redirect = given.uri
    if given.scheme:
        action.scheme_redirect = given.scheme
    number = given.port
    if given.derive_port is RedirectPort.FROM_REQUEST_PORT:
        number = port
    default = 443 if given.scheme == "https" else 80
    action.port_redirect = 0 if number == default else number
    action.response_code = _CODES.get(
        given.redirect_code, route_pb2.RedirectAction.MOVED_PERMANENTLY
    )


def respond(out: route_pb2.Route, rule: HttpRoute, given: DirectResponse) -> None:
    """Answer at once."""
    _add_headers(out, rule.headers)
    out.direct_response.status = given.status
    if given.body and given.body.bytes:
        out.direct_response.body.inline_bytes = base64.b64decode(given.body.bytes)
    elif given.body:
        out.direct_response.body.inline_string = given.body.string
