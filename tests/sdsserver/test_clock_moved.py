# SPDX-License-Identifier: Apache-2.0
"""A process whose wall clock really jumps, a year at a time, by libfaketime: a fresh certificate within seconds."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from tests.support.faked_machine import clock_moves
from tests.support.needs import REPO

YEAR = 365 * 86400.0
MOVES = {"start": 0.0, "+365d": YEAR, "-365d": -YEAR, "+0": 0.0}


@pytest.mark.faketime
async def test_jumps_of_a_year_and_back(short_tmp: Path) -> None:
    words = [move for move in MOVES if move != "start"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.faked_machine", str(short_tmp), *words),
        cwd=REPO,
        env=clock_moves(short_tmp),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(300):
            said, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, log.decode()[-2000:]
    rows = [json.loads(line) for line in said.splitlines()]
    assert [row["move"] for row in rows] == list(MOVES)
    for row in rows:
        print(f"{row['move']}: another certificate after {row['seconds']} s")
        assert abs(row["now"] - time.time() - MOVES[row["move"]]) < 600, "the clock was not moved"
        assert row["issued"] - 60 <= row["now"] < row["expires"]
    assert log.count(b"clock jumped") == 3
