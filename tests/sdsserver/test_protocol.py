# SPDX-License-Identifier: Apache-2.0
"""Dialogues of one stream: a request in, the names to answer with out."""

from __future__ import annotations

import pytest

from sdsserver.protocol import MissingNode, Request, Watch
from wire.types import HEALTH


def ask(*names: str, nonce: str = "", refused: str = "", node: str = "node") -> Request:
    return Request(node, names, nonce, refused)


def play(*steps: tuple[Request, tuple[str, ...]]) -> Watch:
    """Each answer is sent with the nonces n1, n2, ..."""
    watch = Watch()
    sent = 0
    for number, (request, expected) in enumerate(steps):
        answer = tuple(watch.on_request(request))
        assert answer == expected, f"step {number}: {request}"
        if answer:
            sent += 1
            watch.sent(f"n{sent}")
    return watch


def test_an_acknowledged_answer_is_not_repeated() -> None:
    play((ask("default"), ("default",)), (ask("default", nonce="n1"), ()))


def test_only_added_names_are_answered() -> None:
    watch = play(
        (ask("default"), ("default",)), (ask("default", "ROOTCA", nonce="n1"), ("ROOTCA",))
    )
    assert watch.names == ("default", "ROOTCA")


def test_fewer_names_are_not_answered_but_count() -> None:
    watch = play((ask("a", "b"), ("a", "b")), (ask("b", nonce="n1"), ()))
    assert not watch.on_update("a")
    assert watch.on_update("b")


def test_without_a_nonce_everything_is_answered_again() -> None:
    play((ask("a"), ("a",)), (ask("a"), ("a",)), (ask("b"), ("b",)))


def test_a_nonce_of_an_earlier_stream_is_a_first_request() -> None:
    play((ask("a", nonce="of another stream"), ("a",)))


def test_a_stale_nonce_is_ignored_and_counted() -> None:
    watch = play((ask("a"), ("a",)), (ask("a", "b", nonce="older"), ()))
    assert watch.names == ("a",)
    assert watch.counts.expired_nonces == 1


def test_a_refusal_is_never_answered() -> None:
    watch = play((ask("a"), ("a",)), (ask("a", nonce="n1", refused="no"), ()))
    assert watch.counts.rejects == 1


def test_no_names_is_the_end_of_the_watch() -> None:
    watch = play((ask("a"), ("a",)), (ask(nonce="n1"), ()), (ask("a", nonce="n1"), ("a",)))
    assert watch.on_update("a")


def test_the_first_request_must_say_who_asks() -> None:
    with pytest.raises(MissingNode):
        Watch().on_request(ask("a", node=""))


def test_later_requests_need_not_repeat_the_node() -> None:
    play((ask("a"), ("a",)), (ask("a", "b", nonce="n1", node=""), ("b",)))


def test_probes_before_the_first_request_are_skipped() -> None:
    watch = Watch()
    assert watch.on_request(Request("", (), "", "", HEALTH)) == ()
    assert watch.on_request(ask("a")) == ("a",)
