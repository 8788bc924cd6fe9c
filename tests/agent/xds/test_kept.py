# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.xds.kept import SENSITIVE, Accepted, Change, changes, needed
from tests.support.accepted import delta, sotw
from tests.support.fakeads import FakeAds, resource
from wire import types
from wire.proto.discovery_pb2 import DiscoveryResponse
from wire.scan import Variant


def test_what_goes_is_named() -> None:
    change = changes([delta(removed=("x",))])[types.CLUSTER]
    assert (change.put, change.remove, change.clear) == ({}, {"x"}, False)


NAMES = st.sets(st.sampled_from("abcd"), max_size=3)


@given(st.lists(st.tuples(st.booleans(), NAMES, NAMES), max_size=6))
def test_merged_is_the_same_as_one_after_the_other(
    steps: list[tuple[bool, set[str], set[str]]],
) -> None:
    """Newest first with what is overtaken left out comes to what a plain replay comes to."""
    told, rows = [], {"a": "0", "d": "0"}
    for number, (full, put, gone) in enumerate(steps, start=1):
        if full:
            rows = {}
            ads = FakeAds(version=str(number))
            ads.put(types.CLUSTER, *put)
            raw = ads.sotw(types.CLUSTER).SerializeToString()
            told.append(Accepted(types.CLUSTER, Variant.SOTW, raw))
        else:
            told.append(delta(*put, removed=tuple(gone), version=str(number)))
            rows = {name: version for name, version in rows.items() if name not in gone}
        rows.update(dict.fromkeys(put, str(number)))
    assert outcome(told) == rows
    assert outcome(needed(told)) == rows


def outcome(told: list[Accepted]) -> dict[str, str]:
    """The rows, by name and version, that writing these leaves."""
    change = changes(told).get(types.CLUSTER, Change())
    before = {} if change.clear else {"a": "0", "d": "0"}
    kept = {name: version for name, version in before.items() if name not in change.remove}
    return kept | {name: entry.version for name, entry in change.put.items()}


def test_what_newer_responses_overtake_is_not_needed() -> None:
    first, second, third = delta("a", "b"), delta("a"), delta("a", "b")
    assert needed([first, second]) == [first, second]
    assert needed([first, second, third]) == [third]
    assert needed([first, sotw("c"), second]) == [sotw("c"), second]
    assert needed([delta(removed=("x",)), second]) == [delta(removed=("x",)), second]


def test_each_mark_of_a_secret_keeps_its_resource_out_and_removes_the_old_one() -> None:
    for mark in SENSITIVE:
        poisoned = resource(types.CLUSTER, "k")
        poisoned.value += b"\x7a" + bytes([len(mark)]) + mark
        message = DiscoveryResponse(
            resources=[poisoned, resource(types.CLUSTER, "ok")], type_url=types.CLUSTER
        )
        told = Accepted(types.CLUSTER, Variant.SOTW, message.SerializeToString())
        change = changes([delta("k"), told])[types.CLUSTER]
        assert (set(change.put), change.withheld) == ({"ok"}, 1)
        assert change.clear or "k" in change.remove


def test_full_state_of_a_wildcard_type_clears() -> None:
    change = changes([sotw("a")])[types.CLUSTER]
    assert (set(change.put), change.clear) == ({"a"}, True)
