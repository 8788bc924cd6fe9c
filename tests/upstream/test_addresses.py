# SPDX-License-Identifier: Apache-2.0
"""What is bound, told through a file."""

from __future__ import annotations

import json
from pathlib import Path

from upstream import addresses
from upstream.options import Address


def test_published_read_withdrawn(tmp_path: Path) -> None:
    state = str(tmp_path)
    assert addresses.read(state) == {}
    bound = {"grpc": Address(host="127.0.0.1", port=1), "http": Address(host="::1", port=2)}
    addresses.publish(state, bound)
    assert json.loads((tmp_path / "addresses.json").read_text()) == {
        "grpc": "127.0.0.1:1",
        "http": "[::1]:2",
    }
    assert addresses.read(state) == bound
    addresses.withdraw(state)
    addresses.withdraw(state)
    assert addresses.read(state) == {}
