# SPDX-License-Identifier: Apache-2.0
"""Pushed trust anchors: what is taken from which message."""

from __future__ import annotations

import pytest

from sdsserver.anchors import pushed, usable
from tests.support.testca import CA
from wire.proto.istio_pb2 import PushedProxyConfig

A, B = CA("a").certificate, CA("b").certificate
BROKEN = A.replace(b"MII", b"XXX", 1)


def config(*certificates: bytes) -> bytes:
    texts = [each.decode() for each in certificates]
    return PushedProxyConfig(ca_certificates_pem=texts).SerializeToString()


def test_all_texts_of_all_messages_are_taken() -> None:
    assert pushed([config(A + B), config(B)]) == [A + B, B]
    assert pushed([config()]) == []


def test_what_is_no_message_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a ProxyConfig"):
        pushed([b"\xff\xff"])


def test_certificates_that_do_not_parse_are_left_out_and_counted() -> None:
    assert usable([A + BROKEN, B]) == ([A, B], 1)
    assert usable([]) == ([], 0)


@pytest.mark.parametrize("text", [b"", b"garbage", BROKEN])
def test_none_that_parses_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="no valid certificate"):
        usable([text])
