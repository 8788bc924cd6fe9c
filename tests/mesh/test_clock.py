# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from mesh.clock import Clock, SystemClock
from tests.support.clock import FakeClock


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()], ids=["system", "fake"])
async def test_contract(clock: Clock) -> None:
    wall, mono = clock.now(), clock.monotonic()
    if isinstance(clock, FakeClock):
        clock.auto = True
    await clock.sleep(0.02)
    await clock.sleep(-1)
    assert clock.now() >= wall + 0.015
    assert clock.monotonic() >= mono + 0.015
