# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed, by name, and where its seeds are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.wire.fuzz.blocks import blocks
from tests.wire.fuzz.envelopes import envelopes
from tests.wire.fuzz.machine import client, server
from tests.wire.fuzz.messages import messages

CORPUS = Path(__file__).parent / "corpus"
TARGETS: dict[str, Callable[[bytes], None]] = {
    "server": server,
    "client": client,
    "blocks": blocks,
    "messages": messages,
    "envelopes": envelopes,
}
CONVERSATIONS = frozenset({"server", "client"})
"""Inputs of these are rows of frames."""


def seeds(target: str) -> list[Path]:
    """The target's corpus, in a fixed order."""
    return sorted(path for path in (CORPUS / target).iterdir() if path.is_file())
