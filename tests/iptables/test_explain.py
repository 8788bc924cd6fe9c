# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from iptables.config import TPROXY, CaptureConfig, OwnerGroups, Ranges
from iptables.explain import Packet, decide, explain, parse
from mesh.errors import BadSetting

ALL = CaptureConfig(inbound_ports=("*",), outbound=Ranges(everything=True))


def test_packets() -> None:
    assert parse("tcp out 10.0.0.5:5432 uid 1000 gid 7") == Packet(
        "tcp", "out", "10.0.0.5", 5432, uid=1000, gid=7
    )
    assert parse("tcp in [2001:db8::1]:80 from 2001:db8::2 via eth1").source == "2001:db8::2"
    assert parse("udp in 10.0.0.1:999 from 10.0.0.53:53").source_port == 53


@pytest.mark.parametrize(
    "text",
    [
        "",
        "icmp out 1.2.3.4:1",
        "tcp out nowhere",
        "tcp out 1.2.3.4:5 uid",
        "tcp out 1.2.3.4:5 at 3",
    ],
)
def test_what_is_no_packet(text: str) -> None:
    with pytest.raises(BadSetting, match="not a packet"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "verdict", "port"),
    [
        ("tcp out 10.0.0.5:5432 uid 1000", "REDIRECT", "15001"),
        ("udp out 10.0.0.5:5432 uid 1000", "RETURN", ""),
        ("tcp out 10.0.0.5:5432 uid 1337", "RETURN", ""),
        ("tcp out 127.0.0.1:80 uid 1000", "RETURN", ""),
        ("tcp out 127.0.0.2:80 uid 1337", "REDIRECT", "15006"),
        ("tcp in 10.1.1.7:8080 from 10.1.1.9", "REDIRECT", "15006"),
        ("tcp in 10.1.1.7:15008 from 10.1.1.9", "RETURN", ""),
    ],
)  # fmt: skip
def test_decisions(text: str, verdict: str, port: str) -> None:
    decision = decide(ALL, parse(text))
    assert (decision.verdict, decision.port) == (verdict, port)


def test_owner_groups_and_ports() -> None:
    config = ALL._replace(
        owner_groups=OwnerGroups(exclude=False, names=("202",)), outbound_ports_exclude=("443",)
    )
    assert decide(config, parse("tcp out 1.2.3.4:80 gid 202")).verdict == "REDIRECT"
    assert decide(config, parse("tcp out 1.2.3.4:80 gid 7")).verdict == "RETURN"
    assert decide(config, parse("tcp out 1.2.3.4:443 gid 202")).verdict == "RETURN"


def test_tproxy() -> None:
    config = ALL._replace(mode=TPROXY, inbound_ports_exclude=("22",))
    assert decide(config, parse("tcp in 10.1.1.7:80 from 10.1.1.9")).verdict == "TPROXY"
    assert decide(config, parse("tcp in 10.1.1.7:22 from 10.1.1.9")).verdict == "RETURN"
    assert decide(config, parse("tcp in 10.1.1.7:80 from 10.1.1.9 via lo")).verdict == "RETURN"


def test_the_text_names_the_deciding_rule_and_why() -> None:
    text = explain(ALL, "tcp out 10.0.0.5:5432 uid 1337")
    assert "not captured" in text.splitlines()[0]
    assert "=> nat ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN" in text
    assert "must not loop" in text
    assert "IPv6 is not captured" in explain(ALL, "tcp out [2001:db8::1]:80")
