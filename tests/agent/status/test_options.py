# SPDX-License-Identifier: Apache-2.0
"""The status branch by itself: its defaults are the peer's, and it does not change once it is made."""

from __future__ import annotations

import dataclasses

import pytest

from agent.status.options import CallOptions, StatusOptions
from mesh import ports


def test_defaults_are_the_peers() -> None:
    options = StatusOptions()
    assert (options.port, options.host) == (ports.AGENT_STATUS, "")
    assert options.probe_envoy
    assert not options.metrics_local_only
    assert (options.health, options.grpc_bootstrap, options.notify_socket) == (None, "", "")
    assert options.app == options.health_app == CallOptions()
    assert (CallOptions().source, CallOptions().http2) == ("127.0.0.6", True)


def test_it_stays_as_it_is_and_shares_nothing() -> None:
    options = StatusOptions()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.port = 1  # type: ignore[misc]  # that is the test
    assert options.probers is not StatusOptions().probers
