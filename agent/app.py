# SPDX-License-Identifier: Apache-2.0
"""The agent as a process: builds the parts from their branches, runs them as one group, ends as the lifecycle says.

In parallel from the first moment: {bootstrap child} {secrets} {xDS relay} {status}. Envoy is forked as soon as
the bootstrap is written and both sockets listen. Wiring only; every rule is in the part it belongs to.
Source: DESIGN 3, 5; spec/agent.md 0.3.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any, NoReturn

import mesh.log
from agent import coredumps, version
from agent.admin.resources import usage
from agent.admin.server import AdminServer
from agent.admin.timeline import last_nack
from agent.envoy.admin import EnvoyAdmin
from agent.envoy.gate import METHOD as GATE
from agent.envoy.gate import Gatekeeper
from agent.envoy.inbound import EnvoyInbound
from agent.envoy.launcher import Launcher
from agent.envoy.supervisor import Supervisor
from agent.envoy.upgrade import Upgrader
from agent.google_token import GoogleToken
from agent.lifecycle import Lifecycle
from agent.readiness import Readiness
from agent.settings import Settings
from agent.shutdown import told
from agent.status.capture import Captured, CaptureProbe
from agent.status.health import Health
from agent.status.notify import Notifier
from agent.status.own import OwnMetrics
from agent.status.scrape import Merge
from agent.status.server import StatusServer
from agent.status.workload import WorkloadHealth
from agent.xds.proxy import XdsProxy
from bootstrap.inputs import BootstrapInputs
from bootstrap.launch import write_bootstrap
from mesh.clock import Clock
from mesh.errors import ExitCode
from mesh.node import parse_node_id
from mesh.nodemeta import NO_INTERCEPTION, interception_mode
from mesh.tasks import Part, run_parts
from sdsserver import SdsPart, build_sds, settle
from sdsserver.options import Mode
from wire import types

log = mesh.log.get()

STEPS = ("bootstrap", "sds", "xds", "secret")
"""Of the start; Envoy waits for the first three."""
BOOTSTRAP_DEADLINE = 30.0
"""Seconds for the child that writes the bootstrap; it takes one."""


async def run_agent(settings: Settings, clock: Clock) -> ExitCode:
    """One life of the agent. Raises the first error of ours that no part can live with."""
    if not settings.core_dumps:
        process = replace(settings.process, core_limits=coredumps.refuse())
        settings = replace(settings, process=process)
    agent = await Agent.build(settings, clock)
    loop = asyncio.get_running_loop()
    names = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}
    for number, name in names.items():
        loop.add_signal_handler(number, agent.supervisor.stop, f"received signal: {name}")
    try:
        return await agent.run()
    finally:
        for number in names:
            loop.remove_signal_handler(number)


class Agent:
    """The parts of one process. ``build``, then ``run`` once."""

    def __init__(self, settings: Settings, sds: SdsPart, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._sds = sds
        admin = self._envoy_admin = EnvoyAdmin(settings.admin)
        self._life = Lifecycle(
            settings.lifecycle,
            with_envoy=settings.with_envoy,
            chance=Random().random(),  # noqa: S311  spreads ends, keeps no secret
        )
        self._launcher = Launcher(settings.envoy, settings.process, settings.hot_restart)
        self.supervisor = Supervisor(
            self._life, self._launcher.first, admin, on_change=self._on_other_envoy
        )
        keeper = Gatekeeper()
        self._upgrader = Upgrader(
            self._launcher,
            self.supervisor,
            admin,
            keeper,
            patience=settings.hot_restart.patience,
        )
        self.supervisor.before_drain = self._upgrader.settle
        hot = settings.hot_restart.enabled
        self._xds = XdsProxy(
            settings.xds,
            clock,
            local={types.PROXY_CONFIG: sds.on_proxy_config},
            routes={GATE: keeper.serve} if hot else {},
            seat=self.supervisor.seat if hot else None,
        )
        self._own = OwnMetrics()
        self._started = Readiness(STEPS, started=clock.monotonic())
        self._health = Health(
            admin if settings.status.probe_envoy else None,
            grpc_bootstrap=settings.status.grpc_bootstrap,
            extra=(self._draining_fault,),
            stopped=lambda: self.supervisor.cause if self._life.stopping else "",
            on_live=self._on_live,
        )
        self._workload = self._workload_health()
        self._status = self._status_server()
        self._captured = Captured(self._capture_probe(), clock)
        self._code = ExitCode.OK

    @classmethod
    async def build(cls, settings: Settings, clock: Clock) -> Agent:
        """Wired, with the secret source that this machine has. Raises BadSetting."""
        secrets = await settle(settings.secrets)
        if secrets.mode is Mode.FILES_ONLY:
            settings = replace(settings, bootstrap=with_file_credential(settings.bootstrap))
        own = settings.admin.own_ports
        inbound = EnvoyInbound(EnvoyAdmin(settings.admin), settings.node.metadata, own)
        return cls(settings, build_sds(secrets, clock, inbound.addresses), clock)

    async def run(self) -> ExitCode:
        """Until the lifecycle is over."""
        stop = asyncio.Event()
        if self._settings.with_envoy:
            log.info("shutdown plan", **told(self._life.plan))
        try:
            await run_parts(await self._parts(stop), stop=stop)
        finally:
            await self.supervisor.close()
            self._launcher.sweep()
        log.info("agent ends", code=int(self._code))
        return self._code

    async def _parts(self, stop: asyncio.Event) -> dict[str, Part]:
        parts: dict[str, Part] = {}
        if self._settings.google_token:
            google = GoogleToken(self._settings.google_token, self._clock)
            await google.refresh()  # before the first connection that shows it
            parts["google token"] = google.run()
        status, admin = self._status, self._admin_server()
        if self._settings.status.port and await status.bind():
            parts["status"] = status.run()
        if await admin.bind():
            parts["admin"] = admin.run()
        if self._settings.status.notify_socket:
            parts["service manager"] = self._notifier().run()
        if self._workload is not None:
            parts["workload health"] = self._workload.run()
        return parts | {
            "lifecycle": self._live(stop),
            "sds": self._sds.run(),
            "xds": self._xds.run(),
            "sds ready": self._mark_when(self._sds.ready, "sds"),
            "xds ready": self._mark_when(self._xds.ready, "xds"),
            "first secret": self._mark_when(self._sds.first_secret, "secret"),
            "envoy": self._envoy(),
            "upgrades": self._upgrader.run(),
        }

    def _status_server(self) -> StatusServer:
        scrape = self._settings.status.scrape
        merge = Merge(scrape, self._own, self._metrics)
        return StatusServer(self._settings.status, self._health, merge, self, self._clock)

    def _workload_health(self) -> WorkloadHealth | None:
        options = self._settings.status
        if options.health is None:
            return None
        first = self._health.check if options.probe_envoy else None
        return WorkloadHealth(
            options.health,
            options.health_app,
            self._xds.report_health,
            first=first,
            clock=self._clock,
        )

    def _capture_probe(self) -> CaptureProbe:
        node, wanted = self._settings.node, self._settings.with_envoy
        return CaptureProbe(
            wanted=wanted and interception_mode(node.metadata) != NO_INTERCEPTION,
            address=parse_node_id(node.id).address,
        )

    def _notifier(self) -> Notifier:
        options = self._settings.status
        return Notifier(
            options.notify_socket,
            watchdog=options.watchdog,
            check=self._health.check,
            clock=self._clock,
        )

    def _admin_server(self) -> AdminServer:
        options = self._settings.admin_endpoint
        return AdminServer(options, self, self._clock, version=version.FULL)

    async def _live(self, stop: asyncio.Event) -> NoReturn:
        self._code = await self.supervisor.run()
        stop.set()
        await _for_ever()

    async def _mark_when(self, event: asyncio.Event, name: str) -> NoReturn:
        await event.wait()  # no deadline: a part that cannot start raises
        self._mark(name)
        await _for_ever()

    async def _envoy(self) -> NoReturn:
        path = await self._bootstrap()
        self._mark("bootstrap")
        for event in (self._sds.ready, self._xds.ready):
            await event.wait()  # no deadline: a part that cannot start raises
        if self._settings.with_envoy and not self._life.stopping:
            log.info("starting envoy", bootstrap=path)
            self._launcher.bootstrap = path
            await self.supervisor.run_envoy()
        await _for_ever()

    async def _bootstrap(self) -> str:
        """Path of Envoy's first configuration. Raises BootstrapFailed."""
        own = self._settings.bootstrap_file
        inputs = replace(self._settings.bootstrap, output="") if own else self._settings.bootstrap
        if not inputs.output and not inputs.grpc_output:
            return own
        deadline = asyncio.get_running_loop().time() + BOOTSTRAP_DEADLINE
        path = await write_bootstrap(inputs, deadline=deadline)
        return own or path

    def _mark(self, name: str) -> None:
        self._started.mark(name, self._clock.monotonic())
        log.info("start-up step done", step=name, pending=",".join(self._started.pending))

    def _on_live(self) -> None:
        if self.supervisor.envoy is not None:
            self.supervisor.envoy.was_live = True
        if not self._own.startup_seconds:
            self._own.startup_seconds = seconds_since_exec()

    def _on_other_envoy(self) -> None:
        self._health.forget_envoy()

    def _draining_fault(self) -> str:
        """The peer stays ready while it drains; who asked for a delay before wants to be told of the drain."""
        lifecycle = self._settings.lifecycle
        told = bool(lifecycle.drain_delay or lifecycle.drain_jitter)
        return f"draining: {self.supervisor.cause}" if told and self.supervisor.draining else ""

    def _metrics(self) -> str:
        parts = (self._sds.metrics(), self._xds.metrics(), self._own.render())
        return "".join((*parts, self.supervisor.metrics()))

    def quit(self) -> None:
        self.supervisor.quit()

    async def drain(self) -> None:
        await self.supervisor.drain()

    def started(self) -> bool:
        return self._started.done

    async def detail(self) -> Mapping[str, object]:
        """The same, with what Envoy says of itself now."""
        await self._health.check()
        envoy = self.supervisor.pid
        return {
            **self.status(),
            "envoy": {"pid": envoy, **await self._health.envoy_facts()},
            "capture": await self._captured.status(),
            "resources": {"agent": usage(os.getpid()), "envoy": usage(envoy)},
        }

    async def upgrade(self, binary: str) -> Mapping[str, object]:
        """Let another Envoy take over. Raises EnvoyFailed."""
        return (await self._upgrader.upgrade(binary))._asdict()

    async def set_envoy_levels(self, levels: str) -> None:
        """Raises EnvoyFailed."""
        await self._envoy_admin.set_levels(levels)

    def push_counts(self) -> Mapping[str, Mapping[str, Any]]:
        """What is counted of each xDS type."""
        return self._xds.push_counts()

    def settings(self) -> list[Mapping[str, object]]:
        """Rows of name, value and source."""
        return [row._asdict() for row in self._settings.effective]

    def capture(self) -> Mapping[str, object]:
        """The capture rules that this pod should have."""
        from agent.admin import capture  # with the planner: who never looks never pays

        node = self._settings.node
        return capture.told(
            node.metadata,
            node.annotations,
            status_port=self._settings.status.port,
            addresses=self._settings.bootstrap.instance_ips,
        )

    def name_table(self) -> str | None:
        """No local DNS, no table."""
        return None

    def metrics(self) -> str:
        """Our own, as Prometheus text."""
        return self._metrics()

    def status(self) -> Mapping[str, object]:
        """What the agent knows of itself: the admin endpoint's and ``/healthz/ready?verbose``'s."""
        workload = self._workload.status() if self._workload else "not probed"
        return {
            "version": version.FULL,
            "dns": {"enabled": self._settings.xds.name_table},
            "probes": self._status.probes(),
            "workloadHealth": workload,
            "node": self._settings.node.id,
            "cluster": self._settings.node.cluster,
            "state": self._life.state.name,
            "started": self._started.status(),
            "ready": {"fault": self._health.fault, "ready": not self._health.fault},
            "envoy": {"pid": self.supervisor.pid},
            "secrets": self._sds.status(),
            "xds": self._xds.status(),
            "lastNack": last_nack(self._xds.push_counts()),
        }


async def _for_ever() -> NoReturn:
    """A part that has done its work stays: only the group ends it."""
    while True:
        await asyncio.Event().wait()  # no deadline: cancelled with the group


def with_file_credential(inputs: BootstrapInputs) -> BootstrapInputs:
    """Tells the control plane that another server brings the workload's certificate."""
    return replace(inputs, metadata={**inputs.metadata, "file-credential": "true"})


def seconds_since_exec() -> float:
    """How long this process has lived."""
    with open("/proc/self/stat", encoding="utf-8") as stat:
        born = int(stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    with open("/proc/uptime", encoding="ascii") as uptime:
        return float(uptime.read().split()[0]) - born
