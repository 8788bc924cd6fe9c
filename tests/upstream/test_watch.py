# SPDX-License-Identifier: Apache-2.0
"""Requests in, verdicts out: the tables of both variants as dialogues."""

from __future__ import annotations

import pytest

from upstream.watch import (
    CDS,
    ECDS,
    EDS,
    LDS,
    NDS,
    RDS,
    UNKNOWN,
    Answer,
    Quiet,
    Reply,
    Verdict,
    Watches,
    Why,
    push_order,
    short,
)

ALL = Answer()
FIRST = Reply()


@pytest.fixture
def watches() -> Watches:
    return Watches()


def sotw(watches: Watches, type_url: str, *names: str, reply: Reply = FIRST) -> Verdict:
    return watches.on_sotw(type_url, names, reply)


def delta(
    watches: Watches,
    type_url: str,
    subscribe: str = "",
    unsubscribe: str = "",
    *,
    held: str = "",
    reply: Reply = FIRST,
) -> Verdict:
    versions = dict.fromkeys(held.split(), "")
    return watches.on_delta(type_url, subscribe.split(), unsubscribe.split(), versions, reply)


def sent(watches: Watches, type_url: str, nonce: str) -> Reply:
    """Pretend that a response went out; the reply that acknowledges it."""
    watch = watches.get(type_url)
    assert watch is not None
    watch.nonce_sent = nonce
    return Reply(nonce)


def names(watches: Watches, type_url: str) -> set[str]:
    watch = watches.get(type_url)
    assert watch is not None
    return watch.names


def test_sotw_dialogue(watches: Watches) -> None:
    assert sotw(watches, EDS, "a") == ALL
    ack = sent(watches, EDS, "1")
    assert sotw(watches, EDS, "a", reply=ack) == Quiet(Why.ACK)
    assert sotw(watches, EDS, "a", "b", "c", reply=ack) == Answer(frozenset({"b", "c"}))
    ack = sent(watches, EDS, "2")
    assert sotw(watches, EDS, "b", reply=ack) == Quiet(Why.ACK)
    assert names(watches, EDS) == {"b"}
    assert sotw(watches, EDS, reply=ack) == Quiet(Why.UNSUBSCRIBED)
    assert watches.get(EDS) is None


def test_sotw_wildcard(watches: Watches) -> None:
    assert sotw(watches, CDS) == ALL
    ack = sent(watches, CDS, "1")
    assert sotw(watches, CDS, reply=ack) == Quiet(Why.ACK)
    watch = watches.get(CDS)
    assert watch is not None
    assert watch.wanted is None


def test_sotw_unknown_nonce_of_a_new_stream_is_a_first_request(watches: Watches) -> None:
    assert sotw(watches, RDS, "80", reply=Reply("of another server")) == ALL


def test_sotw_empty_nonce_begins_anew(watches: Watches) -> None:
    sotw(watches, RDS, "80")
    sent(watches, RDS, "1")
    assert sotw(watches, RDS, "80") == ALL


def test_sotw_empty_first_request_of_a_named_type(watches: Watches) -> None:
    assert sotw(watches, EDS) == Quiet(Why.UNSUBSCRIBED)


def test_sotw_stale(watches: Watches) -> None:
    sotw(watches, EDS, "a")
    sent(watches, EDS, "2")
    assert sotw(watches, EDS, "a", "b", reply=Reply("1")) == Quiet(Why.STALE)
    assert names(watches, EDS) == {"a"}


def test_refusal_is_remembered_until_the_next_ack(watches: Watches) -> None:
    sotw(watches, LDS)
    ack = sent(watches, LDS, "1")
    assert sotw(watches, LDS, reply=Reply("1", "bad", 13)) == Quiet(Why.NACK)
    watch = watches.get(LDS)
    assert watch is not None
    assert (watch.last_error, watch.nonce_acked) == ("bad", "")
    sotw(watches, LDS, reply=ack)
    assert (watch.last_error, watch.nonce_acked) == ("", "1")


def test_refusal_without_text_is_a_refusal(watches: Watches) -> None:
    sotw(watches, LDS)
    sent(watches, LDS, "1")
    assert sotw(watches, LDS, reply=Reply("1", "", 3)) == Quiet(Why.NACK)


def test_endpoints_asked_before_clusters_are_answered_again(watches: Watches) -> None:
    sotw(watches, EDS, "a")
    ack = sent(watches, EDS, "1")
    sotw(watches, CDS)
    assert sotw(watches, EDS, "a", reply=ack) == ALL
    assert sotw(watches, EDS, "a", reply=ack) == Quiet(Why.ACK)


def test_delta_dialogue(watches: Watches) -> None:
    assert delta(watches, RDS, "80 90") == ALL
    ack = sent(watches, RDS, "1")
    assert delta(watches, RDS, reply=ack) == Quiet(Why.ACK)
    assert delta(watches, RDS, "70") == Answer(frozenset({"70"}))
    assert delta(watches, RDS, "", "80") == Quiet(Why.ACK)
    assert names(watches, RDS) == {"70", "90"}


def test_delta_stale(watches: Watches) -> None:
    delta(watches, RDS, "80")
    sent(watches, RDS, "2")
    assert delta(watches, RDS, "90", reply=Reply("1")) == Quiet(Why.STALE)
    assert names(watches, RDS) == {"80"}


@pytest.mark.parametrize("subscribe", ["", "*"])
def test_delta_wildcard(watches: Watches, subscribe: str) -> None:
    assert delta(watches, CDS, subscribe) == ALL
    watch = watches.get(CDS)
    assert watch is not None
    assert (watch.wanted, watch.names) == (None, set())


def test_delta_star_again_is_answered_in_full(watches: Watches) -> None:
    delta(watches, CDS, "*")
    assert delta(watches, CDS, "*") == ALL


def test_delta_reconnect_knows_what_the_client_holds(watches: Watches) -> None:
    assert delta(watches, EDS, "a", held="a b") == ALL
    watch = watches.get(EDS)
    assert watch is not None
    assert watch.names == {"a", "b"}
    assert watch.sent == {"a": UNKNOWN, "b": UNKNOWN}


def test_delta_dropped_and_taken_up_in_one_request(watches: Watches) -> None:
    delta(watches, EDS, "a")
    assert delta(watches, EDS, "a", "a") == Answer(frozenset({"a"}))
    assert names(watches, EDS) == {"a"}


def test_delta_unsubscribed_is_forgotten(watches: Watches) -> None:
    delta(watches, EDS, "a b")
    watch = watches.get(EDS)
    assert watch is not None
    watch.sent = {"a": 1, "b": 2}
    delta(watches, EDS, "", "a")
    assert watch.sent == {"b": 2}


def test_push_order() -> None:
    assert push_order([NDS, RDS, ECDS, EDS, LDS, CDS]) == [CDS, EDS, LDS, RDS, ECDS, NDS]


def test_short_names() -> None:
    assert [short(one) for one in (CDS, NDS, "type.googleapis.com/x.Y")] == ["CDS", "NDS", "x.Y"]
