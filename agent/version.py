# SPDX-License-Identifier: Apache-2.0
"""What this build is called. Pure: constants, because asking the package metadata costs the process memory."""

from __future__ import annotations

VERSION = "0.1.0"
REVISION = "unknown"
STATUS = "unknown"
TAG = "unknown"

FULL = f"{VERSION}-{REVISION}-{STATUS}"
"""As logs name it."""
