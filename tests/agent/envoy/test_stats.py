# SPDX-License-Identifier: Apache-2.0
"""Envoy's numbers. Source: spec/agent.md 3.5, Appendix C; peer: pkg/envoy/agent_test.go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.envoy.stats import NO_DATA, active_connections, own_listeners, values

OWN = own_listeners([15021, 15090])

BUSY = """\
http.admin.downstream_cx_active: 3
http.inbound_0.0.0.0_8080.downstream_cx_active: 7
listener.0.0.0.0_15006.downstream_cx_active: 6
listener.0.0.0.0_15006.worker_0.downstream_cx_active: 4
listener.0.0.0.0_15006.worker_1.downstream_cx_active: 2
listener.0.0.0.0_15021.downstream_cx_active: 5
listener.0.0.0.0_15090.downstream_cx_active: 9
listener.10.0.0.1_9080.downstream_cx_active: 13
listener.admin.downstream_cx_active: 1
listener.admin.main_thread.downstream_cx_active: 1
listener.envoy_internal_connect.downstream_cx_active: 8
listener.envoy_internal_main.downstream_cx_active: 2
"""


def test_connections_of_the_application_only() -> None:
    assert active_connections(BUSY, OWN) == 19


def test_idle() -> None:
    assert active_connections("listener.0.0.0.0_15006.downstream_cx_active: 0\n", OWN) == 0


def test_not_a_byte_is_not_zero() -> None:
    assert active_connections("", OWN) == NO_DATA


@pytest.mark.parametrize(
    "line",
    [
        "listener.0.0.0.0_15006.downstream_cx_active",
        "listener.[::]_15006.downstream_cx_active: 3",
        "listener.0.0.0.0_15006.downstream_cx_active: -3",
        "listener.0.0.0.0_15006.downstream_cx_active: \u00b2",
        "listener.0.0.0.0_15006.downstream_cx_active: many",
        "\n",
    ],
)
def test_lines_that_say_nothing_are_passed_over(line: str) -> None:
    assert active_connections(f"{line}\n", OWN) == 0


@given(st.text())
def test_no_text_is_too_strange_to_count(text: str) -> None:
    assert active_connections(text, OWN) >= NO_DATA


def test_values_by_the_beginning_of_the_line() -> None:
    text = "server.state: 0\ncluster_manager.cds.update_success: 3\nother: 1\n"
    wanted = ("server.state", "cluster_manager.cds.update_success", "missing")
    assert values(text, wanted) == {"server.state": 0, "cluster_manager.cds.update_success": 3}


@pytest.mark.parametrize("line", ["server.state", "server.state: a: b", "server.state: -1"])
def test_a_wanted_line_must_be_readable(line: str) -> None:
    with pytest.raises(ValueError, match="envoy stat"):
        values(line, ["server.state"])
