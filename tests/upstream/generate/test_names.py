# SPDX-License-Identifier: Apache-2.0
"""Istio's names, byte for byte."""

from __future__ import annotations

import pytest

from upstream.generate import names

HOST = "reviews.default.svc.cluster.local"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (names.outbound_cluster(9080, "", HOST), f"outbound|9080||{HOST}"),
        (names.outbound_cluster(9080, "v1", HOST), f"outbound|9080|v1|{HOST}"),
        (names.inbound_cluster(8080), "inbound|8080||"),
        (names.server_name(9080, "v1", HOST), f"outbound_.9080_.v1_.{HOST}"),
        (names.server_name(9080, "", HOST), f"outbound_.9080_._.{HOST}"),
        (names.listener("0.0.0.0", 80), "0.0.0.0_80"),
        (names.listener("unix:///run/x", 0), "unix:///run/x"),
        (names.stat("inbound_0.0.0.0_80"), "inbound_0.0.0.0_80;"),
    ],
)
def test_names(made: str, expected: str) -> None:
    assert made == expected


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (f"outbound|9080|v1|{HOST}", (9080, "v1", HOST)),
        (f"outbound|9080||{HOST}", (9080, "", HOST)),
        ("inbound|80||", None),
        ("outbound|x||h", None),
        ("outbound|80|h", None),
        ("BlackHoleCluster", None),
    ],
)
def test_split(name: str, parts: tuple[int, str, str] | None) -> None:
    assert names.split_outbound(name) == parts
