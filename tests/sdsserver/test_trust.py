# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from sdsserver.trust import certificate_blocks, concat_certs, merge_roots, unfinished

A = b"-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----"
B = b"-----BEGIN CERTIFICATE-----\nQg==\n-----END CERTIFICATE-----"
KEY = b"-----BEGIN PRIVATE KEY-----\nQg==\n-----END PRIVATE KEY-----"


def test_texts_are_joined_line_by_line() -> None:
    assert concat_certs(["a"]) == "a"
    assert concat_certs(["a\n", "b", "c\n"]) == "a\nb\nc\n"
    assert concat_certs([]) == ""


def test_roots_are_united_sorted_and_without_a_last_newline() -> None:
    assert merge_roots(B + b"\n", A + b"\n\n" + B) == A + b"\n" + B
    assert merge_roots(b"", b"") == b""


def test_only_certificates_count_whatever_stands_between() -> None:
    assert [
        b.strip() for b in certificate_blocks(b"# a\n" + A + b"\nnoise\n" + KEY + b"\n" + B)
    ] == [A, B]


def test_an_unfinished_block_does_not_swallow_the_next() -> None:
    unfinished = b"-----BEGIN CERTIFICATE-----\nQQ=="
    assert [b.strip() for b in certificate_blocks(unfinished + b"\n" + A)] == [A]


WHOLE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("after", [b"", b"\n\n", b"# a comment\n", b"some text", WHOLE])
def test_whole_texts(after: bytes) -> None:
    assert not unfinished(WHOLE + after)


def test_every_cut_within_a_block_is_seen() -> None:
    for at in range(1, len(WHOLE) - 1):
        assert unfinished(WHOLE + WHOLE[:at]), at
