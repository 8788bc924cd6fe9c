# SPDX-License-Identifier: Apache-2.0
"""What acknowledged responses come to: which resources are kept, which go. Pure. Answers to DESIGN 4.3.

Secrets never enter: neither by type nor inside another resource. ``Shelf`` is what a stream is served from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from mmap import mmap
from typing import Final, NamedTuple

from wire.scan import Entry, Variant, entries, envelope
from wire.types import FULL_STATE, TypeUrl

SENSITIVE: Final = (b"PRIVATE KEY-----", b"ISTIO_META_WASM_IMAGE_PULL_SECRET", b"pull_secret")
"""Marks of key material and passwords inside a resource: such a resource is not stored."""


class Stored(NamedTuple):
    """One resource: its Any as bytes, the control plane's version of it."""

    name: str
    version: str
    any: bytes


Shelf = Mapping[TypeUrl, Mapping[str, Stored]]


class Accepted(NamedTuple):
    """A response that Envoy acknowledged."""

    type_url: TypeUrl
    variant: Variant
    message: bytes | bytearray | mmap


class Change:
    """What responses of one type do to its rows, the newest looked at first: what is overtaken costs a name."""

    __slots__ = ("clear", "put", "remove", "withheld")

    def __init__(self) -> None:
        self.put: dict[str, Entry] = {}
        """Views of the responses' bytes: nothing is copied on the way to the database."""
        self.remove: set[str] = set()
        self.clear = False
        """A response lists all that there is: nothing older counts."""
        self.withheld = 0
        """Resources that carry key material and stay out."""

    def add_older(self, accepted: Accepted) -> None:
        """Take in a response that Envoy acknowledged before those already here. Raises ``ValueError``."""
        if self.clear:
            return
        fresh = {
            entry.name: entry
            for entry in entries(accepted.message, accepted.variant)
            if entry.name not in self.put and entry.name not in self.remove
        }
        removed = set(envelope(accepted.message, accepted.variant).removed)
        self.remove |= removed - self.put.keys() - fresh.keys()
        for entry in fresh.values():
            self._take(entry)
        self.clear = _is_whole(accepted)

    def _take(self, entry: Entry) -> None:
        body = bytes(entry.any)
        if any(mark in body for mark in SENSITIVE):
            self.withheld += 1
            self.remove.add(entry.name)
        else:
            self.put[entry.name] = entry


def changes(waiting: Sequence[Accepted]) -> dict[TypeUrl, Change]:
    """What acknowledged responses, oldest first, come to. What is no response is passed over. Pure."""
    merged: dict[TypeUrl, Change] = {}
    for accepted in reversed(waiting):
        with suppress(ValueError):  # Envoy took it, so only a bench or a test can get here
            merged.setdefault(accepted.type_url, Change()).add_older(accepted)
    return merged


def needed(waiting: Sequence[Accepted]) -> list[Accepted]:
    """Those of acknowledged responses, oldest first, of which something is left once all are merged. Pure.

    Looks at names only: it runs while pushes come, and bodies may be large.
    """
    told: dict[TypeUrl, set[str]] = {}
    whole: set[TypeUrl] = set()
    left: list[Accepted] = []
    for accepted in reversed(waiting):
        kind = accepted.type_url
        if kind in whole:
            continue
        with suppress(ValueError):  # as in changes: what is no response leaves nothing
            names, known = _names(accepted), told.setdefault(kind, set())
            if _is_whole(accepted):
                whole.add(kind)
            elif names <= known:
                continue
            left.append(accepted)
            known |= names
    left.reverse()
    return left


def _names(accepted: Accepted) -> set[str]:
    """What a response speaks of. Raises ``ValueError`` where it is none."""
    put = {entry.name for entry in entries(accepted.message, accepted.variant)}
    return put.union(envelope(accepted.message, accepted.variant).removed)


def _is_whole(accepted: Accepted) -> bool:
    """It lists all that there is of its type: nothing older counts."""
    return accepted.variant is Variant.SOTW and accepted.type_url in FULL_STATE
