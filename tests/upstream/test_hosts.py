# SPDX-License-Identifier: Apache-2.0
"""How host names are completed and compared."""

from __future__ import annotations

import pytest

from upstream.hosts import full_host, most_specific, overlap, subset_of


@pytest.mark.parametrize(
    ("host", "full"),
    [
        ("reviews", "reviews.demo.svc.cluster.local"),
        ("reviews.other", "reviews.other"),
        ("a.test", "a.test"),
        ("*", "*"),
        ("*.test", "*.test"),
    ],
)
def test_full_host(host: str, full: str) -> None:
    assert full_host(host, "demo") == full


@pytest.mark.parametrize(
    ("host", "pattern", "inside", "touches"),
    [
        ("a.test", "a.test", True, True),
        ("a.test", "b.test", False, False),
        ("a.test", "*.test", True, True),
        ("*.test", "a.test", False, True),
        ("*.a.test", "*.test", True, True),
        ("*.test", "*.a.test", False, True),
        ("test", "*.test", False, False),
        ("*.test", "*.test", True, True),
        ("*est", "*.test", False, True),
        ("anything", "*", True, True),
        ("*.a.test", "*.b.test", False, False),
    ],
)
def test_comparison(host: str, pattern: str, *, inside: bool, touches: bool) -> None:
    assert subset_of(host, pattern) is inside
    assert overlap(host, pattern) is touches
    assert overlap(pattern, host) is touches


@pytest.mark.parametrize(
    ("patterns", "best"),
    [
        ([], None),
        (["b.test"], None),
        (["*", "*.test"], "*.test"),
        (["*.test", "*.a.test", "x.a.test"], "x.a.test"),
        (["*.test", "*.a.test"], "*.a.test"),
    ],
)
def test_most_specific(patterns: list[str], best: str | None) -> None:
    assert most_specific("x.a.test", patterns) == best
