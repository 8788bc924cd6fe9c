# SPDX-License-Identifier: Apache-2.0
"""Who Envoy says it is, and how it writes its own log. Source: spec/agent.md 2.2, 2.5."""

from __future__ import annotations

from envoy_data_plane.envoy.config.bootstrap.v3 import (
    BootstrapApplicationLogConfig,
    BootstrapApplicationLogConfigLogFormat,
)
from envoy_data_plane.envoy.config.core.v3 import Locality, Node
from envoy_data_plane.google.protobuf import Struct

from bootstrap.inputs import BootstrapInputs

_TEXT_FORMAT = "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t"
_JSON_FORMAT = {
    "time": "%Y-%m-%dT%T.%fZ",
    "level": "%l",
    "scope": "envoy %n",
    "msg": "%j",
    "caller": "%g:%#",
    "thread": "%t",
}


def node(inputs: BootstrapInputs) -> Node:
    """Sent with the first request of every xDS stream."""
    return Node(
        id=inputs.node_id,
        cluster=inputs.cluster,
        locality=Locality(
            region=inputs.region,
            zone=inputs.zone,
            sub_zone=inputs.sub_zone,
        ),
        metadata=Struct.from_dict(dict(inputs.metadata)),
    )


def log_config(inputs: BootstrapInputs) -> BootstrapApplicationLogConfig:
    """Envoy's lines look like the agent's, so that one parser reads both."""
    if inputs.switches.log_as_json:
        form = BootstrapApplicationLogConfigLogFormat(json_format=Struct.from_dict(_JSON_FORMAT))
    else:
        form = BootstrapApplicationLogConfigLogFormat(text_format=_TEXT_FORMAT)
    return BootstrapApplicationLogConfig(log_format=form)
