# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from iptables.flags import FLAGS, Kind, convert, read, usage


def test_forms_of_a_flag() -> None:
    for words in (["--envoy-port=1"], ["--envoy-port", "1"], ["-p", "1"], ["-p1"], ["-p=1"]):
        assert read(words, {}).text("envoy-port") == "1"


def test_switches() -> None:
    assert read(["--dry-run"], {}).switch("dry-run")
    assert read(["-n"], {}).switch("dry-run")
    assert not read(["--dry-run=false"], {"DRY_RUN": "true"}).switch("dry-run")
    assert read(["-nu", "5"], {}).text("proxy-uid") == "5"


def test_a_variable_sets_and_a_flag_wins() -> None:
    env = {"PROXY_UID": "7", "ENVOY_PORT": "9"}
    assert read([], env).text("proxy-uid") == "7"
    assert read(["-u8"], env).text("proxy-uid") == "8"
    assert read([], env).text("envoy-port") == "15001"


def test_the_later_variable_is_stronger() -> None:
    assert not read([], {"REDIRECT_DNS": "true", "ISTIO_META_DNS_CAPTURE": "false"}).switch(
        "redirect-dns"
    )


def test_a_bad_variable_is_skipped_and_said() -> None:
    words = read(
        [], {"DUAL_STACK": "perhaps", "IPTABLES_PROBE_PORT": "70000", "PROBE_TIMEOUT": "5"}
    )
    assert not words.switch("dual-stack")
    assert words.values["iptables-probe-port"] == 15002
    assert [w.name for w in words.warnings] == [
        "IPTABLES_PROBE_PORT",
        "PROBE_TIMEOUT",
        "DUAL_STACK",
    ]
    assert not words.faults


def test_all_faults_at_once() -> None:
    words = read(["--bogus=1", "--dry-run=maybe", "-Z", "--proxy-uid"], {})
    assert len(words.faults) == 4
    assert "unknown flag" in str(words.faults[0])


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(Kind.PORT, "65535", 65535), (Kind.DURATION, "1m30s", 90.0), (Kind.SWITCH, "T", True)],
)
def test_values(kind: Kind, text: str, value: object) -> None:
    assert convert(kind, text) == value


def test_usage_names_every_flag() -> None:
    text = usage()
    assert all(f"--{flag.name}" in text for flag in FLAGS)
