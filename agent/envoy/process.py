# SPDX-License-Identifier: Apache-2.0
"""The Envoy child: forked into a process group of its own, reaped by the one task that waits. Effects only.

The group matters: a terminal's Ctrl-C must reach the agent alone, which then decides how Envoy ends.
Should the agent itself be killed, Envoy stays until the kubelet ends the container, as with the peer.
Source: spec/agent.md 3.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

from agent.envoy.options import ProcessOptions
from mesh.errors import EnvoyFailed


class EnvoyProcess:
    """One child. ``start``, then ``wait`` exactly once."""

    def __init__(self, options: ProcessOptions) -> None:
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self, command: Sequence[str]) -> None:
        """Fork and exec. Raises EnvoyFailed where the binary cannot be run."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                env=dict(self._options.environment),
                process_group=0,
                user=self._options.uid,
                group=self._options.uid,
            )
        except OSError as error:
            raise EnvoyFailed(f"cannot run {command[0]}: {error.strerror}") from None

    async def wait(self) -> int:
        """The status once it has ended: the exit code, or minus the signal. This task is the reaper."""
        if self._process is None:
            raise EnvoyFailed("BUG: waited for before it was started")
        return await self._process.wait()  # no deadline: Envoy lives as long as the pod

    def kill(self) -> None:
        """SIGKILL to the whole group; nothing when it is gone."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Leave no child behind, however the agent ends."""
        if self._process is not None:
            self.kill()
            await self._process.wait()  # no deadline: what was killed ends


def exit_phrase(status: int) -> str:
    """How the child ended, in the words of the peer."""
    if status == 0:
        return "exit status 0"
    if status > 0:
        return f"exit status {status}"
    names = {-signal.SIGKILL: "killed", -signal.SIGSEGV: "segmentation fault"}
    return f"signal: {names.get(status, signal.Signals(-status).name.lower())}"
