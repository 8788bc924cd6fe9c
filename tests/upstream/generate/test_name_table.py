# SPDX-License-Identifier: Apache-2.0
"""Names that the agent's DNS answers."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage

from tests.upstream.support import sidecar, world
from upstream.generate.name_table import name_table
from upstream.generate.view import view_of
from wire.proto.istio_pb2 import NameTable
from wire.types import NAME_TABLE

TEXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec: {hosts: [a.test], addresses: [10.9.0.1, 10.9.0.2], ports: [{number: 80, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b, namespace: default}
spec: {hosts: [none.test, '*.wild.test'], ports: [{number: 80, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: c, namespace: default}
spec: {hosts: [net.test], addresses: [10.8.0.0/16], ports: [{number: 80, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: d, namespace: other}
spec: {hosts: [hidden.test], addresses: [10.9.0.9], exportTo: ['.'], ports: [{number: 80, name: http}]}
"""


def test_one_table_of_what_has_an_address_and_is_seen() -> None:
    (made,) = name_table(view_of(sidecar(), world(TEXT)))
    box = AnyMessage.FromString(made.any_bytes)
    table = NameTable.FromString(box.value).table
    assert (made.name, box.type_url) == ("", NAME_TABLE)
    assert set(table) == {"a.test"}
    assert list(table["a.test"].ips) == ["10.9.0.1", "10.9.0.2"]
    assert table["a.test"].registry == "External"
