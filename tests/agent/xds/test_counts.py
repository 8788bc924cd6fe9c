# SPDX-License-Identifier: Apache-2.0
"""Metrics under the peer's names, each after its first use; ends sorted into the peer's two kinds."""

from __future__ import annotations

import pytest

from agent.xds.counts import Counts, Ending, count, ending_of
from wire import types
from wire.h2.grpc import Code, Status


def test_nothing_used_nothing_shown() -> None:
    assert Counts().render() == ""


def test_text() -> None:
    counts = Counts(requests=2, failures=1, largest_request=99)
    counts.on_response(types.CLUSTER, 10, 1.0, b"\x0a\x02v7")
    count(counts.upstream_ends, Status(Code.INTERNAL, "x"))
    assert counts.render() == (
        "# TYPE istio_agent_xds_proxy_requests counter\nistio_agent_xds_proxy_requests 2\n"
        "# TYPE istio_agent_xds_proxy_responses counter\nistio_agent_xds_proxy_responses 1\n"
        "# TYPE istio_agent_istiod_connection_failures counter\nistio_agent_istiod_connection_failures 1\n"
        "# TYPE istio_agent_istiod_connection_terminations counter\n"
        'istio_agent_istiod_connection_terminations{type="error"} 1\n'
        "# TYPE istio_agent_pilot_xds_recv_max gauge\nistio_agent_pilot_xds_recv_max 99\n"
    )
    assert counts.status()["CDS"] == {
        "responses": 1,
        "bytes": 10,
        "at": 1.0,
        "version": "v7",
        "source": "control plane",
        "acknowledged": 0,
        "refused": 0,
        "lastError": "",
        "refusedAt": 0.0,
    }


def test_what_the_store_answers_is_told_apart() -> None:
    counts = Counts()
    counts.on_stored(types.CLUSTER, b"\x0a\x02v6" + bytes(500), 2.0)
    told = counts.status()["CDS"]
    assert (told["source"], told["version"], told["bytes"]) == ("store", "v6", 504)
    assert "istio_agent_xds_proxy_responses" not in counts.render()
    assert "pilothouse_xds_store_responses_total 1" in counts.render()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status(Code.CANCELLED), Ending.CANCELLED),
        (Status(Code.DEADLINE_EXCEEDED), Ending.CANCELLED),
        (Status(Code.UNAVAILABLE, "connection to x lost: closed by the peer"), Ending.CANCELLED),
        (Status(Code.UNAVAILABLE, "no healthy upstream"), Ending.ERROR),
        (Status(Code.UNAUTHENTICATED), Ending.ERROR),
    ],
)
def test_kinds_of_ends(status: Status, kind: Ending) -> None:
    assert ending_of(status) is kind
