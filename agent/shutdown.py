# SPDX-License-Identifier: Apache-2.0
"""One deadline in, the phases of an end out. Pure. The lifecycle obeys it, ``pilot-agent shutdown-plan`` prints it.

Without a deadline (the default) the phases are the peer's, which know no bound. With one, each phase gives way before
the next: waiting for connections first, then the delay, then the drain; time to kill and to reap is kept back.
Source: spec/agent.md 3.5; terminationGracePeriodSeconds is what the kubelet grants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

RESERVE = 1.0
"""Seconds kept back for the kill, the reaper and the last lines."""
RESERVE_SHARE = 0.2
"""Of a deadline so short that the whole reserve would be most of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleOptions:
    """How long an end may take, and how often Envoy may die; the defaults are the peer's."""

    termination_drain: float = 5.0
    """ProxyConfig terminationDrainDuration, seconds."""
    minimum_drain: float = 5.0
    """MINIMUM_DRAIN_DURATION, seconds."""
    exit_on_zero_connections: bool = False
    """EXIT_ON_ZERO_ACTIVE_CONNECTIONS: wait for connections to end, without an upper bound."""
    drain_delay: float = 0.0
    """PILOT_DRAIN_DELAY: seconds between the signal and the drain; ready all the while."""
    drain_jitter: float = 0.0
    """PILOT_DRAIN_JITTER: up to so many seconds more, by chance."""
    deadline: float = 0.0
    """PILOT_SHUTDOWN_DEADLINE: seconds for everything; 0 is none."""
    restarts: int = 0
    """PILOT_ENVOY_RESTARTS: deaths forgiven within a window."""
    restart_window: float = 600.0
    """PILOT_ENVOY_RESTART_WINDOW, seconds."""
    restart_backoff: float = 1.0
    """PILOT_ENVOY_RESTART_BACKOFF: seconds before the first restart; doubles, up to half a minute."""


class Phase(NamedTuple):
    """A part of the end and the most that it may take; None is no bound."""

    name: str
    seconds: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The phases, as the lifecycle needs them."""

    delay: float
    """Ready, not draining yet."""
    drain: float
    """From the drain to the kill, or to the first look at the connections."""
    count: float | None
    """Waiting for connections; None has no bound, 0 where they are not waited for."""
    reserve: float

    @property
    def total(self) -> float | None:
        """The most that the end may take; None where nothing bounds it."""
        if self.count is None:
            return None
        return self.delay + self.drain + self.count + self.reserve

    @property
    def limit(self) -> float | None:
        """From the signal to the kill, at most."""
        if self.count is None:
            return None
        return self.delay + self.drain + self.count


def plan(options: LifecycleOptions, *, chance: float = 1.0) -> Plan:
    """The plan; ``chance`` in [0, 1] is what of the jitter is used, all of it for the longest plan."""
    counting = options.exit_on_zero_connections
    delay = options.drain_delay + options.drain_jitter * chance
    drain = options.minimum_drain if counting else options.termination_drain
    if not options.deadline:
        return Plan(delay, drain, None if counting else 0.0, 0.0)
    reserve = min(RESERVE, options.deadline * RESERVE_SHARE)
    left = options.deadline - reserve
    drain = min(drain, left)
    delay = min(delay, left - drain)
    return Plan(delay, drain, max(0.0, left - drain - delay) if counting else 0.0, reserve)


def phases(made: Plan) -> tuple[Phase, ...]:
    """The plan in words, in the order in which it happens; phases of no length are left out."""
    each = (
        Phase("delay", made.delay, "still ready, so that endpoints are withdrawn first"),
        Phase("drain", made.drain, "listeners refuse new work, what is open goes on"),
        Phase("connections", made.count, "until the last connection of the application ends"),
        Phase("kill", made.reserve, "SIGKILL and the reaper"),
    )
    return tuple(phase for phase in each if phase.seconds != 0)


def told(made: Plan) -> dict[str, str]:
    """The plan as facts of a log line."""
    lengths = [*((phase.name, phase.seconds) for phase in phases(made)), ("total", made.total)]
    return {name: _length(seconds) for name, seconds in lengths}


def explained(options: LifecycleOptions) -> str:
    """What ``shutdown-plan`` prints: one line a phase, and the sum."""
    lines = [_line(*phase) for phase in phases(plan(options))]
    granted = f"of {options.deadline:g} s granted" if options.deadline else "no deadline is set"
    return "\n".join([*lines, _line("total", plan(options).total, granted)]) + "\n"


def _line(name: str, seconds: float | None, why: str) -> str:
    return f"{name:<12} {_length(seconds):>9}  {why}"


def _length(seconds: float | None) -> str:
    return "no bound" if seconds is None else f"{seconds:.1f} s"
