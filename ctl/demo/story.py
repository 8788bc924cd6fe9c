# SPDX-License-Identifier: Apache-2.0
"""The demo's story: steps (a) to (f), each told as it goes and checked by real requests. Exit 0 only if all held.

Imports the rest of ``ctl.demo``; knows the programs only from outside.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import psutil

from ctl.demo.captured import CapturedCluster
from ctl.demo.cluster import Cluster, memory_directory
from ctl.demo.processes import Programs
from ctl.demo.report import Check, Report, budget_line
from ctl.demo.topology import HOST, Workload
from ctl.demo.traffic import Answer, Client, steady_load
from mesh.errors import BadSetting, ExitCode, MeshError

RUN_OF_SAME = 25
"""So many answers in a row from one version show a 0/100 split (at 90/10: one chance in 10^25)."""
IDLE_MUST_MIB, IDLE_STRETCH_MIB = 40.0, 34.0
"""pilot-agent's own idle with Envoy and traffic is 40 MiB; stretch is 0.85 of that (ARCHITECTURE, budgets)."""

Outcome = tuple[bool, str]


def run(*, keep: bool, directory: str, envoy: str, capture: str = "") -> int:
    """Play the whole story. Returns 0 when every check held, 1 otherwise. Raises MeshError where it cannot start.

    With ``capture`` (``iptables`` or ``nft``) the process is in a network namespace of its own already (``node``).
    """
    if not sys.platform.startswith("linux"):
        raise BadSetting("platform", sys.platform, "the demo needs Linux")
    if directory:
        return _in_directory(Path(directory).absolute(), keep=keep, envoy=envoy, capture=capture)
    with tempfile.TemporaryDirectory(prefix="pilothouse-") as temporary:
        return _in_directory(Path(temporary), keep=keep, envoy=envoy, capture=capture)


def _in_directory(directory: Path, *, keep: bool, envoy: str, capture: str) -> int:
    for name in ("logs", "identity"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    memory = memory_directory()
    identity = Path(tempfile.mkdtemp(prefix="pilothouse-demo-", dir=memory)) if memory else None
    try:
        with Programs(directory / "logs") as programs:
            where = (directory, identity or directory / "identity", envoy, programs)
            made = partial(CapturedCluster, backend=capture) if capture else Cluster
            return asyncio.run(_play(partial(made, *where), identity is not None, keep=keep))
    finally:
        if identity is not None:
            shutil.rmtree(identity, ignore_errors=True)


async def _play(made: Callable[[], Cluster], in_memory: bool, *, keep: bool) -> int:
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    cluster = made()
    story = Story(cluster, in_memory=in_memory)
    began = time.monotonic()
    try:
        await story.tell()
    finally:
        await cluster.close()
    print(f"\nAll of it, in {time.monotonic() - began:.0f} s\n{story.report.table()}")
    if keep and story.report.checks:
        await _stay(cluster)
    return ExitCode.OK if story.report.held else 1


async def _stay(cluster: Cluster) -> None:
    print(f"\nStill running; Ctrl-C ends it. Try:{cluster.hints()}")
    await asyncio.Event().wait()  # no deadline: the reader decides


class Story:
    """Runs the steps in order, notes each promise."""

    def __init__(self, cluster: Cluster, *, in_memory: bool) -> None:
        self.cluster = cluster
        self.in_memory = in_memory
        self.report = Report()
        self.by_name: dict[str, Workload] = {w.name: w for w in cluster.workloads}

    async def tell(self) -> None:
        """All steps; a step that breaks ends the story, since what follows rests on it."""
        print(self.cluster.title)
        print(f"directory {self.cluster.directory}\nenvoy     {self.cluster.envoy}")
        for workload in self.cluster.workloads:
            print(
                f"{workload.name:10} {workload.address} inbound {workload.inbound_port} proxy {workload.outbound_port} "
                f"admin {workload.admin_port} status {workload.status_port} ready {workload.envoy_status_port}"
            )
        if not self.in_memory:
            print(
                "note: neither $XDG_RUNTIME_DIR nor /dev/shm is memory: identities are not kept over restarts"
            )
        async with Client(self.by_name["client"].proxy_url) as client:
            steps = [
                self._start,
                self._secured,
                self._canary,
                self._rotation,
                self._outage,
                self._drain,
                *([self._uncaptured] if self.cluster.captured else []),
            ]
            for letter, step in zip("abcdefg", steps, strict=False):
                print(f"\n({letter}) {(step.__doc__ or '').splitlines()[0]}")
                try:
                    await step(letter, client)
                except MeshError as error:
                    self._note(letter, "the step ran to its end", False, 0.0, str(error))
                if not self.report.held:
                    return

    def _note(self, step: str, promise: str, held: bool, seconds: float, detail: str = "") -> None:
        check = Check(step, promise, held, seconds, detail)
        self.report.checks.append(check)
        print(check.line(), flush=True)

    async def _check(
        self, step: str, promise: str, proof: Callable[[], Awaitable[Outcome]]
    ) -> None:
        began = time.monotonic()
        held, detail = await proof()
        self._note(step, promise, held, time.monotonic() - began, detail)

    # --- (a)

    async def _start(self, step: str, client: Client) -> None:
        """The control plane and three sidecars start."""
        del client
        self.cluster.write_config()
        began = time.monotonic()
        await self.cluster.start_upstream()
        self._note(
            step,
            "control plane listens",
            True,
            time.monotonic() - began,
            self.cluster.addresses["secure_grpc"],
        )
        began = time.monotonic()
        for workload in self.cluster.workloads:
            self.cluster.start_pod(workload)
        agents = [pod.agent for pod in self.cluster.pods.values()]
        for workload in self.cluster.workloads:
            await self.cluster.until(
                f"{workload.name} ready", 40, lambda w=workload: self.cluster.ready(w), agents
            )
        self._note(
            step,
            "all three ready",
            True,
            time.monotonic() - began,
            "asked through Envoy, as a kubelet would",
        )
        for name, pod in self.cluster.pods.items():
            rss = psutil.Process(pod.agent.pid).memory_info().rss / 2**20
            print(
                budget_line(f"{name} agent, resident memory", rss, IDLE_MUST_MIB, IDLE_STRETCH_MIB)
            )

    # --- (b)

    async def _secured(self, step: str, client: Client) -> None:
        """The client reaches reviews by mutual TLS, and nothing else does."""

        async def identities() -> Outcome:
            answer = await self._first_success(client)
            forwarded = answer.headers.get("x-forwarded-client-cert", "")
            caller, callee = self.by_name["client"].spiffe, self.by_name["reviews-v1"].spiffe
            facts = dict(part.split("=", 1) for part in forwarded.split(";") if "=" in part)
            right = facts.get("By") == callee and facts.get("URI") == caller
            return (
                answer.ok and right,
                f"By={facts.get('By')} URI={facts.get('URI')} {answer.error}".strip(),
            )

        async def plaintext() -> Outcome:
            target = self.by_name["reviews-v1"]
            return await _plaintext_refused(target.address, target.inbound_port)

        async def forbidden() -> Outcome:
            answer = await client.ask(method="POST")
            return answer.status == 403, f"POST answered {answer.status}"

        await self._check(step, "client reaches reviews; both certificates are theirs", identities)
        await self._check(step, "plaintext to the STRICT port is refused", plaintext)
        await self._check(step, "what the policy does not allow is denied", forbidden)

    async def _first_success(self, client: Client) -> Answer:
        """Envoy is ready before the last endpoint is warm on a busy machine: ask for some seconds."""
        deadline = time.monotonic() + 10
        answer = await client.ask()
        while not answer.ok and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            answer = await client.ask()
        return answer

    # --- (c)

    async def _canary(self, step: str, client: Client) -> None:
        """An edit of the VirtualService moves the traffic."""

        async def split() -> Outcome:
            answers = [await client.ask() for _ in range(200)]
            counts = Counter(answer.app for answer in answers)
            fair = (
                150 <= counts["reviews-v1"] <= 196
                and counts["reviews-v2"] == 200 - counts["reviews-v1"]
            )
            return fair, f"of 200: {counts['reviews-v1']} v1, {counts['reviews-v2']} v2"

        async def shifted() -> Outcome:
            saved = time.monotonic()
            self.cluster.set_canary(0, 100)
            first, row, failed = 0.0, 0, 0
            while row < RUN_OF_SAME and time.monotonic() - saved < 15:
                sent = time.monotonic()
                answer = await client.ask()
                failed += not answer.ok
                if answer.app == "reviews-v2":
                    first = first if row else sent - saved
                    row += 1
                else:
                    row = 0
            return (
                row >= RUN_OF_SAME and not failed,
                f"first effect {first * 1000:.0f} ms after the save, {failed} failed",
            )

        await self._check(step, "90/10 is what the file says and what happens", split)
        await self._check(step, "0/100 takes effect without a failed request", shifted)

    # --- (d)

    async def _rotation(self, step: str, client: Client) -> None:
        """Short-lived certificates rotate under load."""

        async def rotated() -> Outcome:
            before = await self.cluster.serials()

            async def all_new() -> bool:
                now = await self.cluster.serials()
                return all(now[name] not in ("", before[name]) for name in before)

            async with steady_load(client, per_second=60) as load:
                seconds = await self.cluster.until("rotation of all certificates", 40, all_new)
                await asyncio.sleep(0.5)
            detail = f"all serials changed within {seconds:.1f} s; {load.sent} requests, {len(load.failures)} failed"
            return not load.failures and load.sent > 10, "; ".join([detail, *load.failures[:3]])

        await self._check(step, "every certificate rotates, no request fails", rotated)

    # --- (e)

    async def _outage(self, step: str, client: Client) -> None:
        """The control plane dies; a sidecar starts again without it."""
        if not self.in_memory:
            self._note(
                step,
                "identity kept in memory",
                False,
                0.0,
                "no memory-backed directory: set XDG_RUNTIME_DIR",
            )
            return
        name = "reviews-v2"
        await self._fresh_certificates()
        self.cluster.kill_upstream()
        began = time.monotonic()
        self.cluster.restart_sidecar(name)
        agent = self.cluster.pods[name].agent
        workload = self.by_name[name]
        seconds = await self.cluster.until(
            f"{name} ready again", 20, lambda: self.cluster.ready(workload), [agent]
        )
        self._note(step, "sidecar ready from its store, control plane dead", True, seconds)

        async def serves() -> Outcome:
            answer = await self._first_success(client)
            forwarded = answer.headers.get("x-forwarded-client-cert", "")
            secured = f"URI={self.by_name['client'].spiffe}" in forwarded
            since = time.monotonic() - began
            return (
                answer.ok and answer.app == name and secured,
                f"{since:.1f} s after the loss {answer.error}".strip(),
            )

        await self._check(
            step, "it serves mutual TLS from stored configuration and identity", serves
        )
        began = time.monotonic()
        await self.cluster.start_upstream()
        before = await self.cluster.serials()

        async def renewed() -> bool:
            now = await self.cluster.serials()
            return all(now[key] not in ("", before[key]) for key in before)

        async with steady_load(client, per_second=30) as load:
            seconds = await self.cluster.until("certificates renewed after the outage", 40, renewed)
        self._note(
            step,
            "control plane back: certificates are renewed, no request fails",
            not load.failures,
            time.monotonic() - began,
            "; ".join([f"{load.sent} requests", *load.failures[:3]]),
        )

    async def _fresh_certificates(self) -> None:
        """Wait for a renewal, so that the outage begins with most of the certificates' life ahead."""
        before = (await self.cluster.certificates(self.by_name["reviews-v2"]))["serial"]

        async def renewed() -> bool:
            return (await self.cluster.certificates(self.by_name["reviews-v2"]))["serial"] not in (
                "",
                before,
            )

        await self.cluster.until("renewal", 30, renewed)
        await asyncio.sleep(0.3)

    # --- (f)

    async def _drain(self, step: str, client: Client) -> None:
        """SIGTERM drains: what is under way is finished, then the process ends."""

        async def drained() -> Outcome:
            pod = self.cluster.pods["reviews-v2"]
            async with asyncio.TaskGroup() as group:
                slow = group.create_task(client.ask("/slow?seconds=1.5"), name="slow request")
                await asyncio.sleep(0.3)
                pod.agent.terminate()
            answer = slow.result()
            code = await asyncio.to_thread(pod.agent.wait, 15)
            left = [p for p in psutil.process_iter(["ppid"]) if p.info["ppid"] == pod.agent.pid]
            detail = (
                f"slow request answered {answer.status}, agent exited {code} {answer.error}".strip()
            )
            return answer.ok and code == 0 and not left, detail

        await self._check(step, "a request under way is answered, exit code 0", drained)

    # --- (g), with capture only

    async def _uncaptured(self, step: str, client: Client) -> None:
        """Without its rules a pod is what it was: the same request passes the proxy by."""
        del client
        target = self.by_name["reviews-v1"]
        assert isinstance(self.cluster, CapturedCluster)  # noqa: S101  the step belongs to it
        cluster = self.cluster

        async def refused() -> Outcome:
            return await _plaintext_refused(target.address, target.inbound_port)

        async def reached() -> Outcome:
            await asyncio.to_thread(cluster.uncapture, target)
            held, detail = await refused()
            return not held, detail

        await self._check(step, "captured: plaintext to the app's address is refused", refused)
        await self._check(step, "rules taken out: it reaches the app itself", reached)


async def _plaintext_refused(address: str, port: int) -> Outcome:
    """Whether a plain HTTP request to a TLS port gets no HTTP answer."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        async with asyncio.timeout(5):
            head = await reader.read(64)
    except ConnectionError:
        return True, "connection reset"
    finally:
        writer.close()
    return not head, "connection closed" if not head else f"answered {head[:16]!r}"
