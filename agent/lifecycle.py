# SPDX-License-Identifier: Apache-2.0
"""How the agent and its Envoy end: one machine, events in, commands out. Pure; the shell holds the clock.

    STARTING --EnvoyStarted--> RUNNING --Stop--> [DELAYING ->] DRAINING | SETTLING -> COUNTING --> KILLED --> DONE
        ^                         |       any state: EnvoyExited --> DONE (SETTLING waits its minimum first)
        +--- Woke --- RESTARTING <+  EnvoyExited, where restarts are left: PILOT_ENVOY_RESTARTS, none by default

Rules of this file. Envoy is never sent SIGTERM: it is asked to drain over HTTP and then killed. By default there is no
restart: whatever way Envoy ends, the agent ends, with status 0 (the peer's choice; the kubelet restarts pods). Where
restarts were asked for and did not help, the status says so (ADR 0012).
``/drain`` means that the drain was done beforehand, so a later stop kills at once, and a death is the end.
How long each phase may take is ``shutdown``'s. Time passes only as ``Woke``, ``Expired`` and ``EnvoyExited.at``.
Peer: pkg/envoy/agent.go; spec/agent.md 3.5, 0.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple, assert_never

from agent.shutdown import LifecycleOptions, plan
from mesh.errors import ExitCode

COUNT_EVERY = 1.0
"""Seconds between two looks at the open connections."""
COUNT_FAULTS = 5
"""So many failed looks in a row mean that there is nothing to wait for."""
LONGEST_BACKOFF = 30.0
"""Seconds before a restart, at most."""


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


class Expired(NamedTuple):
    """The time granted by the last ``Limit`` is over."""


class Counted(NamedTuple):
    """How many connections are open; None: Envoy could not be asked; -1: it said nothing at all."""

    connections: int | None


class EnvoyExited(NamedTuple):
    """The process was reaped, or never came to be."""

    status: int
    at: float = 0.0
    """The clock's seconds."""
    hopeless: bool = False
    """It cannot be run at all: starting it again would be the same."""


Event = EnvoyStarted | Stop | Quit | DrainAsked | Woke | Expired | Counted | EnvoyExited


class Drain(NamedTuple):
    """Ask Envoy to drain its listeners; failure only warns."""

    skip_exit: bool = False


class Wake(NamedTuple):
    """Send ``Woke`` after so many seconds; replaces an earlier one."""

    after: float


class Limit(NamedTuple):
    """Send ``Expired`` after so many seconds, once."""

    after: float


class Start(NamedTuple):
    """Start Envoy again."""


class Count(NamedTuple):
    """Ask Envoy for its open connections and send ``Counted``."""


class Kill(NamedTuple):
    """SIGKILL to Envoy's process group."""


class Exit(NamedTuple):
    """End the agent with this status."""

    code: ExitCode


Command = Drain | Wake | Limit | Start | Count | Kill | Exit


class State(Enum):
    """Where a life stands."""

    STARTING = auto()
    RUNNING = auto()
    RESTARTING = auto()
    """Envoy died; the next one waits its backoff."""
    DELAYING = auto()
    """The end was asked for; ready still."""
    DRAINING = auto()
    """Drain was asked for; Envoy has until the timer to end by itself."""
    SETTLING = auto()
    """The minimum drain time, which nothing shortens."""
    COUNTING = auto()
    """Until no connection is left."""
    KILLED = auto()
    DONE = auto()


class Lifecycle:
    """One life. ``on`` takes each event once, in the order in which they happened."""

    def __init__(
        self, options: LifecycleOptions, *, with_envoy: bool = True, chance: float = 0.0
    ) -> None:
        self.state = State.STARTING
        self.skip_drain = False
        self.plan = plan(options, chance=chance)
        self._options = options
        self._with_envoy = with_envoy
        self._exited = False
        self._faults = 0
        self._deaths: tuple[float, ...] = ()

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
            case Expired():
                return self._on_expired()
            case Counted():
                return self._on_counted(event.connections)
            case EnvoyExited():
                return self._on_exited(event)
            case _:
                assert_never(event)

    @property
    def stopping(self) -> bool:
        """Whether the end has begun, the delay before the drain aside."""
        return self.state not in _LIVING

    def _on_started(self) -> Sequence[Command]:
        if self.state is State.STARTING:
            self.state = State.RUNNING
        return ()

    def _on_stop(self) -> Sequence[Command]:
        if self.stopping:
            return ()  # peer: only the first signal counts
        if not self._with_envoy or self.state in (State.STARTING, State.RESTARTING):
            return self._end()
        if self.skip_drain:
            return (Kill(), *self._end())
        if self.state is State.DELAYING:
            return ()
        limit = self.plan.limit
        bound = (Limit(limit),) if limit is not None and self._options.deadline else ()
        if self.plan.delay:
            self.state = State.DELAYING
            return (*bound, Wake(self.plan.delay))
        return (*bound, *self._drain())

    def _drain(self) -> Sequence[Command]:
        counting = self._options.exit_on_zero_connections
        self.state = State.SETTLING if counting else State.DRAINING
        return (Drain(), Wake(self.plan.drain))

    def _on_drain_asked(self) -> Sequence[Command]:
        self.skip_drain = True
        running = self.state in (State.RUNNING, State.DELAYING)
        return (Drain(skip_exit=True),) if running else ()

    def _on_woke(self) -> Sequence[Command]:
        match self.state:
            case State.RESTARTING:
                self.state = State.STARTING
                return (Start(),)
            case State.DELAYING if self.skip_drain:
                return (Kill(), *self._end())
            case State.DELAYING:
                return self._drain()
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

    def _on_expired(self) -> Sequence[Command]:
        if self.state is State.KILLED:
            return ()
        return self._end() if self._exited else self._kill()

    def _on_counted(self, connections: int | None) -> Sequence[Command]:
        if self.state is not State.COUNTING:
            return ()
        self._faults = self._faults + 1 if connections is None else 0
        if self._faults >= COUNT_FAULTS or (connections is not None and connections <= 0):
            return self._kill()
        return (Wake(COUNT_EVERY),)

    def _on_exited(self, event: EnvoyExited) -> Sequence[Command]:
        if self.state is State.SETTLING:
            self._exited = True
            return ()
        recent = (at for at in self._deaths if event.at - at < self._options.restart_window)
        self._deaths = (*recent, event.at)
        forgiven = len(self._deaths) <= self._options.restarts
        living = self.state in (State.STARTING, State.RUNNING)
        if not living or self.skip_drain:
            return self._end()
        if not forgiven or event.hopeless:
            return self._end(ExitCode.FAILED if self._options.restarts else ExitCode.OK)
        self.state = State.RESTARTING
        doubled = self._options.restart_backoff * 2 ** (len(self._deaths) - 1)
        return (Wake(min(doubled, LONGEST_BACKOFF)),)

    def _kill(self) -> Sequence[Command]:
        self.state = State.KILLED
        return (Kill(),)

    def _end(self, code: ExitCode = ExitCode.OK) -> Sequence[Command]:
        self.state = State.DONE
        return (Exit(code),)


_LIVING = frozenset({State.STARTING, State.RUNNING, State.RESTARTING, State.DELAYING})
