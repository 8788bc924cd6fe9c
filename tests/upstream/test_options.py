# SPDX-License-Identifier: Apache-2.0
"""Addresses as Go writes them."""

from __future__ import annotations

import pytest

from upstream.options import Address


@pytest.mark.parametrize("text", [":15010", "127.0.0.1:0", "[::1]:15012", "localhost:80"])
def test_round_trip(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "15010", "host:", "host:x", "host:65536", "::1:80", "host:-1"]
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|brackets"):
        Address.parse(text)


def test_empty_host_is_every_address() -> None:
    assert Address.parse(":1").bind_host == "0.0.0.0"
    assert Address.parse("[::1]:1").bind_host == "::1"
