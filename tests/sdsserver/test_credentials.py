# SPDX-License-Identifier: Apache-2.0
"""Which credentials are shown after which answers, as dialogues."""

from __future__ import annotations

import base64
import json

import pytest

from sdsserver.credentials import Choice, Shown, token_expiry

BOTH, TOKEN, CERTIFICATE, NOTHING = Shown.BOTH, Shown.TOKEN, Shown.CERTIFICATE, Shown.NOTHING


def test_both_are_shown_and_stay_while_they_work() -> None:
    assert [Choice().carry(BOTH) for _ in range(3)] == [BOTH] * 3


def test_a_refusal_of_both_tries_each_alone_once() -> None:
    choice = Choice()
    carried = [choice.carry(BOTH)]
    while choice.on_refusal():
        carried.append(choice.carry(BOTH))
    assert carried == [BOTH, TOKEN, CERTIFICATE]


@pytest.mark.parametrize("there", [TOKEN, CERTIFICATE, NOTHING])
def test_what_is_alone_has_no_alternative(there: Shown) -> None:
    choice = Choice()
    assert choice.carry(there) is there
    assert not choice.on_refusal()


def test_broken_connections_go_without_the_certificate_and_with_it_in_turns() -> None:
    choice, carried = Choice(), []
    for _ in range(4):
        carried.append(choice.carry(BOTH))
        choice.on_break()
    assert carried == [BOTH, TOKEN, BOTH, TOKEN]


def test_a_break_changes_nothing_where_there_is_one_credential() -> None:
    choice = Choice()
    choice.carry(CERTIFICATE)
    choice.on_break()
    assert choice.carry(CERTIFICATE) is CERTIFICATE


def test_the_token_refused_after_a_break_leaves_the_certificate() -> None:
    choice = Choice()
    choice.carry(BOTH)
    choice.on_break()
    assert choice.carry(BOTH) is TOKEN
    assert choice.on_refusal()
    assert choice.carry(BOTH) is CERTIFICATE
    choice.on_break()
    assert choice.carry(BOTH) is CERTIFICATE


def test_the_end_of_a_token_is_read_without_trusting_it() -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 12}).encode()).decode().rstrip("=")
    assert token_expiry(f"head.{claims}.signature") == 12.0
    for other in ("", "opaque", "a.b", "a.!!.c", f"a.{claims[:-3]}.c", "a.W10.c", "a.e30.c"):
        assert token_expiry(other) is None
