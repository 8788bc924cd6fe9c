# SPDX-License-Identifier: Apache-2.0
"""The mesh config's file: its last version that made sense; no file means Istio's defaults.

Source: spec/upstream.md 1.4.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from upstream.config import Fault, MeshConfig, parse_mesh


class MeshLook(NamedTuple):
    """What a look at the file found."""

    config: MeshConfig | None
    """Not None when it changed."""
    faults: tuple[Fault, ...]
    """New ones only."""


class MeshFile:
    """Blocking: call ``look`` in a worker thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._digest = b""
        self._pending = b""
        self.config = MeshConfig()

    def look(self) -> MeshLook:
        """Read the file; what is being written in place is taken once two looks agree."""
        try:
            content = Path(self._path).read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            return self._unusable(self._path.encode(), str(error))
        digest = hashlib.sha256(content).digest()
        if digest == self._digest:
            return MeshLook(None, ())
        if self._digest and digest != self._pending:
            self._pending = digest
            return MeshLook(None, ())
        return self._read(content, digest)

    def _read(self, content: bytes, digest: bytes) -> MeshLook:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            return self._unusable(digest, str(error))
        self._digest = digest
        config, faults = parse_mesh(text, self._path) if text.strip() else (MeshConfig(), ())
        if any(fault.fatal for fault in faults) or config == self.config:
            return MeshLook(None, tuple(faults))
        self.config = config
        return MeshLook(config, tuple(faults))

    def _unusable(self, digest: bytes, why: str) -> MeshLook:
        if digest == self._digest:
            return MeshLook(None, ())
        self._digest = digest
        fault = Fault(source=self._path, line=0, object="MeshConfig", field="", reason=why)
        return MeshLook(None, (fault,))
