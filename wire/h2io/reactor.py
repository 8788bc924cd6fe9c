# SPDX-License-Identifier: Apache-2.0
"""What the links of one event loop share: the read buffer, the list of links with something to send, complaints.

One buffer is enough because everything read is used before the next read. While a link's bytes are
being handled (a *batch*), others may queue views of the buffer for sending; ``leave`` sends them all,
or copies what a socket does not take, before the buffer is used again. Outside of a batch, sends are
collected until the loop's next turn, so that headers and message leave in one system call.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from wire.h2io.complaints import Complaints

if TYPE_CHECKING:
    from wire.h2io.link import Link

BUFFER_SIZE: Final = 256 * 1024

_reactors: WeakKeyDictionary[asyncio.AbstractEventLoop, Reactor] = WeakKeyDictionary()


def reactor() -> Reactor:
    """The reactor of the running loop."""
    loop = asyncio.get_running_loop()
    found = _reactors.get(loop)
    if found is None:
        found = _reactors[loop] = Reactor()
    return found


class Reactor:
    """See the module docstring."""

    __slots__ = ("__weakref__", "_dirty", "_scheduled", "buffer", "complaints", "in_batch")

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(BUFFER_SIZE))
        self.complaints = Complaints()
        self.in_batch = False
        self._dirty: list[Link] = []
        self._scheduled = False

    def touch(self, link: Link) -> None:
        """``link`` has something to send."""
        if link.dirty:
            return
        link.dirty = True
        self._dirty.append(link)
        if not self.in_batch and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_scheduled)

    def leave(self) -> None:
        """End a batch."""
        self.in_batch = False
        self.flush()

    def flush(self) -> None:
        while self._dirty:
            link = self._dirty.pop()
            link.dirty = False
            link.flush()

    def _flush_scheduled(self) -> None:
        self._scheduled = False
        self.flush()
