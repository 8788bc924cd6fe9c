# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sdsserver.pem import check_pair, valid_roots
from tests.support.testca import CA

ONE, TWO = CA("one"), CA("two")
LEAF = ONE.issue("localhost")
BROKEN = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
UNFINISHED = b"-----BEGIN CERTIFICATE-----\nMIIB\n"


def test_good_roots_are_kept_and_bad_ones_counted() -> None:
    roots, dropped = valid_roots(
        BROKEN + ONE.certificate + b"# text\n" + TWO.certificate + UNFINISHED
    )
    assert roots == ONE.certificate + TWO.certificate
    assert dropped == 1


@pytest.mark.parametrize(
    "pem", [b"", b"garbage", BROKEN, LEAF.key], ids=["empty", "text", "broken", "key"]
)
def test_no_good_root_is_an_error(pem: bytes) -> None:
    with pytest.raises(ValueError, match="no valid certificate"):
        valid_roots(pem)


def test_a_pair_belongs_together() -> None:
    check_pair(LEAF.chain, LEAF.key)


@pytest.mark.parametrize(
    ("chain", "key"),
    [
        (LEAF.chain, TWO.issue("localhost").key),
        (LEAF.chain, b""),
        (b"", LEAF.key),
        (LEAF.chain, LEAF.key[:80]),
        (LEAF.key, LEAF.chain),
    ],
    ids=["other key", "no key", "no chain", "half a key", "swapped"],
)
def test_what_is_no_pair_is_an_error_that_shows_nothing(chain: bytes, key: bytes) -> None:
    with pytest.raises(ValueError, match="not a pair") as caught:
        check_pair(chain, key)
    assert "BEGIN" not in str(caught.value)


def test_an_encrypted_key_is_an_error_and_never_asks() -> None:
    locked = load_pem_private_key(LEAF.key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    with pytest.raises(ValueError, match="not a pair"):
        check_pair(LEAF.chain, locked)


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        check_pair(LEAF.chain, LEAF.key)
    assert len(os.listdir("/proc/self/fd")) == before
