# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.bootstrap import authored, inputs_for, stats_lists

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PREFIX = "sidecar.istio.io/"
REQUIRED = ["rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied"]


def document(**fields: Any) -> dict[str, Any]:
    return dict(json.loads(authored(inputs_for(**fields))))


def warnings_of(**fields: Any) -> tuple[str, ...]:
    from bootstrap.author import author

    return author(inputs_for(**fields)).warnings


def annotated(**notes: str) -> dict[str, dict[str, str]]:
    return {"annotations": {f"{PREFIX}{name}": value for name, value in notes.items()}}


def test_annotation_wins_over_the_configured_matcher() -> None:
    config = {"proxyStatsMatcher": {"inclusionSuffixes": ["c"], "inclusionPrefixes": ["p"]}}
    found = stats_lists(document(proxy_config=config, **annotated(statsInclusionSuffixes="a,b")))
    assert found["suffixes"] == ["a", "b", *REQUIRED]
    assert found["prefixes"][:2] == ["reporter=", "p"]


def test_pod_ip_stands_for_each_address() -> None:
    found = stats_lists(
        document(
            instance_ips=("10.0.0.1", "10.0.0.2"), **annotated(statsInclusionPrefixes="h.{pod_ip}_")
        )
    )
    assert found["prefixes"][1:3] == ["h.10.0.0.1_", "h.10.0.0.2_"]


def test_the_drains_own_counter_only_when_it_is_asked() -> None:
    metadata = {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true"}
    assert stats_lists(document(metadata=metadata))["suffixes"] == [
        *REQUIRED,
        "downstream_cx_active",
    ]
    assert stats_lists(document())["suffixes"] == REQUIRED


def test_extra_tags_once_each_in_the_middle() -> None:
    data = document(proxy_config={"extraStatTags": ["x", "y"]}, **annotated(extraStatTags="y,,z"))
    names = [tag["tag_name"] for tag in data["stats_config"]["stats_tags"]]
    start = names.index("mongo_prefix") + 1
    assert names[start : start + 4] == ["x", "y", "z", "cache"]


@pytest.mark.parametrize(
    ("flush", "evict", "expected"),
    [
        ("10s", "20s", ("10s", "20s")),
        ("1m", "", ("60s", None)),
        ("", "10s", (None, "10s")),
        ("", "11s", (None, None)),
        ("500ms", "2.5s", ("0.500s", "2.500s")),
        ("10s", "15s", ("10s", None)),
        ("soon", "10s", (None, "10s")),
        ("-1s", "", (None, None)),
    ],
)
def test_intervals(flush: str, evict: str, expected: tuple[str | None, str | None]) -> None:
    data = document(**annotated(statsFlushInterval=flush, statsEvictionInterval=evict))
    assert (data.get("stats_flush_interval"), data.get("stats_eviction_interval")) == expected


def test_what_is_ignored_is_told() -> None:
    notes = annotated(
        statsFlushInterval="soon", statsEvictionInterval="11s", statsHistogramBuckets="[1"
    )
    told = " ".join(warnings_of(**notes))
    assert all(name in told for name in ("statsFlushInterval", "statsEvictionInterval", "Buckets"))


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": ["x"]}'])
def test_broken_buckets_are_left_out(text: str) -> None:
    data = document(**annotated(statsHistogramBuckets=text))
    assert "histogram_bucket_settings" not in data["stats_config"]


def test_buckets_are_sorted_by_prefix() -> None:
    data = document(**annotated(statsHistogramBuckets='{"b":[1,2.5],"a":[3]}'))
    assert data["stats_config"]["histogram_bucket_settings"] == [
        {"match": {"prefix": "a"}, "buckets": [3]},
        {"match": {"prefix": "b"}, "buckets": [1, 2.5]},
    ]
