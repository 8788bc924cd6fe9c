# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from agent.envoy.fitness import Seen, fault, seen

GATE = "pilothouse-gate-3"
AT_GATE = (f"shared target RdsRouteConfigSubscription RDS init {GATE}",)
PRESENT = Seen("LIVE", 0, frozenset({"in", "out"}), 4, ())
FIT = Seen("INITIALIZING", 1, frozenset({"in", "out", "pilothouse-gate"}), 4, AT_GATE)


def test_fit() -> None:
    assert fault(FIT, PRESENT, GATE) == ""
    assert fault(FIT._replace(clusters=9), PRESENT, GATE) == "", "it may know more"


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (FIT._replace(state="PRE_INITIALIZING"), "it is pre initializing"),
        (FIT._replace(state="LIVE", waiting=()), "it is live"),
        (FIT._replace(waiting=("LDS", *AT_GATE)), "it waits for LDS"),
        (FIT._replace(waiting=()), "it has not come to its gate"),
        (FIT._replace(waiting=("RDS init pilothouse-gate-2",)), "it waits for RDS init"),
        (FIT._replace(listeners=frozenset({"in"})), "it has no listener out"),
        (FIT._replace(clusters=3), "it has 3 clusters, the present one 4"),
    ],
)
def test_not_fit(new: Seen, why: str) -> None:
    assert fault(new, PRESENT, GATE).startswith(why)


def test_what_the_pages_say() -> None:
    server = {"state": "INITIALIZING", "command_line_options": {"restart_epoch": 1}}
    listeners = {"listener_statuses": [{"name": "in"}, {"name": "out"}]}
    waiting = {
        "unready_targets_dumps": [{"name": "a manager"}, {"name": "b", "target_names": ["LDS"]}]
    }
    assert seen(
        server=json.dumps(server),
        listeners=json.dumps(listeners),
        clusters="cluster_manager.active_clusters: 4\n",
        waiting=json.dumps(waiting),
    ) == Seen("INITIALIZING", 1, frozenset({"in", "out"}), 4, ("LDS",))


def test_a_first_epoch_with_nothing() -> None:
    server = json.dumps({"state": "LIVE", "command_line_options": {}})
    found = seen(server=server, listeners="{}", clusters="", waiting="")
    assert found == Seen("LIVE", 0, frozenset(), 0, ())


@pytest.mark.parametrize("server", ["", "[]", "{}", '{"state": "LIVE"}', "no json"])
def test_what_cannot_be_read(server: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        seen(server=server, listeners="", clusters="", waiting="")
