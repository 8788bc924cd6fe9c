# SPDX-License-Identifier: Apache-2.0
"""Each target fuzzed for two seconds from the corpus, with the clock's seed: ``make fuzz`` does it for long."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needs import REPO
from tests.wire.fuzz.targets import TARGETS, seeds

pytestmark = pytest.mark.atheris


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_breaks(target: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.wire.fuzz", "--seconds", "2", "--apart", str(tmp_path)]
    ran = subprocess.run(
        [*argv, target], cwd=REPO, capture_output=True, text=True, check=False, timeout=300
    )
    print(ran.stderr[-4000:])  # the traceback, and the input in base64
    assert ran.returncode == 0
    runs = re.search(r"number_of_executed_units: (\d+)", ran.stderr)
    assert runs is not None
    assert int(runs[1]) >= len(seeds(target))  # a slow machine gets no further
