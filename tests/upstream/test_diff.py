# SPDX-License-Identifier: Apache-2.0
"""What is sent for each scope, in both variants."""

from __future__ import annotations

import pytest

from upstream import diff
from upstream.diff import Scope, Update
from upstream.envelope import Piece
from upstream.watch import CDS, ECDS, EDS, UNKNOWN, Watch

OLD, NEW = Piece("a", b"old"), Piece("a", b"new")
B = Piece("b", b"b")


def watch(type_url: str, *held: Piece, **gone: int) -> Watch:
    sent = {piece.name: diff.fingerprint(piece) for piece in held} | gone
    return Watch(type_url=type_url, wildcard=type_url == CDS, names=set(sent), sent=sent)


def told(update: Update | None) -> tuple[list[Piece], list[str]] | None:
    return None if update is None else (list(update.pieces), list(update.removed))


def delta(
    held: Watch, *produced: Piece, scope: Scope = Scope.CHANGES, asked: str = ""
) -> Update | None:
    return diff.delta(held, produced, scope, frozenset(asked.split()))


def sotw(held: Watch, *produced: Piece, scope: Scope = Scope.CHANGES) -> Update | None:
    return diff.sotw(held, produced, scope, frozenset())


def test_delta_changes() -> None:
    held = watch(CDS, OLD, B)
    assert told(delta(held, OLD, B)) is None
    assert told(delta(held, NEW, B)) == ([NEW], [])
    assert told(delta(held, OLD)) == ([], ["b"])
    assert told(delta(held, NEW, B, scope=Scope.WARMING)) == ([NEW, B], [])


def test_delta_remembers_what_the_client_has() -> None:
    update = delta(watch(CDS, OLD, B), NEW)
    assert update is not None
    assert update.sent == {"a": diff.fingerprint(NEW)}
    update = delta(watch(EDS, OLD), B, scope=Scope.NAMED, asked="b")
    assert update is not None
    assert update.sent == {"a": diff.fingerprint(OLD), "b": diff.fingerprint(B)}


def test_delta_answer_removes_what_was_held_and_is_not_known() -> None:
    assert told(delta(watch(CDS, gone=UNKNOWN), B, scope=Scope.ANSWER)) == ([B], ["gone"])


def test_delta_named_answer_removes_unknown_names_only() -> None:
    held = watch(EDS, OLD)
    assert told(delta(held, B, scope=Scope.NAMED, asked="b nosuch")) == ([B], ["nosuch"])


def test_extension_configurations_are_never_removed() -> None:
    assert told(delta(watch(ECDS, OLD), scope=Scope.ANSWER)) == ([], [])


def test_resource_of_unknown_state_is_sent() -> None:
    assert told(delta(watch(EDS, a=UNKNOWN), OLD)) == ([OLD], [])


@pytest.mark.parametrize(("type_url", "pieces"), [(CDS, [NEW, B]), (EDS, [NEW])])
def test_sotw_changes_are_whole_for_wildcard_types(type_url: str, pieces: list[Piece]) -> None:
    held = watch(type_url, OLD, B)
    assert told(sotw(held, OLD, B)) is None
    assert told(sotw(held, NEW, B)) == (pieces, [])


def test_sotw_removal_is_a_shorter_list() -> None:
    assert told(sotw(watch(CDS, OLD, B), OLD)) == ([OLD], [])


@pytest.mark.parametrize("scope", [Scope.ANSWER, Scope.WARMING])
def test_sotw_answers_are_whole(scope: Scope) -> None:
    assert told(sotw(watch(EDS, OLD, B), OLD, B, scope=scope)) == ([OLD, B], [])


def test_size() -> None:
    update = sotw(watch(CDS), OLD, B)
    assert update is not None
    assert update.size == 4
