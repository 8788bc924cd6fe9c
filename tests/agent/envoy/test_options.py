# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import pytest

from agent.envoy.options import AdminOptions, ProcessOptions


def test_defaults_are_a_sidecar_that_stays_who_it_is() -> None:
    assert ProcessOptions().uid is None
    assert AdminOptions(port=15000) == AdminOptions(
        port=15000, host="127.0.0.1", inbound_only=True, own_ports=()
    )


def test_nobody_changes_them() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        AdminOptions(port=15000).port = 1  # type: ignore[misc]  # that is the point
