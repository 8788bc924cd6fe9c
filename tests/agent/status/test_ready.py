# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from agent.status.ready import CONFIG_QUERY, LIVE_QUERY, EnvoyProbe, config_fault, live_fault

CDS = "cluster_manager.cds.update_success: 1\n"
LDS = "listener_manager.lds.update_success: 1\n"
LIVE = "listener_manager.workers_started: 1\nserver.state: 0\n"


def said(cds: int, cds_bad: int, lds: int, lds_bad: int) -> str:
    return (
        f"cds updates: {cds} successful, {cds_bad} rejected; "
        f"lds updates: {lds} successful, {lds_bad} rejected"
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (CDS + LDS, ""),
        ("", f"config not received from XDS server (is Istiod running?): {said(0, 0, 0, 0)}"),
        (LDS, f"config not fully received from XDS server: {said(0, 0, 1, 0)}"),
        (CDS, f"config not fully received from XDS server: {said(1, 0, 0, 0)}"),
        (
            f"cluster_manager.cds.update_rejected: 1\n{LDS}",
            f"config received from XDS server, but was rejected: {said(0, 1, 1, 0)}",
        ),
    ],
)
def test_config(text: str, fault: str) -> None:
    assert config_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (LIVE, ""),
        ("server.state: 0\nlistener_manager.workers_started: 0", "workers have not yet started"),
        (LIVE.replace("state: 0", "state: 2"), "current state is: PRE_INITIALIZING"),
        (LIVE.replace("state: 0", "state: 9"), "current state is: 9"),
        ("listener_manager.workers_started: 1", "server.state is missing"),
        ("server.state: 0", "listener_manager.workers_started is missing"),
    ],
)
def test_life(text: str, fault: str) -> None:
    assert live_fault(text).endswith(fault)
    assert bool(live_fault(text)) == bool(fault)


def test_the_two_questions_in_turn_and_the_latch() -> None:
    probe = EnvoyProbe()
    assert probe.query() == CONFIG_QUERY
    assert probe.on_stats(CDS)
    assert probe.query() == CONFIG_QUERY
    assert not probe.on_stats(CDS + LDS)
    assert probe.query() == LIVE_QUERY
    assert not probe.on_stats(LIVE)
    assert probe.query() is None


def test_an_end_that_has_begun_is_never_latched_as_ready() -> None:
    probe = EnvoyProbe()
    probe.on_stats(CDS + LDS)
    assert probe.on_stats(LIVE, terminated="terminated") == "server is terminated: terminated"
    assert probe.query() == LIVE_QUERY


@pytest.mark.parametrize("text", ["server.state: 0: 1", "server.state: x", "server.state: -1"])
def test_statistics_that_cannot_be_read_are_a_fault(text: str) -> None:
    probe = EnvoyProbe()
    probe.on_stats(CDS + LDS)
    assert "server.state" in probe.on_stats(text)
