# SPDX-License-Identifier: Apache-2.0
"""NDS: addresses of services for the agent's own DNS. Pure. Source: spec/upstream.md 2.2, 6.3."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage

from upstream.generate.resource import Generated
from upstream.generate.view import View
from wire.proto.istio_pb2 import NameTable
from wire.types import NAME_TABLE

EXTERNAL = "External"
"""The registry of everything that a ServiceEntry describes."""


def name_table(view: View) -> list[Generated]:
    """One table without a name; services without an address of their own are not in it."""
    table = NameTable()
    for service in view.scope.services:
        if service.virtual_ip:
            info = table.table[service.hostname]
            info.registry = EXTERNAL
            info.ips.append(service.virtual_ip)
    value = table.SerializeToString(deterministic=True)
    return [Generated("", AnyMessage(type_url=NAME_TABLE, value=value).SerializeToString())]
