# SPDX-License-Identifier: Apache-2.0
"""Checks that several kinds share."""

from __future__ import annotations

from datetime import timedelta

import pytest

from upstream.config import problems
from upstream.config.shared import StringMatch


@pytest.mark.parametrize(
    ("host", "wildcard", "good"),
    [
        ("a", True, True),
        ("a.b-c.test.", True, True),
        ("*.test", True, True),
        ("*", True, True),
        ("*", False, False),
        ("*.test", False, False),
        ("a.*.test", True, False),
        ("a..b", True, False),
        ("-a", True, False),
        ("a_b!", True, False),
        ("", True, False),
        ("a" * 64, True, False),
        (".".join(["a" * 60] * 5), True, False),
    ],
)
def test_hosts(host: str, *, wildcard: bool, good: bool) -> None:
    assert (not list(problems.host_problems("h", host, wildcard=wildcard))) is good


@pytest.mark.parametrize(("number", "good"), [(1, True), (65535, True), (0, False), (65536, False)])
def test_ports(number: int, *, good: bool) -> None:
    assert (not list(problems.port_problems("p", number))) is good


@pytest.mark.parametrize(
    ("labels", "paths"),
    [
        ({"app": "a"}, []),
        ({"": "a"}, ["l"]),
        ({"a*": "b"}, ["l[a*]"]),
        ({"a": "*"}, ["l[a]"]),
    ],
)
def test_labels(labels: dict[str, str], paths: list[str]) -> None:
    assert [one.path for one in problems.label_problems("l", labels)] == paths


@pytest.mark.parametrize(
    ("spaces", "count"),
    [([], 0), (["a", "."], 0), (["*"], 0), (["A!"], 1), (["a", "a"], 1), (["*", "a"], 1)],
)
def test_export(spaces: list[str], count: int) -> None:
    assert len(list(problems.export_problems(spaces))) == count


@pytest.mark.parametrize(
    ("match", "required", "paths"),
    [
        (StringMatch(exact="a"), True, []),
        (StringMatch(), False, []),
        (StringMatch(), True, ["m"]),
        (StringMatch(prefix=""), True, ["m"]),
        (StringMatch(exact="a", prefix="b"), True, ["m"]),
        (StringMatch(regex="*"), True, []),
        (StringMatch(regex="(?=a)"), True, ["m.regex"]),
    ],
)
def test_matches(match: StringMatch, *, required: bool, paths: list[str]) -> None:
    found = problems.match_problems("m", match, required=required)
    assert [one.path for one in found] == paths


def test_times_and_percentages() -> None:
    assert not list(problems.time_problems("t", None))
    assert not list(problems.time_problems("t", timedelta(milliseconds=1)))
    assert list(problems.time_problems("t", timedelta(microseconds=999)))
    assert not list(problems.percent_problems("p", 100))
    assert list(problems.percent_problems("p", 100.1))
    assert list(problems.percent_problems("p", -1))


@pytest.mark.parametrize(
    ("text", "ip", "network"),
    [
        ("10.0.0.1", True, True),
        ("10.0.0.1/8", False, True),
        ("::1", True, True),
        ("a", False, False),
    ],
)
def test_addresses(text: str, *, ip: bool, network: bool) -> None:
    assert (problems.is_ip(text), problems.is_network(text)) == (ip, network)


@pytest.mark.parametrize(
    ("address", "good"), [("unix:///a", True), ("unix://@a", True), ("unix://a", False)]
)
def test_sockets(address: str, *, good: bool) -> None:
    assert problems.is_socket_path(address) is good
