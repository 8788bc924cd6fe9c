# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from iptables import reasons
from iptables.nft_rules import MAX_COMMENT

PHRASES = [value for name, value in vars(reasons).items() if name.isupper()]


def test_phrases_fit_into_a_comment() -> None:
    assert PHRASES
    assert all(len(phrase.encode()) < MAX_COMMENT for phrase in PHRASES)
    assert not [phrase for phrase in PHRASES if '"' in phrase]


def test_phrases_with_names() -> None:
    assert reasons.excluded("interface", "eth9") == "interface eth9 is excluded"
    assert reasons.captured("outbound range", "::/0") == "outbound range ::/0 is captured"
    assert "tap0" in reasons.not_inbound("tap0")
    assert reasons.outbound_of("tap0", "all") == "outbound traffic of tap0 to all is captured"
    assert reasons.already("x").startswith("x; ")
