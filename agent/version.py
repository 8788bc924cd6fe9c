# SPDX-License-Identifier: Apache-2.0
"""What this build is called. A constant, because asking the package metadata costs the resident process memory. Pure."""

from __future__ import annotations

VERSION = "0.1.0"
REVISION = "unknown"
STATUS = "unknown"
TAG = "unknown"

FULL = f"{VERSION}-{REVISION}-{STATUS}"
"""As logs name it."""
