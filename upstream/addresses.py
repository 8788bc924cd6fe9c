# SPDX-License-Identifier: Apache-2.0
"""``addresses.json`` in the state directory: what is really bound, for those who let us choose ports."""

from __future__ import annotations

import json
from pathlib import Path

from upstream import storage
from upstream.options import Address

FILE = "addresses.json"

Bound = dict[str, Address]
"""By listener: grpc, secure_grpc, http, monitoring."""


def publish(state_dir: str, bound: Bound) -> None:
    """Write the file in one step; it exists only once everything listens."""
    content = json.dumps({name: str(address) for name, address in bound.items()}, indent=1)
    storage.write(Path(state_dir) / FILE, content.encode() + b"\n", mode=storage.PUBLIC)


def withdraw(state_dir: str) -> None:
    """Remove what a process before us left behind."""
    (Path(state_dir) / FILE).unlink(missing_ok=True)


def read(state_dir: str) -> Bound:
    """What a running control plane published; empty when there is none. Raises ValueError."""
    try:
        entries = json.loads((Path(state_dir) / FILE).read_bytes())
    except FileNotFoundError:
        return {}
    return {name: Address.parse(text) for name, text in entries.items()}
