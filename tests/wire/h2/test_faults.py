# SPDX-License-Identifier: Apache-2.0
"""Faults carry their code and their reason."""

from __future__ import annotations

from wire.h2.faults import ConnectionFault, StreamFault
from wire.h2.frames import ErrorCode


def test_facts() -> None:
    fault = ConnectionFault(ErrorCode.PROTOCOL_ERROR, "why")
    assert (fault.code, fault.why, str(fault)) == (ErrorCode.PROTOCOL_ERROR, "why", "why")
    assert StreamFault(3, ErrorCode.CANCEL, "why").stream == 3
