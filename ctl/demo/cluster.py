# SPDX-License-Identifier: Apache-2.0
"""The demo's running parts: where they live on disk, how each is started, what each can be asked from outside.

Effects only. Nothing is written outside the demo directory, but for the identity folder, which must be memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from ctl.demo import topology
from ctl.demo.processes import Program, Programs, find_envoy, free_ports, script
from ctl.demo.topology import Workload
from mesh.errors import MeshError

DRAIN = "3s"
TTL = "24s"
"""Life of a workload certificate in the demo: renewed after half of it."""
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")


class NotInTime(MeshError):
    """Something that must happen did not, within its deadline."""

    hint = "look into the logs in the demo directory (run with --dir to keep it)"

    def __init__(self, what: str, seconds: float, last: str) -> None:
        super().__init__(
            f"{what} did not happen within {seconds:.0f} s{f': {last}' if last else ''}"
        )


@dataclass(slots=True)
class Pod:
    """A workload with its two programs."""

    workload: Workload
    home: Path
    app: Program
    agent: Program


class Cluster:
    """Control plane and pods in one directory."""

    title = "Pilothouse: one control plane, three sidecars with real Envoy, mutual TLS. No root, no Kubernetes."
    captured = False

    def __init__(self, directory: Path, identity: Path, envoy: str, programs: Programs) -> None:
        self.directory = directory
        self.identity = identity
        self.envoy = find_envoy(envoy)
        self.programs = programs
        self.config = directory / "config"
        self.state = directory / "upstream"
        self.workloads = self.make_workloads()
        self.bind = dict.fromkeys(("grpc", "secure_grpc", "http", "monitoring"), "127.0.0.1:0")
        self.pods: dict[str, Pod] = {}
        self.upstream: Program | None = None
        self.addresses: dict[str, str] = {}
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))

    async def close(self) -> None:
        await self._http.close()

    # --- configuration on disk

    def write_config(self) -> None:
        """The whole mesh configuration, first edition: canary at 90/10."""
        self.config.mkdir(parents=True, exist_ok=True)
        (self.directory / "mesh.yaml").write_text(topology.mesh_yaml())
        reviews = [w for w in self.workloads if w.account == "reviews"]
        (self.config / "reviews.yaml").write_text(self.service_yaml(reviews))
        (self.config / "security.yaml").write_text(topology.security_yaml())
        self.write_listeners()
        self.set_canary(90, 10)

    def write_listeners(self) -> None:
        """What traffic reaches each workload by, where nothing is captured."""
        for workload in self.workloads:
            (self.config / f"sidecar-{workload.name}.yaml").write_text(
                topology.sidecar_yaml(workload)
            )

    def service_yaml(self, reviews: list[Workload]) -> str:
        return topology.service_yaml(reviews)

    def set_canary(self, v1: int, v2: int) -> None:
        """Save a new traffic split, as an editor would: a new file in the old one's place."""
        target = self.config / "canary.yaml"
        fresh = target.with_suffix(".yaml.new")
        fresh.write_text(topology.canary_yaml(v1, v2))
        fresh.replace(target)

    # --- programs

    async def start_upstream(self) -> None:
        """Start (or start again, on the same ports) the control plane; returns when it listens."""
        bind = self.addresses or self.bind
        book = self.state / "addresses.json"
        book.unlink(missing_ok=True)
        argv = [
            *[script("pilot-upstream"), "discovery"],
            *["--configDir", str(self.config), "--meshConfig", str(self.directory / "mesh.yaml")],
            *[
                "--state-dir",
                str(self.state),
                "--grpcAddr",
                bind["grpc"],
                "--secureGRPCAddr",
                bind["secure_grpc"],
            ],
            *[
                "--httpAddr",
                bind["http"],
                "--monitoringAddr",
                bind["monitoring"],
                "--httpsAddr",
                "",
            ],
        ]
        self.upstream = self.programs.start("upstream", argv, cwd=self.directory, env={})
        await self.until("the control plane listening", 20, lambda: _exists(book), [self.upstream])
        self.addresses = json.loads(book.read_text())

    def kill_upstream(self) -> None:
        if self.upstream is not None:
            self.programs.kill(self.upstream)

    def start_pod(self, workload: Workload) -> Pod:
        """Give a workload its directory, its token, its application and its sidecar."""
        home = self.directory / workload.name
        self._provision(workload, home)
        app = self.start_app(workload, home)
        pod = Pod(workload, home, app, self._start_agent(workload, home))
        self.pods[workload.name] = pod
        return pod

    def start_app(self, workload: Workload, home: Path) -> Program:
        """The application, which knows nothing of all this."""
        where = ["--host", self.app_host(workload), "--port", str(workload.app_port)]
        echo = [*self.inside(workload, proxy=False), *self.module("echo"), "--name", workload.name]
        return self.programs.start(f"{workload.name}-app", [*echo, *where], cwd=home, env={})

    def module(self, name: str) -> list[str]:
        """One of the demo's own programs."""
        return [sys.executable, "-m", f"ctl.demo.{name}"]

    def restart_sidecar(self, name: str) -> None:
        """Lose a sidecar (agent and Envoy) at once and start it anew; its application stays."""
        pod = self.pods[name]
        self.programs.kill(pod.agent)
        pod.agent = self._start_agent(pod.workload, pod.home)

    def _start_agent(self, workload: Workload, home: Path) -> Program:
        env = topology.agent_environment(
            workload,
            discovery=self.discovery,
            envoy=self.envoy,
            drain=DRAIN,
            ttl=TTL,
            state=str(home / "state"),
            identity=str(self.identity / workload.name),
            interception="REDIRECT" if self.captured else "NONE",
        )
        agent = [*self.inside(workload, proxy=True), script("pilot-agent"), "proxy", "sidecar"]
        return self.programs.start(workload.name, agent, cwd=home, env=env)

    def _provision(self, workload: Workload, home: Path) -> None:
        tokens = home / "var/run/secrets/tokens"
        tokens.mkdir(parents=True, exist_ok=True)
        root = home / "var/run/secrets/istio"
        root.mkdir(parents=True, exist_ok=True)
        (self.identity / workload.name).mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(self.state / "root-cert.pem", root / "root-cert.pem")
        argv = [
            *[script("pilot-upstream"), "token", "--state-dir", str(self.state)],
            *["--namespace", topology.NAMESPACE, "--service-account", workload.account],
        ]
        made = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        if made.returncode != 0:
            raise NotInTime(f"a token for {workload.name}", 30, made.stderr.strip())
        token = tokens / "istio-token"
        token.touch(mode=0o600)
        token.write_text(made.stdout.strip())

    # --- where things are: all on this machine's loopback, each workload with an address and ports of its own

    def make_workloads(self) -> list[Workload]:
        return _workloads()

    @property
    def discovery(self) -> str:
        """Where sidecars find the control plane."""
        return self.addresses["secure_grpc"]

    def inside(self, workload: Workload, *, proxy: bool) -> list[str]:
        """Words before a command that run it where the workload's application or its proxy runs."""
        del workload, proxy
        return []

    def app_host(self, workload: Workload) -> str:
        """What the application listens on."""
        del workload
        return "127.0.0.1"

    def seen_from(self, workload: Workload) -> str:
        """The address at which the kubelet would ask."""
        del workload
        return "127.0.0.1"

    def through(self, workload: Workload) -> str | None:
        """The HTTP proxy by which its admin port is asked; None: directly."""
        del workload
        return None

    def hints(self) -> str:
        """What to try while it runs."""
        client = self.workloads[0]
        return f"""
  curl -x {client.proxy_url} http://{topology.HOST}/
  $EDITOR {self.config}/canary.yaml
  curl http://127.0.0.1:{client.admin_port}/clusters
  curl http://127.0.0.1:{client.status_port}/stats/prometheus
  curl --unix-socket {self.directory}/{client.name}/etc/istio/proxy/ADMIN http://localhost/status"""

    # --- what can be asked from outside

    async def ready(self, workload: Workload) -> bool:
        """Readiness as the kubelet asks: Envoy's port, which asks the agent."""
        url = f"http://{self.seen_from(workload)}:{workload.envoy_status_port}/healthz/ready"
        try:
            async with self._http.get(url) as reply:
                return reply.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def certificates(self, workload: Workload) -> dict[str, Any]:
        """The workload certificate that Envoy uses now: serial, expiry, names."""
        url = f"http://127.0.0.1:{workload.admin_port}/certs"
        async with self._http.get(url, proxy=self.through(workload)) as reply:
            body = await reply.json(content_type=None)
        for entry in body.get("certificates", []):
            for leaf in entry.get("cert_chain", []):
                return {
                    "serial": leaf["serial_number"],
                    "expires": leaf["expiration_time"],
                    "names": [name.get("uri", "") for name in leaf.get("subject_alt_names", [])],
                }
        return {"serial": "", "expires": "", "names": []}

    async def serials(self) -> dict[str, str]:
        return {w.name: (await self.certificates(w))["serial"] for w in self.workloads}

    async def until(
        self, what: str, seconds: float, holds: Any, watched: list[Program] | None = None
    ) -> float:
        """Wait until the coroutine function ``holds`` answers True; seconds that took.

        Raises NotInTime after the deadline, ProgramEnded when a watched program is gone.
        """
        began = time.monotonic()
        while not await holds():
            self.programs.check(watched or [])
            if time.monotonic() - began > seconds:
                raise NotInTime(what, seconds, "")
            await asyncio.sleep(0.05)
        return time.monotonic() - began


async def _exists(path: Path) -> bool:
    return path.exists()


def memory_directory() -> Path | None:
    """A directory in memory for identities: ``$XDG_RUNTIME_DIR``, else /dev/shm; None where neither is memory."""
    for candidate in (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"):  # noqa: S108  checked to be memory, made 0700
        if (
            candidate
            and _file_system(candidate) in MEMORY_FILE_SYSTEMS
            and os.access(candidate, os.W_OK)
        ):
            return Path(candidate)
    return None


def _file_system(path: str) -> str:
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, fs_type, *_ = line.split()
        if (real == mount or real.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, fs_type
    return kind


def _workloads() -> list[Workload]:
    names = topology.WORKLOADS
    local = free_ports("127.0.0.1", len(names) * 3)
    anywhere = free_ports(
        "0.0.0.0", len(names) * 2
    )  # Envoy's status listeners are on all addresses
    inbound = free_ports("127.0.0.11", 1)[0]
    workloads = []
    for number, (name, account, version) in enumerate(names):
        address = f"127.0.0.{11 + number}"
        app_port, admin_port, status_port = local[number * 3 : number * 3 + 3]
        envoy_status_port, prometheus_port = anywhere[number * 2 : number * 2 + 2]
        workloads.append(
            Workload(
                name=name,
                account=account,
                version=version,
                address=address,
                app_port=app_port,
                inbound_port=inbound,
                outbound_port=free_ports(address, 1)[0],
                admin_port=admin_port,
                status_port=status_port,
                envoy_status_port=envoy_status_port,
                prometheus_port=prometheus_port,
            )
        )
    return workloads
