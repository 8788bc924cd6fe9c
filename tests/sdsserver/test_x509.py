# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsserver.x509 import der, facts, facts_of_der, seconds_left
from tests.support.testca import CA

NAME = "spiffe://cluster.local/ns/a/sa/b"
LEAF = CA().issue("localhost", NAME, "10.0.0.1", lifetime=60.0)


def test_facts_agree_with_the_library() -> None:
    found = facts(LEAF.chain)
    witness = LEAF.parsed
    assert found.serial == witness.serial_number
    assert found.not_before == witness.not_valid_before_utc.timestamp()
    assert found.not_after == witness.not_valid_after_utc.timestamp()
    assert found.uris == (NAME,)


def test_far_years_are_written_in_the_other_form() -> None:
    leaf = CA().issue(NAME, lifetime=60 * 365 * 86400.0)
    assert facts(leaf.certificate).not_after == leaf.parsed.not_valid_after_utc.timestamp()


def test_a_root_has_no_names() -> None:
    assert facts(LEAF.root).uris == ()


def test_validity_is_a_question_of_time() -> None:
    found = facts(LEAF.certificate)
    assert found.valid_at(found.not_before)
    assert not found.valid_at(found.not_after)
    assert not found.valid_at(found.not_before - 1)
    assert seconds_left(LEAF.certificate, found.not_after + 60) == -60


def test_no_certificate_is_said_in_the_peers_words() -> None:
    with pytest.raises(ValueError, match="invalid PEM encoded certificate"):
        seconds_left(b"invalid cert", 0.0)


@given(st.integers(0, 2000), st.integers(0, 255), st.integers(0, 2000))
def test_damage_is_a_value_error_and_nothing_else(at: int, value: int, cut: int) -> None:
    good = bytearray(der(LEAF.certificate))
    good[at % len(good)] = value
    with suppress(ValueError):
        facts_of_der(bytes(good[: cut or None]))
