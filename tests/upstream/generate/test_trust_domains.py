# SPDX-License-Identifier: Apache-2.0
"""Principals under every trust domain that the policy's may stand for."""

from __future__ import annotations

import pytest

from upstream.config import MeshConfig
from upstream.generate.trust_domains import in_all_domains

MESH = MeshConfig(trust_domain="new-td", trust_domain_aliases=("old-td", "other"))
REST = "ns/a/sa/b"


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (f"old-td/{REST}", [f"new-td/{REST}", f"old-td/{REST}", f"other/{REST}"]),
        (f"cluster.local/{REST}", [f"new-td/{REST}", f"old-td/{REST}", f"other/{REST}"]),
        (f"stranger/{REST}", [f"stranger/{REST}"]),
        (f"*-td/{REST}", [f"*-td/{REST}", f"other/{REST}"]),
        (f"new*/{REST}", [f"new-td/{REST}", f"old-td/{REST}", f"other/{REST}"]),
        (f"*/{REST}", [f"*/{REST}"]),
        ("*", ["*"]),
        ("old-td/*", ["old-td/*"]),
        ("*/sa/b", ["*/sa/b"]),
    ],
)
def test_in_all_domains(principal: str, expected: list[str]) -> None:
    assert in_all_domains([principal], MESH) == expected


def test_each_once() -> None:
    mesh = MeshConfig(trust_domain="td")
    assert in_all_domains([f"td/{REST}", f"cluster.local/{REST}", "*"], mesh) == [f"td/{REST}", "*"]
