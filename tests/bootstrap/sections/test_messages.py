# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from mesh.errors import BootstrapFailed

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize(
    ("text", "host_ip", "parts"),
    [
        ("zipkin:9411", "", ("zipkin", 9411)),
        ("[fd00::1]:9411", "", ("fd00::1", 9411)),
        ("$(HOST_IP):8126", "192.0.2.1", ("192.0.2.1", 8126)),
        ("$(HOST_IP):8126", "", ("$(HOST_IP)", 8126)),
        ("x$(HOST_IP):8126", "192.0.2.1", ("x$(HOST_IP)", 8126)),
    ],
)
def test_addresses(text: str, host_ip: str, parts: tuple[str, int]) -> None:
    from bootstrap.sections.messages import split_address

    assert split_address("field", text, host_ip) == parts


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:http", "fd00::1:80", "h:70000"])
def test_bad_addresses_name_the_field(text: str) -> None:
    from bootstrap.sections.messages import split_address

    with pytest.raises(BootstrapFailed) as caught:
        split_address("statsdUdpAddress", text, "")
    assert caught.value.field == "statsdUdpAddress"


def test_typed_struct_prints_as_protobuf_does() -> None:
    from bootstrap.sections.messages import typed_struct

    printed = typed_struct("name", "a.b.C", {"x": {"y": 1}}).to_dict()
    assert printed == {
        "name": "name",
        "typedConfig": {
            "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
            "typeUrl": "type.googleapis.com/a.b.C",
            "value": {"x": {"y": 1}},
        },
    }


def test_annotations_are_evaluated_once_per_class() -> None:
    from bootstrap.sections.messages import TypedStruct

    assert TypedStruct._type_hints() is TypedStruct._type_hints()
    assert set(TypedStruct._type_hints()) >= {"type_url", "value"}
