# SPDX-License-Identifier: Apache-2.0
"""What the agent itself is doing, under the peer's paths /debug/pprof/...: with --profiling, for this machine only.

Go's formats are Go's; these are Python's: ``profile`` is for ``python -m pstats``, ``goroutine`` lists the stacks of
tasks. What has no counterpart here (symbol, trace) is not there. Effects only. Source: spec/agent.md 9.1.
"""

from __future__ import annotations

import asyncio
import io
import sys
from urllib.parse import parse_qs

from agent.httpd import Reply, Request

PREFIX = "/debug/pprof/"
SECONDS = 30.0
"""Of a profile, where the asker names none: Go's default."""
LONGEST = 120.0

_INDEX = b"""/debug/pprof/

cmdline    the command line, NUL between its words
profile    processor time by function for ?seconds=30, for python -m pstats
goroutine  stacks of all tasks
"""
_BUSY = Reply(500, b"Could not enable CPU profiling: cpu profiling already in use\n")


class Profiling:
    """Answers for the paths under ``PREFIX``."""

    def __init__(self) -> None:
        self._busy = False

    async def answer(self, request: Request) -> Reply | None:
        """The page; None where there is none of that name."""
        match request.path.removeprefix(PREFIX):
            case "":
                return Reply(200, _INDEX)
            case "cmdline":
                return Reply(200, "\0".join(sys.orig_argv).encode())
            case "goroutine":
                return Reply(200, _stacks().encode())
            case "profile":
                return await self._profile(request.query)
            case _:
                return None

    async def _profile(self, query: str) -> Reply:
        try:
            seconds = float(parse_qs(query).get("seconds", [str(SECONDS)])[0])
        except ValueError:
            seconds = SECONDS
        if not 0 < seconds <= LONGEST:
            return Reply(400, f"seconds must be above 0 and at most {LONGEST:g}\n".encode())
        if self._busy:
            return _BUSY
        self._busy = True
        try:
            found = await _profiled(seconds)
        finally:
            self._busy = False
        name = ("Content-Disposition", 'attachment; filename="profile"')
        return Reply(200, found, "application/octet-stream", (name,))


async def _profiled(seconds: float) -> bytes:
    """What this thread, and so the loop with all tasks, did meanwhile."""
    import cProfile
    import marshal

    profile = cProfile.Profile()
    profile.enable()
    try:
        await asyncio.sleep(seconds)
    finally:
        profile.disable()
    profile.create_stats()
    return marshal.dumps(profile.stats)


def _stacks() -> str:
    out = io.StringIO()
    for task in sorted(asyncio.all_tasks(), key=asyncio.Task.get_name):
        task.print_stack(file=out)
        out.write("\n")
    return out.getvalue()
