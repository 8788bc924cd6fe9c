# SPDX-License-Identifier: Apache-2.0
"""What is said about a packet, with either backend's rules; that it is true, test_explain_kernel shows."""

from __future__ import annotations

import pytest

from iptables.config import TPROXY, CaptureConfig, OwnerGroups, Ranges
from iptables.explain import explain, outcome, ruleset
from iptables.packet import parse
from iptables.walk import Decision, Do, decide

ALL = CaptureConfig(inbound_ports=("*",), outbound=Ranges(everything=True))
both = pytest.mark.parametrize("nft", [False, True], ids=["iptables", "nft"])


def decided(config: CaptureConfig, text: str, *, nft: bool) -> Decision:
    packet = parse(text)
    return decide(ruleset(config, packet, nft=nft), packet)


@both
@pytest.mark.parametrize(
    ("text", "verdict", "port"),
    [
        ("tcp out 10.0.0.5:5432 uid 1000", Do.REDIRECT, "15001"),
        ("udp out 10.0.0.5:5432 uid 1000", Do.RETURN, ""),
        ("tcp out 10.0.0.5:5432 uid 1337", Do.RETURN, ""),
        ("tcp out 127.0.0.1:80 uid 1000", Do.RETURN, ""),
        ("tcp out 127.0.0.2:80 uid 1337", Do.REDIRECT, "15006"),
        ("tcp in 10.1.1.7:8080 from 10.1.1.9", Do.REDIRECT, "15006"),
        ("tcp in 10.1.1.7:15008 from 10.1.1.9", Do.RETURN, ""),
    ],
)
def test_decisions(text: str, verdict: Do, port: str, nft: bool) -> None:
    decision = decided(ALL, text, nft=nft)
    assert (decision.verdict, decision.port) == (verdict, port)


@both
def test_owner_groups_and_ports(nft: bool) -> None:
    config = ALL._replace(
        owner_groups=OwnerGroups(exclude=False, names=("202",)), outbound_ports_exclude=("443",)
    )
    assert decided(config, "tcp out 1.2.3.4:80 gid 202", nft=nft).verdict is Do.REDIRECT
    assert decided(config, "tcp out 1.2.3.4:80 gid 7", nft=nft).verdict is Do.RETURN
    assert decided(config, "tcp out 1.2.3.4:443 gid 202", nft=nft).verdict is Do.RETURN


@both
def test_tproxy(nft: bool) -> None:
    config = ALL._replace(mode=TPROXY, inbound_ports_exclude=("22",))
    taken = decided(config, "tcp in 10.1.1.7:80 from 10.1.1.9", nft=nft)
    assert (taken.verdict, taken.port) == (Do.TPROXY, "15006")
    assert decided(config, "tcp in 10.1.1.7:22 from 10.1.1.9", nft=nft).verdict is Do.RETURN
    assert decided(config, "tcp in 10.1.1.7:80 from 10.1.1.9 via lo", nft=nft).verdict is Do.RETURN


def test_the_text_names_the_deciding_rule_and_why() -> None:
    text = explain(ALL, "tcp out 10.0.0.5:5432 uid 1337")
    assert "not captured" in text.splitlines()[0]
    assert "=> nat ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN" in text
    assert "must not loop" in text
    native = explain(ALL, "tcp out 10.0.0.5:5432 uid 1337", nft=True)
    assert "=> istio-proxy-nat istio-output skuid 1337 counter return" in native


def test_ipv6_without_ipv6_capture_differs_between_the_backends() -> None:
    """nft's tables hold for both families: what names no address takes IPv6 along."""
    assert "IPv6 is not captured" in explain(ALL, "tcp out [2001:db8::1]:80")
    assert "goes to port 15001" in explain(ALL, "tcp out [2001:db8::1]:80", nft=True)


def test_outcomes_are_phrases() -> None:
    assert outcome(Decision(Do.TPROXY, None, "15006")) == (
        "captured with its address kept, goes to port 15006"
    )
    assert outcome(Decision(Do.DROP, None)) == "dropped"
    assert "no rule takes it" in explain(CaptureConfig(), "tcp in 10.0.0.1:80")
