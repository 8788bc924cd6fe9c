# SPDX-License-Identifier: Apache-2.0
"""Warnings about peers, told sparingly. Part of the socket shell; ``mesh.sparing`` decides."""

from __future__ import annotations

import asyncio

import mesh.log
from mesh.sparing import Sparing

log = mesh.log.get("wire")


class Complaints:
    """One for all links of an event loop: it is the log that they share."""

    __slots__ = ("_sparing",)

    def __init__(self) -> None:
        self._sparing = Sparing()

    def tell(self, event: str, **facts: object) -> None:
        """Write the line, or count it for the next one."""
        untold = self._sparing.count(asyncio.get_running_loop().time())
        if untold is None:
            return
        if untold:
            facts["untold"] = untold
        log.warning(event, **facts)
