# SPDX-License-Identifier: Apache-2.0
"""Connections to the application that outlive their probe, where ENABLE_PROBE_KEEPALIVE_CONNECTIONS asks for it.

One that ended, or on which something came that nobody asked for, is never handed out again. Effects only.
Peer: status/server.go setTransportDefaults, one transport a path; its bounds are those of Go's default transport.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import NamedTuple

from agent.http1 import Line, Target

IDLE = 90.0
"""Seconds for which an unused connection is kept."""
AT_ONCE = 2
"""Unused connections to one place."""

_Place = tuple[str, int]


class _Unused(NamedTuple):
    line: Line
    end: asyncio.TimerHandle


class KeptLines:
    """The connections of one probe; a ``Keeper``."""

    def __init__(self, *, idle: float = IDLE) -> None:
        self._idle = idle
        self._unused: defaultdict[_Place, list[_Unused]] = defaultdict(list)

    async def take(self, target: Target) -> Line | None:
        """The one that was used last, of those that are still up."""
        unused = self._unused[_place(target)]
        while unused:
            line, end = unused.pop()
            end.cancel()
            if await _is_silent(line):
                return line
            line.close()
        return None

    def give(self, target: Target, line: Line) -> None:
        """Keep it; the oldest goes where there are too many."""
        place = _place(target)
        end = asyncio.get_running_loop().call_later(self._idle, self._end, place, line)
        self._unused[place].append(_Unused(line, end))
        while len(self._unused[place]) > AT_ONCE:
            self._end(place, self._unused[place][0].line)

    def close(self) -> None:
        """End them all."""
        for place, unused in self._unused.items():
            for each in list(unused):
                self._end(place, each.line)

    def _end(self, place: _Place, line: Line) -> None:
        for each in self._unused[place]:
            if each.line is line:
                each.end.cancel()
                self._unused[place].remove(each)
                line.close()
                return


def _place(target: Target) -> _Place:
    return target.host, target.port


async def _is_silent(line: Line) -> bool:
    """Whether the other side neither went nor said anything. HTTP/2 may say what belongs to no request."""
    if line.reader.at_eof() or line.writer.transport.is_closing():
        return False
    if line.http2 is not None:
        return True
    try:
        async with asyncio.timeout(0):
            await line.reader.read(1)  # what came already is given without waiting
    except TimeoutError:
        return True
    return False
