# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from agent.envoy import chain
from agent.envoy.options import HotRestartOptions

OPTIONS = HotRestartOptions(enabled=True, socket="etc/HOT", parent_shutdown=60.4)


def test_the_first_makes_up_the_number_the_others_are_told_it() -> None:
    shared = "--parent-shutdown-time-s 60 --socket-path etc/HOT --socket-mode 600"
    assert " ".join(chain.first(OPTIONS, "etc/HOT.id")) == (
        f"--restart-epoch 0 {shared} --use-dynamic-base-id --base-id-path etc/HOT.id"
    )
    assert " ".join(chain.following(OPTIONS, 2, 77)) == f"--restart-epoch 2 {shared} --base-id 77"


def test_where_the_epochs_meet() -> None:
    assert chain.shared_memory(77) == "/dev/shm/envoy_shared_memory_770"


def test_a_refusal_has_both_versions() -> None:
    assert chain.refusal("11.104", "11.104") == ""
    assert "has 11.104, the new one 12.96" in chain.refusal("11.104", "12.96")
