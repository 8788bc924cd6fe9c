# SPDX-License-Identifier: Apache-2.0
"""Which change concerns which type."""

from __future__ import annotations

from dataclasses import replace

import pytest

from upstream.config import Key, Kind
from upstream.queue import Reason, request
from upstream.scope import concerns
from upstream.watch import CDS, EDS, LDS, NDS, RDS

ALL = {CDS, EDS, LDS, RDS, NDS}


@pytest.mark.parametrize(
    ("kinds", "types"),
    [
        ([Kind.AUTHORIZATION_POLICY], {LDS, NDS}),
        ([Kind.VIRTUAL_SERVICE], ALL - {EDS}),
        ([Kind.PEER_AUTHENTICATION], ALL - {RDS}),
        ([Kind.SERVICE_ENTRY], ALL),
        ([Kind.WORKLOAD_ENTRY], ALL),
        (["Endpoints"], {EDS}),
        (["Endpoints", Kind.SERVICE_ENTRY], ALL),
        ([Kind.AUTHORIZATION_POLICY, Kind.DESTINATION_RULE], ALL),
    ],
)
def test_kinds(kinds: list[str], types: set[str]) -> None:
    wish = request([Key(kind, "n", "x") for kind in kinds], Reason.CONFIG, now=0.0)
    assert {one for one in ALL if concerns(one, wish)} == types


def test_unknown_and_forced_concern_everything() -> None:
    unknown = request(None, Reason.GLOBAL, now=0.0)
    key = Key(Kind.AUTHORIZATION_POLICY, "n", "x")
    forced = request([key], Reason.DEBUG, now=0.0, forced=True)
    for wish in (unknown, forced):
        assert all(concerns(one, wish) for one in ALL)


def test_a_workload_whose_own_endpoint_moved_gets_everything() -> None:
    moved = request([Key("Endpoints", "n", "x")], Reason.CONFIG, now=0.0)
    wish = replace(moved, addresses=frozenset({"10.0.0.1"}))
    assert concerns(LDS, wish, ("10.0.0.1", "10.0.0.9"))
    assert not concerns(LDS, wish, ("10.0.0.9",))
    assert moved.merge(wish).addresses == {"10.0.0.1"}
