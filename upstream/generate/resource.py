# SPDX-License-Identifier: Apache-2.0
"""A finished resource: its name and its bytes, ready for the wire. Pure."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message


class Generated(NamedTuple):
    """A resource as serialized ``google.protobuf.Any``."""

    name: str
    any_bytes: bytes


def packed(message: Message) -> AnyMessage:
    """The message as Any, its bytes the same for the same content."""
    box = AnyMessage()
    box.Pack(message, deterministic=True)
    return box


def resource(name: str, message: Message) -> Generated:
    """The message, ready for a response."""
    return Generated(name, packed(message).SerializeToString())
