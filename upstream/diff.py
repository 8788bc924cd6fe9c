# SPDX-License-Identifier: Apache-2.0
"""What a client must be sent, from what it has and what was generated. Pure. Source: spec/upstream.md 2.7, 2.8.

A resource is known by its fingerprint, the hash that Python keeps inside each bytes object: resources
that proxies share are hashed once. A push sends what differs; an answer sends what was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from upstream.envelope import Piece
from upstream.watch import BY_NAME, ECDS, Watch


class Scope(StrEnum):
    """How much of a watch is looked at."""

    ANSWER = "answer"
    """All that is watched, sent as asked."""
    NAMED = "named"
    """Only the names that were newly asked for."""
    CHANGES = "changes"
    """All that is watched; only differences are sent."""
    WARMING = "warming"
    """All that is watched is sent, as something before it was replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What is sent: resources, and for delta the names that are gone."""

    pieces: tuple[Piece, ...]
    removed: tuple[str, ...] = ()
    sent: dict[str, int]
    """What the client has once this arrived."""

    @property
    def size(self) -> int:
        return sum(len(piece.any_bytes) for piece in self.pieces)


def fingerprint(piece: Piece) -> int:
    """Never -1, which Python's hashes avoid: that is ``watch.UNKNOWN``."""
    return hash(piece.any_bytes)


def delta(
    watch: Watch, produced: Sequence[Piece], scope: Scope, asked: frozenset[str]
) -> Update | None:
    """The delta update; None when nothing need be sent. ``asked``: the names of a NAMED answer."""
    fresh = {piece.name: fingerprint(piece) for piece in produced}
    if scope is Scope.NAMED:
        removed = _never(watch, asked - fresh.keys())
        return Update(pieces=tuple(produced), removed=removed, sent={**watch.sent, **fresh})
    removed = _never(watch, (watch.sent.keys() | watch.names) - fresh.keys())
    if scope is Scope.CHANGES:
        removed = tuple(name for name in removed if name in watch.sent)
        pieces = _changed(watch, produced, fresh)
        if not pieces and not removed:
            return None
        return Update(pieces=pieces, removed=removed, sent=fresh)
    return Update(pieces=tuple(produced), removed=removed, sent=fresh)


def sotw(
    watch: Watch, produced: Sequence[Piece], scope: Scope, _asked: frozenset[str]
) -> Update | None:
    """The state-of-the-world update. Types asked by name may be sent in part, others are sent whole."""
    fresh = {piece.name: fingerprint(piece) for piece in produced}
    if scope is Scope.NAMED:
        return Update(pieces=tuple(produced), sent={**watch.sent, **fresh})
    if scope is Scope.CHANGES:
        if fresh == watch.sent:
            return None
        if watch.type_url in BY_NAME:
            pieces = _changed(watch, produced, fresh)
            return Update(pieces=pieces, sent=fresh) if pieces else None
    return Update(pieces=tuple(produced), sent=fresh)


def _changed(watch: Watch, produced: Sequence[Piece], fresh: dict[str, int]) -> tuple[Piece, ...]:
    return tuple(piece for piece in produced if watch.sent.get(piece.name) != fresh[piece.name])


def _never(watch: Watch, names: frozenset[str] | set[str]) -> tuple[str, ...]:
    """The names to remove, but for extension configurations, which are never removed (peer)."""
    return () if watch.type_url == ECDS else tuple(sorted(names))
