# SPDX-License-Identifier: Apache-2.0
"""What a route tells single HTTP filters: injected faults and CORS. Pure. Source: spec/upstream.md 7.4."""

from __future__ import annotations

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.common.fault.v3 import fault_pb2 as common_fault_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.type.matcher.v3 import string_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from upstream.config.virtual_service import (
    GRPC_CODES,
    Abort,
    Cors,
    Delay,
    Fault,
    UnmatchedPreflights,
)
from upstream.generate.route_action import percent
from upstream.generate.route_match import string_matcher

FAULT = "envoy.filters.http.fault"
CORS = "envoy.filters.http.cors"


def fault(given: Fault) -> fault_pb2.HTTPFault:
    """Delays and aborts of a share of the requests."""
    out = fault_pb2.HTTPFault()
    if given.delay:
        out.delay.CopyFrom(_delay(given.delay))
    if given.abort:
        out.abort.CopyFrom(_abort(given.abort))
    return out


def _delay(given: Delay) -> common_fault_pb2.FaultDelay:
    out = common_fault_pb2.FaultDelay()
    if given.fixed_delay is not None:
        out.fixed_delay.FromTimedelta(given.fixed_delay)
    if given.percentage:
        out.percentage.CopyFrom(percent(given.percentage))
    else:
        out.percentage.CopyFrom(percent_pb2.FractionalPercent(numerator=given.percent))
    return out


def _abort(given: Abort) -> fault_pb2.FaultAbort:
    out = fault_pb2.FaultAbort()
    if given.percentage:
        out.percentage.CopyFrom(percent(given.percentage))
    if given.grpc_status:
        out.grpc_status = GRPC_CODES.index(given.grpc_status)
    else:
        out.http_status = given.http_status
    return out


def cors(given: Cors) -> cors_pb2.CorsPolicy:
    """Which other origins may call."""
    out = cors_pb2.CorsPolicy(
        filter_enabled=base_pb2.RuntimeFractionalPercent(
            default_value=percent_pb2.FractionalPercent(numerator=100)
        ),
        allow_methods=",".join(given.allow_methods),
        allow_headers=",".join(given.allow_headers),
        expose_headers=",".join(given.expose_headers),
    )
    for match in given.allow_origins:
        out.allow_origin_string_match.append(string_matcher(match))
    if not given.allow_origins:
        for origin in given.allow_origin:
            out.allow_origin_string_match.append(string_pb2.StringMatcher(exact=origin))
    if given.max_age is not None:
        out.max_age = str(int(given.max_age.total_seconds()))
    if given.allow_credentials is not None:
        out.allow_credentials.CopyFrom(BoolValue(value=given.allow_credentials))
    forward = given.unmatched_preflights is not UnmatchedPreflights.IGNORE
    out.forward_not_matching_preflights.CopyFrom(BoolValue(value=forward))
    return out
