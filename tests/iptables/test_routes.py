# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno

import pytest

from iptables import netlink, routes
from iptables.config import TPROXY, CaptureConfig
from iptables.netlink import RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWRULE, Message
from mesh.errors import CaptureFailed

FULL = CaptureConfig(mode=TPROXY, inbound_ports=("*",), ipv6=True)


def test_what_is_set() -> None:
    assert [m.kind for m in routes.messages(FULL, add=True)] == [
        RTM_NEWADDR,
        RTM_NEWRULE,
        RTM_NEWROUTE,
        RTM_NEWRULE,
        RTM_NEWROUTE,
    ]
    assert not list(routes.messages(CaptureConfig(inbound_ports=("*",)), add=True))
    assert not list(routes.messages(CaptureConfig(mode=TPROXY), add=True))


def test_a_rule_that_is_there_is_not_added_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    def send(message: Message, *, accept: tuple[int, ...] = ()) -> bool:
        assert errno.EEXIST in accept or errno.ENOENT in accept
        sent.append(message.kind)
        return True

    monkeypatch.setattr(netlink, "send", send)
    monkeypatch.setattr(netlink, "rules", lambda family: [(1337, 133), (1337, 133)])
    config = FULL._replace(ipv6=False)
    routes.add(config)
    assert sent == [RTM_NEWROUTE]
    sent.clear()
    routes.remove(config)
    assert sent == [netlink.RTM_DELRULE, netlink.RTM_DELRULE, netlink.RTM_DELROUTE]


def test_what_was_added_is_taken_back_when_a_later_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The address was there before, so it stays."""
    sent: list[int] = []

    def send(message: Message, *, accept: tuple[int, ...] = ()) -> bool:
        sent.append(message.kind)
        if len(sent) == 3:
            raise CaptureFailed("EPERM")
        return message.kind != RTM_NEWADDR

    monkeypatch.setattr(netlink, "send", send)
    monkeypatch.setattr(netlink, "rules", lambda family: [])
    with pytest.raises(CaptureFailed):
        routes.add(FULL)
    assert sent == [RTM_NEWADDR, RTM_NEWRULE, RTM_NEWROUTE, netlink.RTM_DELRULE]


def test_numbers() -> None:
    assert (routes.number("077"), routes.number("0x10")) == (77, 16)
