# SPDX-License-Identifier: Apache-2.0
"""How Envoy ended, in words: told apart by status, by moment and by what the kernel counted. Pure.

Source: spec/agent.md 3.5 (a); the phrases are those of Go's ``ExitError``:
alerts on the peer's lines still match.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

_PHRASES = {
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGHUP: "hangup",
    signal.SIGILL: "illegal instruction",
    signal.SIGINT: "interrupt",
    signal.SIGKILL: "killed",
    signal.SIGPIPE: "broken pipe",
    signal.SIGQUIT: "quit",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGTERM: "terminated",
    signal.SIGTRAP: "trace/breakpoint trap",
}


class Death(NamedTuple):
    """What the log is told."""

    normal: bool
    event: str
    """A constant phrase."""
    why: str
    hint: str = ""


def exit_phrase(status: int) -> str:
    """How a child ended: an exit status, or minus a signal."""
    if status >= 0:
        return f"exit status {status}"
    phrase = _PHRASES.get(-status)  # type: ignore[call-overload]  # an IntEnum's key is found by its number
    return f"signal: {phrase or f'signal {-status}'}"


def death_of(status: int, *, was_ready: bool, asked: bool, oom_kills: int = 0) -> Death:
    """The story of an end. ``asked``: the agent wanted it; ``oom_kills``: counted while Envoy lived."""
    why = exit_phrase(status)
    if status == 0:
        return Death(normal=True, event="envoy exited normally", why=why)
    if asked:
        return Death(normal=True, event="envoy ended", why=why)
    if status == -signal.SIGKILL:
        return _killed(why, oom_kills)
    if status < 0:
        hint = "envoy crashed: its lines above have the stack, ISTIO_ENVOY_ENABLE_CORE_DUMP a core"
        return Death(normal=False, event="envoy exited with error", why=why, hint=hint)
    if not was_ready:
        hint = "it died at start: the reason is in its own lines above"
        return Death(normal=False, event="envoy exited with error", why=why, hint=hint)
    hint = "it had been live: the reason is in its own lines above"
    return Death(normal=False, event="envoy exited with error", why=why, hint=hint)


def _killed(why: str, oom_kills: int) -> Death:
    if oom_kills:
        hint = "out of memory: raise the container's memory limit or set PILOT_OVERLOAD_MANAGER"
        return Death(normal=False, event="envoy killed by the kernel", why=why, hint=hint)
    hint = "somebody's SIGKILL, or out of memory outside this cgroup: see the kernel's log"
    return Death(normal=False, event="envoy exited with error", why=why, hint=hint)
