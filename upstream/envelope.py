# SPDX-License-Identifier: Apache-2.0
"""Discovery responses from resources that are serialized already. Pure. Source: discovery.proto, protobuf wire format.

A resource's bytes are made once and shared by all proxies that get them; a response is their concatenation
between two small serialized messages, which protobuf allows: fields of one message may come in any split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wire.proto.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse

RESOURCES = b"\x12"
"""Field 2, length-delimited: ``resources`` in both responses, ``resource`` in Resource."""
NAME = b"\x1a"
"""Field 3, length-delimited: ``name`` in Resource."""


class Piece(NamedTuple):
    """A named resource as serialized google.protobuf.Any."""

    name: str
    any_bytes: bytes


class Label(NamedTuple):
    """What a response says of itself."""

    type_url: str
    version: str
    nonce: str


def sotw(label: Label, pieces: Sequence[Piece]) -> bytes:
    """A serialized DiscoveryResponse."""
    parts = [DiscoveryResponse(version_info=label.version).SerializeToString()]
    for piece in pieces:
        parts += (RESOURCES, varint(len(piece.any_bytes)), piece.any_bytes)
    tail = DiscoveryResponse(type_url=label.type_url, nonce=label.nonce)
    parts.append(tail.SerializeToString())
    return b"".join(parts)


def delta(label: Label, pieces: Sequence[Piece], removed: Sequence[str]) -> bytes:
    """A serialized DeltaDiscoveryResponse. The version of each resource stays empty, as the peer's."""
    parts = [DeltaDiscoveryResponse(system_version_info=label.version).SerializeToString()]
    for piece in pieces:
        name, size = piece.name.encode(), varint(len(piece.any_bytes))
        named = NAME + varint(len(name)) + name if name else b""
        length = 1 + len(size) + len(piece.any_bytes) + len(named)
        parts += (RESOURCES, varint(length), RESOURCES, size, piece.any_bytes, named)
    tail = DeltaDiscoveryResponse(
        type_url=label.type_url, nonce=label.nonce, removed_resources=removed
    )
    parts.append(tail.SerializeToString())
    return b"".join(parts)


def varint(number: int) -> bytes:
    """Base-128 form, least significant group first."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
