# SPDX-License-Identifier: Apache-2.0
"""Finished resources: the same content gives the same bytes."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.struct_pb2 import Struct

from upstream.generate.resource import packed, resource


def struct(*names: str) -> Struct:
    made = Struct()
    for name in names:
        made[name] = 1
    return made


def test_order_of_maps_does_not_show() -> None:
    letters = "abcdefghijklmnop"
    one, other = struct(*letters), struct(*reversed(letters))
    assert packed(one).value == packed(other).value


def test_a_named_any() -> None:
    made = resource("n", struct("a"))
    inside = Struct()
    assert made.name == "n"
    assert AnyMessage.FromString(made.any_bytes).Unpack(inside)
    assert dict(inside) == {"a": 1}
