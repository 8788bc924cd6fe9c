# SPDX-License-Identifier: Apache-2.0
"""A VirtualService's conditions as Envoy's route match. Pure. Source: spec/upstream.md 7.4."""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.type.matcher.v3 import metadata_pb2, regex_pb2, string_pb2, value_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from upstream.config.shared import StringMatch
from upstream.config.virtual_service import MESH, HttpMatch
from upstream.generate.view import View

CLAIMS = "@request.auth.claims"
JWT = "envoy.filters.http.jwt_authn"


def applies(match: HttpMatch | None, view: View, port: int) -> bool:
    """Conditions that are settled here and now: port, gateway, and who the client is."""
    if match is None:
        return True
    if match.port and match.port != port:
        return False
    if match.gateways and MESH not in match.gateways:
        return False
    if match.source_namespace and match.source_namespace != view.proxy.namespace:
        return False
    return match.source_labels.items() <= view.proxy.labels.items()


def route_match(match: HttpMatch | None) -> route_pb2.RouteMatch:
    """The conditions that Envoy looks at."""
    out = route_pb2.RouteMatch(prefix="/")
    if match is None:
        return out
    for name, wanted in match.headers.items():
        _add_header(out, name, wanted, invert=False)
    for name, wanted in match.without_headers.items():
        _add_header(out, name, wanted, invert=True)
    ordered = sorted(out.headers, key=lambda header: header.name)
    del out.headers[:]
    out.headers.extend(ordered)
    _set_path(out, match.uri)
    out.case_sensitive.CopyFrom(BoolValue(value=not match.ignore_uri_case))
    for name, single in (
        (":method", match.method),
        (":authority", match.authority),
        (":scheme", match.scheme),
    ):
        if single is not None:
            out.headers.append(_header(name, single))
    for name in sorted(match.query_params):
        out.query_parameters.append(_query(name, match.query_params[name]))
    return out


def catches_all(match: route_pb2.RouteMatch) -> bool:
    """Whether no request gets past it."""
    conditions = match.headers or match.query_parameters or match.dynamic_metadata
    return not conditions and (match.prefix == "/" or match.safe_regex.regex in ("*", ".*"))


def _set_path(out: route_pb2.RouteMatch, uri: StringMatch | None) -> None:
    if uri is None:
        return
    if uri.exact is not None:
        out.path = uri.exact
    elif uri.prefix is not None:
        out.prefix = uri.prefix
    elif uri.regex is not None:
        out.safe_regex.regex = uri.regex


def _add_header(out: route_pb2.RouteMatch, name: str, wanted: StringMatch, *, invert: bool) -> None:
    if name.startswith(CLAIMS):
        out.dynamic_metadata.append(_claim(name, wanted, invert=invert))
        return
    header = _header(name, wanted)
    header.invert_match = invert
    header.treat_missing_header_as_empty = invert and not _any(wanted)
    out.headers.append(header)


def _any(wanted: StringMatch) -> bool:
    """Whether only presence counts."""
    return wanted.regex == "*" or not (wanted.exact or wanted.prefix or wanted.regex)


def _header(name: str, wanted: StringMatch) -> route_pb2.HeaderMatcher:
    if _any(wanted):
        return route_pb2.HeaderMatcher(name=name, present_match=True)
    return route_pb2.HeaderMatcher(name=name, string_match=string_matcher(wanted))


def string_matcher(wanted: StringMatch) -> string_pb2.StringMatcher:
    """The same comparison in Envoy's words."""
    if wanted.prefix is not None:
        return string_pb2.StringMatcher(prefix=wanted.prefix)
    if wanted.regex is not None:
        return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=wanted.regex))
    return string_pb2.StringMatcher(exact=wanted.exact or "")


def _query(name: str, wanted: StringMatch) -> route_pb2.QueryParameterMatcher:
    if _any(wanted):
        return route_pb2.QueryParameterMatcher(name=name, present_match=True)
    return route_pb2.QueryParameterMatcher(name=name, string_match=string_matcher(wanted))


def _claim(name: str, wanted: StringMatch, *, invert: bool) -> metadata_pb2.MetadataMatcher:
    """``@request.auth.claims.group`` or ``@request.auth.claims[group][name]``."""
    rest = name.removeprefix(CLAIMS)
    keys = rest.strip("[]").split("][") if rest.startswith("[") else rest.strip(".").split(".")
    value = value_pb2.ValueMatcher(string_match=string_matcher(wanted))
    in_list = value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=value))
    either = value_pb2.ValueMatcher(or_match=value_pb2.OrMatcher(value_matchers=[value, in_list]))
    return metadata_pb2.MetadataMatcher(
        filter=JWT,
        path=[metadata_pb2.MetadataMatcher.PathSegment(key=key) for key in ("payload", *keys)],
        value=either,
        invert=invert,
    )
