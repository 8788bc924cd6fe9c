# SPDX-License-Identifier: Apache-2.0
"""Envoy's argument list, word by word. Source: spec/agent.md 3.1-3.3; peer: pkg/envoy/proxy_test.go."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.envoy.command import (
    EnvoyArguments,
    LogLevels,
    command_line,
    compact,
    split_log_levels,
    with_host_ip,
)

PLAIN = (
    "envoy -c etc/envoy-rev.json --drain-time-s 45 --drain-strategy immediate"
    " --local-address-ip-version v4 --file-flush-interval-msec 1000"
    " --disable-hot-restart --allow-unknown-static-fields"
)


def line(**given: object) -> str:
    arguments = EnvoyArguments(binary="envoy", **given)  # type: ignore[arg-type]  # fields by name
    return " ".join(command_line(arguments, "etc/envoy-rev.json"))


def test_defaults() -> None:
    assert line() == f"{PLAIN} -l warning --skip-deprecated-logs"


def test_everything_in_order() -> None:
    text = line(
        drain=20.0,
        ipv6_only=True,
        flush_interval=0.25,
        flush_min_kb=64,
        log_level="debug",
        component_log_level="misc:error,upstream:info",
        core_dump=True,
        override='{"key":"value"}',
        concurrency=8,
    )
    assert text == (
        "envoy -c etc/envoy-rev.json --drain-time-s 20 --drain-strategy immediate"
        " --local-address-ip-version v6 --file-flush-interval-msec 250"
        " --disable-hot-restart --allow-unknown-static-fields --file-flush-min-size-kb 64"
        " -l debug --component-log-level misc:error,upstream:info --skip-deprecated-logs"
        ' --enable-core-dump --config-yaml {"key":"value"} --concurrency 8'
    )


def test_what_is_not_said_is_not_passed() -> None:
    assert line(log_level="", skip_deprecated_logs=False, flush_min_kb=0) == PLAIN


def test_no_flush_at_all_is_zero_milliseconds() -> None:
    assert "--file-flush-interval-msec 0" in line(flush_interval=0.0)


@pytest.mark.parametrize(
    ("text", "fallback", "wanted"),
    [
        ("warning", "", LogLevels("warning", "")),
        ("warning", "misc:error", LogLevels("warning", "misc:error")),
        ("info,misc:error", "rbac:debug", LogLevels("info", "misc:error")),
        ("misc:error,upstream:info", "", LogLevels("", "misc:error,upstream:info")),
        ("info,debug", "", LogLevels("debug", "")),
        ("info,a:b:c", "x:y", LogLevels("info", "x:y", ("a:b:c",))),
    ],
)
def test_log_levels(text: str, fallback: str, wanted: LogLevels) -> None:
    assert split_log_levels(text, fallback) == wanted


@pytest.mark.parametrize(
    ("text", "host_ip", "wanted"),
    [
        ("http://$(HOST_IP):80", "169.254.169.254", "http://169.254.169.254:80"),
        ("http://$(HOST_IP):80", "2001:db8::1", "http://[2001:db8::1]:80"),
        ("http://[$(HOST_IP)]:80", "2001:db8::1", "http://[2001:db8::1]:80"),
        ("http://[$(HOST_IP)]:80", "10.0.0.1", "http://[10.0.0.1]:80"),
        ("nothing", "10.0.0.1", "nothing"),
    ],
)
def test_host_ip(text: str, host_ip: str, wanted: str) -> None:
    assert with_host_ip(text, host_ip) == wanted


def test_an_override_is_compact_and_sorted() -> None:
    assert compact({"b": [1, 2], "a": {"key": "väl"}}) == '{"a":{"key":"väl"},"b":[1,2]}'


@given(st.recursive(st.none() | st.booleans() | st.text(), st.lists))
def test_an_override_means_the_same(value: object) -> None:
    assert json.loads(compact(value)) == value
