# SPDX-License-Identifier: Apache-2.0
"""Socket addresses and pipes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import plain
from upstream.generate.addresses import address


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("10.0.0.1", 80, {"socketAddress": {"address": "10.0.0.1", "portValue": 80}}),
        ("2001:db8::1", 443, {"socketAddress": {"address": "2001:db8::1", "portValue": 443}}),
        ("unix:///run/app.sock", 0, {"pipe": {"path": "/run/app.sock"}}),
        ("unix://@name", 7, {"pipe": {"path": "@name"}}),
    ],
)
def test_address(host: str, port: int, expected: dict[str, Any]) -> None:
    assert plain(address(host, port)) == expected
