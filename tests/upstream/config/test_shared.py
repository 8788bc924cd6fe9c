# SPDX-License-Identifier: Apache-2.0
"""Protocols by their names, and what follows from each."""

from __future__ import annotations

import pytest

from upstream.config.shared import Protocol, StringMatch


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("HTTP", Protocol.HTTP),
        ("http", Protocol.HTTP),
        ("HTTP2", Protocol.HTTP2),
        ("grpc", Protocol.GRPC),
        ("GRPC-Web", Protocol.GRPC_WEB),
        ("HTTP_PROXY", Protocol.HTTP_PROXY),
        ("tls", Protocol.TLS),
        ("MONGO", Protocol.MONGO),
        ("UDP", Protocol.UDP),
        ("", Protocol.UNSUPPORTED),
        ("nosuch", Protocol.UNSUPPORTED),
        ("HBONE", Protocol.UNSUPPORTED),
    ],
)
def test_parse(text: str, protocol: Protocol) -> None:
    assert Protocol.parse(text) is protocol


@pytest.mark.parametrize(
    ("protocol", "is_so"),
    [
        (Protocol.HTTP, {"http"}),
        (Protocol.HTTP_PROXY, {"http"}),
        (Protocol.GRPC, {"http", "http2"}),
        (Protocol.GRPC_WEB, {"http", "http2"}),
        (Protocol.HTTPS, {"tls"}),
        (Protocol.TCP, set()),
        (Protocol.MYSQL, set()),
        (Protocol.UNSUPPORTED, {"auto"}),
    ],
)
def test_what_follows(protocol: Protocol, is_so: set[str]) -> None:
    assert {one for one in ("http", "http2", "tls", "auto") if getattr(protocol, one)} == is_so


@pytest.mark.parametrize(
    ("match", "all_of_them"),
    [
        (StringMatch(prefix="/"), True),
        (StringMatch(regex=".*"), True),
        (StringMatch(prefix="/a"), False),
        (StringMatch(exact="/"), False),
    ],
)
def test_catches_all(match: StringMatch, *, all_of_them: bool) -> None:
    assert match.catches_all is all_of_them
