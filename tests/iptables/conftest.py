# SPDX-License-Identifier: Apache-2.0
"""What the tests on a real kernel share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.netns import Netns
from tests.support.nettools import BOTH, foreign_rules


@pytest.fixture
def netns(tmp_path: Path) -> Iterator[Netns]:
    """A pod of both families in which somebody else has rules, too."""
    with Netns(list(BOTH), [], tmp_path) as made:
        foreign_rules(made)
        yield made
