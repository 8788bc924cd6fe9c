# SPDX-License-Identifier: Apache-2.0
"""Looks into Discovery envelopes without parsing or copying resources. Pure.

A relay needs the type of a push while its first bytes arrive, and a store needs each resource's
name and byte range later. Both walk the protobuf wire format (fields of envoy.service.discovery.v3,
numbers in wire/proto/discovery.proto): a resource is stepped over by its length.

What does not follow the wire format raises ``ValueError``: Envoy will refuse it with better words.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from mmap import mmap
from typing import Final, NamedTuple

from wire.types import TypeUrl

_LENGTH_DELIMITED: Final = 2
_START_GROUP: Final = 3
_END_GROUP: Final = 4
_RESOURCES: Final = 2
_TYPE_URL: Final = 4
_NONCE: Final = 5


class Variant(Enum):
    """The two protocols that one stream can speak."""

    SOTW = auto()
    DELTA = auto()


class Field(NamedTuple):
    """One length-delimited field: its number and where its bytes are."""

    number: int
    start: int
    stop: int


class NeedMore(Exception):
    """The bytes at hand end before what was asked for."""


class Entry(NamedTuple):
    """One resource of a response. Views are of the response's bytes."""

    name: str
    version: str
    any: memoryview
    """The ``google.protobuf.Any``."""


class Envelope(NamedTuple):
    """What a response says besides its resources."""

    type_url: TypeUrl
    version: str
    nonce: str
    removed: tuple[str, ...]


def peek_type(head: bytes | bytearray | memoryview, variant: Variant) -> TypeUrl:
    """The type of a response from its first bytes.

    From the first resource's Any, or from ``type_url`` where there is none. Raises ``NeedMore``
    while the bytes do not reach that far, ``ValueError`` for what is no envelope. At the end of a
    message that names no type the caller has seen all and treats NeedMore as "no type".
    """
    view = memoryview(head)
    at = 0
    while True:
        number, kind, at = _tag(view, at)
        if kind != _LENGTH_DELIMITED:
            at = _skip(view, at, number, kind)
            continue
        length, at = _varint(view, at)
        if number == _TYPE_URL:
            return TypeUrl(_text(view, at, at + length))
        if number == _RESOURCES:
            return (
                _type_of_any(view, at) if variant is Variant.SOTW else _type_of_resource(view, at)
            )
        at += length


def peek_version(head: bytes) -> str:
    """The version of a response from its first bytes, where it stands there; else empty."""
    view = memoryview(head)
    try:
        number, kind, at = _tag(view, 0)
        if (number, kind) != (1, _LENGTH_DELIMITED):
            return ""
        length, at = _varint(view, at)
        return _text(view, at, at + length)
    except (NeedMore, ValueError):
        return ""


def _type_of_any(view: memoryview, at: int) -> TypeUrl:
    number, kind, at = _tag(view, at)
    if (number, kind) != (1, _LENGTH_DELIMITED):
        raise ValueError("an Any that does not begin with its type")
    length, at = _varint(view, at)
    return TypeUrl(_text(view, at, at + length))


def _type_of_resource(view: memoryview, at: int) -> TypeUrl:
    """Inside a delta Resource: fields before ``resource`` (2) are short."""
    while True:
        number, kind, at = _tag(view, at)
        if kind != _LENGTH_DELIMITED:
            at = _skip(view, at, number, kind)
            continue
        length, at = _varint(view, at)
        if number == 2:
            return _type_of_any(view, at)
        at += length


def envelope(message: bytes | bytearray | mmap, variant: Variant) -> Envelope:
    """What a whole response says about itself. Raises ``ValueError``."""
    view = memoryview(message)
    type_url = version = nonce = ""
    removed: list[str] = []
    for number, start, stop in fields(view):
        if number == 1:
            version = _text(view, start, stop)
        elif number == _TYPE_URL:
            type_url = _text(view, start, stop)
        elif number == _NONCE:
            nonce = _text(view, start, stop)
        elif number == 6 and variant is Variant.DELTA:
            removed.append(_text(view, start, stop))
    return Envelope(TypeUrl(type_url), version, nonce, tuple(removed))


def entries(message: bytes | bytearray | mmap, variant: Variant) -> Iterator[Entry]:
    """The resources of a whole response, as views. Raises ``ValueError``."""
    view = memoryview(message)
    if variant is Variant.DELTA:
        yield from (
            _delta_entry(view[start:stop])
            for number, start, stop in fields(view)
            if number == _RESOURCES
        )
        return
    version = envelope(message, variant).version
    for number, start, stop in fields(view):
        if number == _RESOURCES:
            body = view[start:stop]
            yield Entry(_name_in_any(body), version, body)


def _delta_entry(view: memoryview) -> Entry:
    name = version = ""
    body = view[:0]
    for number, start, stop in fields(view):
        if number == 1:
            version = _text(view, start, stop)
        elif number == 2:
            part = view[start:stop]  # a message that comes in parts is their sum
            body = memoryview(bytes(body) + bytes(part)) if body else part
        elif number == 3:
            name = _text(view, start, stop)
    return Entry(name, version, body)


def _name_in_any(view: memoryview) -> str:
    """The name of a resource: field 1 of every type that Envoy asks for by name.

    Of a name that stands there twice the first, so that a big resource is not walked to its end.
    """
    value = view[:0]
    for number, start, stop in fields(view):
        if number == 2:
            value = view[start:stop]
    return next((_text(value, a, b) for n, a, b in fields(value) if n == 1), "")


def any_type(view: memoryview) -> TypeUrl:
    """The type URL of an Any."""
    text = ""
    for number, start, stop in fields(view):
        if number == 1:
            text = _text(view, start, stop)
    return TypeUrl(text)


def carries_nonce(message: bytes | bytearray | mmap, nonce: str, *, tail: int = 65_536) -> bool:
    """True where the response's end carries this nonce, without walking it.

    The nonce field stands behind all resources; only removed names and the control plane's
    identifier follow it.
    """
    text = nonce.encode()
    needle = bytes([_NONCE << 3 | _LENGTH_DELIMITED]) + _encode_varint(len(text)) + text
    return bool(text) and message.rfind(needle, max(0, len(message) - tail)) >= 0


def fields(view: memoryview) -> Iterator[Field]:
    """The length-delimited fields of a message, in order; others are stepped over."""
    at, end = 0, len(view)
    try:
        while at < end:
            number, kind, at = _tag(view, at)
            if kind != _LENGTH_DELIMITED:
                at = _skip(view, at, number, kind)
                continue
            length, at = _varint(view, at)
            if at + length > end:
                raise ValueError("a field reaches beyond its message")
            yield Field(number, at, at + length)
            at += length
        if at > end:
            raise ValueError("a field reaches beyond its message")
    except NeedMore:
        raise ValueError("a message ends inside a field") from None


def _tag(view: memoryview, at: int) -> tuple[int, int, int]:
    value, at = _varint(view, at)
    return value >> 3, value & 7, at


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    end = len(view)
    if at < end and (byte := view[at]) < 0x80:  # nearly all of them
        return byte, at + 1
    value = shift = 0
    while at < end:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than ten bytes")
    raise NeedMore


def _skip(view: memoryview, at: int, number: int, kind: int) -> int:
    """Past a field that begins before ``at``. What it reaches beyond, the next ``_tag`` misses."""
    match kind:
        case 0:
            return _varint(view, at)[1]
        case 1:
            return at + 8
        case 2:
            length, at = _varint(view, at)
            return at + length
        case 3:
            return _skip_group(view, at, number)
        case 5:
            return at + 4
        case _:
            raise ValueError(f"wire type {kind}")


def _skip_group(view: memoryview, at: int, number: int) -> int:
    """A group: nobody writes them any more, and every parser steps over them."""
    begun = [number]
    while begun:
        number, kind, at = _tag(view, at)
        if kind == _START_GROUP:
            begun.append(number)
        elif kind == _END_GROUP:
            if begun.pop() != number:
                raise ValueError("a group that ends as another")
        else:
            at = _skip(view, at, number, kind)
    return at


def _text(view: memoryview, start: int, stop: int) -> str:
    if stop > len(view):
        raise NeedMore
    return bytes(view[start:stop]).decode("utf-8", "replace")


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
