# SPDX-License-Identifier: Apache-2.0
"""``wire.scan`` on any bytes: it ends in a value or in its own two exceptions, and where protobuf takes them it says the same.

The first byte of an input chooses the variant and where the first bytes end; the rest is the response.
"""

from __future__ import annotations

from contextlib import suppress

from google.protobuf.any_pb2 import Any
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import DecodeError

from wire import scan
from wire.proto.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse
from wire.scan import NeedMore, Variant

Response = DiscoveryResponse | DeltaDiscoveryResponse


def envelopes(data: bytes) -> None:
    control, raw = data[:1].ljust(1, b"\0")[0], data[1:]
    variant = Variant.DELTA if control & 1 else Variant.SOTW
    _any_bytes(raw, variant)
    _first_bytes(raw, variant, min(len(raw), control >> 1))
    kind = DeltaDiscoveryResponse if variant is Variant.DELTA else DiscoveryResponse
    try:
        message: Response = kind.FromString(raw)
    except DecodeError:
        return
    _agrees(raw, message, variant)


def _any_bytes(raw: bytes, variant: Variant) -> None:
    view = memoryview(raw)
    with suppress(ValueError):
        at = 0
        for found in scan.fields(view):
            assert at < found.start <= found.stop <= len(raw)
            at = found.stop
    with suppress(ValueError):
        scan.envelope(raw, variant)
    with suppress(ValueError):
        for entry in scan.entries(raw, variant):
            assert len(entry.any) <= len(raw)
            with suppress(ValueError):
                scan.any_type(entry.any)
    for nonce in ("", "n1"):
        scan.carries_nonce(raw, nonce)
    scan.peek_version(raw)


def _first_bytes(raw: bytes, variant: Variant, size: int) -> None:
    """More bytes never change what fewer have told."""
    told = _peek(raw[:size], variant)
    if told is not None:
        assert _peek(raw, variant) == told


def _peek(head: bytes, variant: Variant) -> str | None:
    """The type; "?" for what is no envelope, None for more."""
    try:
        return scan.peek_type(head, variant)
    except NeedMore:
        return None
    except ValueError:
        return "?"


def _agrees(raw: bytes, message: Response, variant: Variant) -> None:
    if isinstance(message, DeltaDiscoveryResponse):
        version, removed = message.system_version_info, tuple(message.removed_resources)
        bodies = [one.resource for one in message.resources]
        names: list[str | None] = [one.name for one in message.resources]
        versions = [one.version for one in message.resources]
    else:
        version, removed = message.version_info, ()
        bodies = list(message.resources)
        names, versions = _names(bodies), [version] * len(bodies)
    assert scan.envelope(raw, variant) == (message.type_url, version, message.nonce, removed)
    if None in names:
        return  # resources that nobody can decode
    entries = list(scan.entries(raw, variant))
    assert [one.name for one in entries] == names
    assert [one.version for one in entries] == versions
    assert [Any.FromString(bytes(one.any)) for one in entries] == bodies
    assert [scan.any_type(one.any) for one in entries] == [body.type_url for body in bodies]


def _names(bodies: list[Any]) -> list[str | None]:
    """Field 1 of each resource, by protobuf: a list of texts has it as a repeated one."""
    names: list[str | None] = []
    for body in bodies:
        try:
            texts = FieldMask.FromString(body.value).paths
            names.append(texts[0] if texts else "")
        except DecodeError:
            names.append(None)
    return names
