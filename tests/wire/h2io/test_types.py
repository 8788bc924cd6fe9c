# SPDX-License-Identifier: Apache-2.0
"""The shell's words: what is known of a peer, and that keepalive's numbers have names."""

from __future__ import annotations

import dataclasses

import pytest

from wire.h2io.types import Keepalive, Peer


def test_of_a_peer_only_its_address_is_always_known() -> None:
    peer = Peer("10.0.0.1:5")
    assert (peer.uid, peer.gid, peer.pid, peer.certificate) == (None, None, None, None)
    assert Peer("unix", uid=0).uid == 0  # root, and not unknown


def test_keepalive_is_said_by_name_and_stays() -> None:
    with pytest.raises(TypeError):
        Keepalive(1.0, 2.0)  # type: ignore[call-arg]  # that is the test
    keepalive = Keepalive(interval=1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        keepalive.interval = 2.0  # type: ignore[misc]  # that is the test
    assert keepalive.timeout == Keepalive().timeout
