# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from iptables.packet import Packet, parse
from iptables.rules import Family
from mesh.errors import BadSetting


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


def test_where_it_goes_through_by_itself() -> None:
    assert parse("tcp out 127.0.0.2:1").through == "lo"
    assert parse("tcp out 10.0.0.1:1").through == "eth0"
    assert parse("tcp in 127.0.0.2:1").through == "eth0"
    assert parse("tcp out 10.0.0.1:1 via tun0").through == "tun0"
    assert parse("tcp out [::1]:1").family is Family.V6
