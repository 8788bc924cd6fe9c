# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import BadSetting
from mesh.nodemeta import (
    KEYS,
    Kind,
    interception_mode,
    is_empty,
    normal,
    parse_list,
    parse_ports,
    typed,
)


def test_only_known_keys_and_no_empty_ones() -> None:
    given = {
        "OWNER": "me",
        "foo": "bar",
        "NETWORK": "",
        "DNS_CAPTURE": "0",
        "METADATA_DISCOVERY": "0",
    }
    assert typed(given) == {"OWNER": "me", "METADATA_DISCOVERY": "false"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("OWNER", 1),
        ("DNS_CAPTURE", "yes"),
        ("DNS_CAPTURE", True),
        ("INSTANCE_IPS", ["10.0.0.1"]),
        ("POD_PORTS", "{}"),
        ("POD_PORTS", "[1]"),
        ("POD_PORTS", "["),
        ("LABELS", {"a": 1}),
        ("LABELS", "a"),
        ("PILOT_SAN", "a"),
        ("ENVOY_STATUS_PORT", "15021"),
        ("PROXY_CONFIG", "x"),
    ],
)
def test_the_wrong_kind_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(BadSetting, match=f"ISTIO_META_{key}"):
        normal(key, value)


def test_lists_and_ports() -> None:
    assert parse_list("") == []
    assert parse_list("a,,b") == ["a", "", "b"]
    assert parse_ports('[{"name": "x"}]') == [{"name": "x"}]
    assert parse_ports("null") == []


def test_every_kind_has_a_way_to_be_empty() -> None:
    samples = {Kind.BOOL: "false", Kind.NUMBER: 0, Kind.MAP: {}, Kind.STRINGS: []}
    for key, kind in KEYS.items():
        expected = kind not in {Kind.TRISTATE, Kind.MESSAGE}
        assert is_empty(key, samples.get(kind, "")) == expected


@pytest.mark.parametrize(
    ("metadata", "mode"),
    [
        ({}, "REDIRECT"),
        ({"INTERCEPTION_MODE": "TPROXY"}, "TPROXY"),
        ({"INTERCEPTION_MODE": "none"}, "NONE"),
    ],
)
def test_mode(metadata: dict[str, Any], mode: str) -> None:
    assert interception_mode(metadata) == mode
