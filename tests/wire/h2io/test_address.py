# SPDX-License-Identifier: Apache-2.0
"""Addresses: what is read, what it is called to the server, what is refused."""

from __future__ import annotations

import pytest

from mesh.errors import BadSetting
from wire.h2io.address import parse_target


@pytest.mark.parametrize(
    ("text", "path", "host", "port", "authority"),
    [
        ("unix:/run/x", "/run/x", "", 0, "localhost"),
        ("unix:///run/x", "/run/x", "", 0, "localhost"),
        ("unix:x", "x", "", 0, "localhost"),
        ("istiod.istio-system.svc:15012", "", "istiod.istio-system.svc", 15012, None),
        ("10.0.0.1:1", "", "10.0.0.1", 1, None),
        ("[::1]:65535", "", "::1", 65535, None),
    ],
)
def test_good_ones(text: str, path: str, host: str, port: int, authority: str | None) -> None:
    target = parse_target(text)
    assert (target.path, target.host, target.port) == (path, host, port)
    assert target.authority == (authority or text)


@pytest.mark.parametrize(
    "text", ["", "host", ":1", "host:", "host:0", "host:65536", "host:-1", "host:1x", "host:\u0661"]
)
def test_bad_ones(text: str) -> None:
    with pytest.raises(BadSetting, match="host:port") as refused:
        parse_target(text)
    assert repr(text) in str(refused.value)
