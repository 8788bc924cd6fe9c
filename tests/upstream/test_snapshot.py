# SPDX-License-Identifier: Apache-2.0
"""Versions of snapshots."""

from __future__ import annotations

from upstream.snapshot import Versions


def test_versions_differ_within_one_second() -> None:
    versions = Versions()
    assert versions.next(0.0) == "1970-01-01T00:00:00Z/1"
    assert versions.next(0.0) == "1970-01-01T00:00:00Z/2"
