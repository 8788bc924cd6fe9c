# SPDX-License-Identifier: Apache-2.0
"""How the agent and its Envoy end: one machine, events in, commands out. Pure; the shell holds the clock.

    STARTING --EnvoyStarted--> RUNNING --Stop--> DRAINING | SETTLING -> COUNTING --> KILLED --> DONE
                                  any state: EnvoyExited --> DONE (SETTLING waits its minimum first)

Rules of this file. Envoy is never sent SIGTERM: it is asked to drain over HTTP and then killed. There is no
restart: whatever way Envoy ends, the agent ends, with status 0 (the peer's choice; the kubelet restarts pods).
``/drain`` means that the drain was done beforehand, so a later stop kills at once.
Peer: pkg/envoy/agent.go; spec/agent.md 3.5, 0.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, assert_never

from mesh.errors import ExitCode

COUNT_EVERY = 1.0
"""Seconds between two looks at the open connections."""
COUNT_FAULTS = 5
"""So many failed looks in a row mean that there is nothing to wait for."""


class EnvoyStarted(NamedTuple):
    """The process exists."""


class Stop(NamedTuple):
    """SIGINT, SIGTERM: end in good order."""

    cause: str


class Quit(NamedTuple):
    """POST /quitquitquit: end without draining."""


class DrainAsked(NamedTuple):
    """POST /drain: drain now, live on; the stop that follows need not drain again."""


class Woke(NamedTuple):
    """The time asked for by the last ``Wake`` has passed."""


class Counted(NamedTuple):
    """How many connections are open; None: Envoy could not be asked; -1: it said nothing at all."""

    connections: int | None


class EnvoyExited(NamedTuple):
    """The process was reaped."""

    status: int


Event = EnvoyStarted | Stop | Quit | DrainAsked | Woke | Counted | EnvoyExited


class Drain(NamedTuple):
    """Ask Envoy to drain its listeners; failure only warns."""

    skip_exit: bool = False


class Wake(NamedTuple):
    """Send ``Woke`` after so many seconds; replaces an earlier one."""

    after: float


class Count(NamedTuple):
    """Ask Envoy for its open connections and send ``Counted``."""


class Kill(NamedTuple):
    """SIGKILL to Envoy's process group."""


class Exit(NamedTuple):
    """End the agent with this status."""

    code: ExitCode


Command = Drain | Wake | Count | Kill | Exit


class State(Enum):
    """Where a life stands."""

    STARTING = auto()
    RUNNING = auto()
    DRAINING = auto()
    """Drain was asked for; Envoy has until the timer to end by itself."""
    SETTLING = auto()
    """The minimum drain time, which nothing shortens."""
    COUNTING = auto()
    """Until no connection is left."""
    KILLED = auto()
    DONE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleOptions:
    """How long an end may take."""

    termination_drain: float = 5.0
    """ProxyConfig terminationDrainDuration, seconds."""
    minimum_drain: float = 5.0
    """MINIMUM_DRAIN_DURATION, seconds."""
    exit_on_zero_connections: bool = False
    """EXIT_ON_ZERO_ACTIVE_CONNECTIONS: wait for connections to end, without an upper bound."""


class Lifecycle:
    """One life. ``on`` takes each event once, in the order in which they happened."""

    def __init__(self, options: LifecycleOptions, *, with_envoy: bool = True) -> None:
        self.state = State.STARTING
        self.skip_drain = False
        self._options = options
        self._with_envoy = with_envoy
        self._exited = False
        self._faults = 0

    def on(self, event: Event) -> Sequence[Command]:
        """What is to be done now, in this order."""
        if self.state is State.DONE:
            return ()
        match event:
            case EnvoyStarted():
                return self._on_started()
            case Stop():
                return self._on_stop()
            case Quit():
                self.skip_drain = True
                return self._on_stop()
            case DrainAsked():
                return self._on_drain_asked()
            case Woke():
                return self._on_woke()
            case Counted():
                return self._on_counted(event.connections)
            case EnvoyExited():
                return self._on_exited()
            case _:
                assert_never(event)

    @property
    def stopping(self) -> bool:
        """Whether the end has begun."""
        return self.state not in (State.STARTING, State.RUNNING)

    def _on_started(self) -> Sequence[Command]:
        if self.state is State.STARTING:
            self.state = State.RUNNING
        return ()

    def _on_stop(self) -> Sequence[Command]:
        if self.stopping:
            return ()  # peer: only the first signal counts
        if not self._with_envoy or self.state is State.STARTING:
            return self._end()
        if self.skip_drain:
            return (Kill(), *self._end())
        if self._options.exit_on_zero_connections:
            self.state = State.SETTLING
            return (Drain(), Wake(self._options.minimum_drain))
        self.state = State.DRAINING
        return (Drain(), Wake(self._options.termination_drain))

    def _on_drain_asked(self) -> Sequence[Command]:
        self.skip_drain = True
        return (Drain(skip_exit=True),) if self.state is State.RUNNING else ()

    def _on_woke(self) -> Sequence[Command]:
        match self.state:
            case State.DRAINING:
                return self._kill()
            case State.SETTLING if self._exited:
                return self._end()
            case State.SETTLING:
                self.state = State.COUNTING
                return (Wake(COUNT_EVERY),)
            case State.COUNTING:
                return (Count(),)
            case _:
                return ()

    def _on_counted(self, connections: int | None) -> Sequence[Command]:
        if self.state is not State.COUNTING:
            return ()
        self._faults = self._faults + 1 if connections is None else 0
        if self._faults >= COUNT_FAULTS or (connections is not None and connections <= 0):
            return self._kill()
        return (Wake(COUNT_EVERY),)

    def _on_exited(self) -> Sequence[Command]:
        self._exited = True
        return () if self.state is State.SETTLING else self._end()

    def _kill(self) -> Sequence[Command]:
        self.state = State.KILLED
        return (Kill(),)

    def _end(self) -> Sequence[Command]:
        self.state = State.DONE
        return (Exit(ExitCode.OK),)
