# SPDX-License-Identifier: Apache-2.0
"""The development issuer's key file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mesh.errors import BadSetting
from upstream import development


def test_development_key_is_made_once_and_private(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = development.development_key(str(state))
    again = development.development_key(str(state))
    assert first.public_key() == again.public_key()
    assert stat.S_IMODE((state / development.KEY_FILE).stat().st_mode) == 0o600


def test_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / development.KEY_FILE).write_text("damaged")
    with pytest.raises(BadSetting, match="PEM key"):
        development.development_key(str(tmp_path))
    assert (tmp_path / development.KEY_FILE).read_text() == "damaged"
