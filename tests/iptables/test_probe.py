# SPDX-License-Identifier: Apache-2.0
"""Without capture every probe fails; with it, tests/netns shows that it passes."""

from __future__ import annotations

import socket

import pytest

from iptables.config import CaptureConfig
from iptables.probe import NotCaptured, validate
from mesh.errors import ExitCode


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nothing_captured() -> None:
    config = CaptureConfig(proxy_port=str(free_port()), inbound_capture_port=str(free_port()))
    with pytest.raises(NotCaptured, match="no probe of port") as caught:
        validate(config, port=free_port(), timeout=0.1)
    assert caught.value.exit_code is ExitCode.VALIDATION_FAILED


def test_no_port_to_listen_on() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        config = CaptureConfig(proxy_port=port, inbound_capture_port=port)
        with pytest.raises(NotCaptured, match="listened on"):
            validate(config, port=1, timeout=0.1)
