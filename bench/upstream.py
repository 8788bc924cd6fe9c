# SPDX-License-Identifier: Apache-2.0
"""One edit on disk to a thousand sidecars: how long until each has it, what the control plane spends on it.

``pilot-upstream`` in a process of its own, delta streams on connections of their own from this one. Beside it a
grpc.aio server that only hands out bytes of the same size (``upstream_grpcaio``). Times of ours start when the file is
renamed into place, so they hold the debounce, set to 10 ms here, and the generation.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil

from upstream import addresses
from upstream.watch import CDS, EDS, LDS, RDS
from wire import types
from wire.h2io import ClientCall, Connection, connect
from wire.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

SERVICES, ENDPOINTS = 40, 5
TARGET = 1.1
"""Of p99, ratio to the peer in DESIGN; printed against grpc.aio, as no Go server runs here."""
AT_ONCE = 50


def service(number: int, moved: int = 0) -> str:
    members = ", ".join(
        f"{{address: 10.{number}.{moved % 200}.{last + 1}, labels: {{version: v1}}}}"
        for last in range(ENDPOINTS)
    )
    return f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: s{number}, namespace: default}}
spec:
  hosts: [s{number}.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: {8000 + number}, name: http, protocol: HTTP}}]
  endpoints: [{members}]
"""


def routing(seconds: int) -> str:
    return f"""apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: default}}
spec:
  hosts: [s0.default.svc.cluster.local]
  http: [{{timeout: {seconds}s, route: [{{destination: {{host: s0.default.svc.cluster.local}}}}]}}]
"""


def put(directory: Path, name: str, text: str) -> None:
    aside = directory / f".{name}"
    aside.write_text(text)
    aside.replace(directory / f"{name}.yaml")


class Sidecar:
    """One delta stream that subscribes to everything and acknowledges whatever comes."""

    def __init__(self, connection: Connection, call: ClientCall) -> None:
        self._connection = connection
        self._call = call
        self.got: dict[str, float] = {}
        """Type to when it last came."""
        self.sizes: dict[str, int] = {}

    async def read(self) -> None:
        while (message := await self._call.receive()) is not None:
            response = DeltaDiscoveryResponse.FromString(message)
            self.got[response.type_url] = time.perf_counter()
            self.sizes[response.type_url] = len(message)
            ack = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
            self._call.send_nowait(ack.SerializeToString())

    async def close(self) -> None:
        self._call.cancel()
        await self._connection.close()


async def sidecar(port: int, number: int) -> Sidecar:
    connection = await connect(f"127.0.0.1:{port}", timeout=60)
    call = connection.open(types.DELTA_AGGREGATED)
    ports = [str(8000 + one) for one in range(SERVICES)]
    clusters = [f"outbound|{8000 + n}||s{n}.default.svc.cluster.local" for n in range(SERVICES)]
    for type_url, names in ((CDS, []), (EDS, clusters), (LDS, []), (RDS, ports)):
        ask = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
        ask.node.id = f"sidecar~10.200.{number // 250}.{number % 250}~app-{number}.default~default.svc.cluster.local"
        ask.node.metadata.update({"NAMESPACE": "default", "CLUSTER_ID": "bench"})
        call.send_nowait(ask.SerializeToString())
    return Sidecar(connection, call)


async def until(done: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not done():
            await asyncio.sleep(0.005)


def spent(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def memory(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / (1 << 20)


def say(what: str, delays: Sequence[float], cpu: float, note: str) -> float:
    ordered = sorted(delays)
    p99 = ordered[int(len(ordered) * 0.99)]
    print(
        f"{what:34} p50 {statistics.median(ordered) * 1000:7.1f} ms  p99 {p99 * 1000:7.1f} ms  "
        f"CPU {cpu * 1000:7.1f} ms a push  {note}"
    )
    return p99


async def swarm(port: int, count: int) -> list[Sidecar]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Sidecar:
        async with gate:
            return await sidecar(port, number)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(count)]
    return [task.result() for task in tasks]


def _all_have(clients: list[Sidecar], type_url: str, since: float) -> bool:
    return all(one.got.get(type_url, 0) > since for one in clients)


async def pushes(
    what: str,
    clients: list[Sidecar],
    pid: int,
    rounds: int,
    type_url: str,
    edit: Callable[[int], None],
) -> float:
    """p99 of the time from an edit to its arrival."""
    delays: list[float] = []
    before = spent(pid)
    for number in range(1, rounds + 1):
        began = time.perf_counter()
        edit(number)
        await until(partial(_all_have, clients, type_url, began))
        delays += [one.got[type_url] - began for one in clients]
        await asyncio.sleep(0.3)  # types that follow
    size = clients[0].sizes[type_url]
    return say(what, delays, (spent(pid) - before) / rounds, f"{size} bytes each")


async def ours(home: Path, stack: ExitStack, count: int, rounds: int) -> tuple[float, int]:
    config = home / "config"
    config.mkdir()
    for number in range(SERVICES):
        put(config, f"s{number}", service(number))
    put(config, "v", routing(1))
    flags = ["--grpcAddr=127.0.0.1:0", "--secureGRPCAddr=", "--httpAddr=", "--monitoringAddr="]
    argv = [sys.executable, "-m", "upstream.cli", "discovery", "--registries=", *flags]
    argv += [f"--configDir={config}", f"--state-dir={home}/state", f"--meshConfig={home}/none"]
    argv += ["--log_output_level=default:error"]
    more = {"PILOT_MAX_REQUESTS_PER_SECOND": "100000", "PILOT_DEBOUNCE_AFTER": "10ms"}
    process = subprocess.Popen(argv, env={**os.environ, **more, "ROOT_CA_DIR": f"{home}/none"})
    stack.callback(process.wait, 20)
    stack.callback(process.terminate)
    await until(lambda: bool(addresses.read(f"{home}/state")))
    empty = memory(process.pid)
    began, cpu = time.perf_counter(), spent(process.pid)
    port = addresses.read(f"{home}/state")["grpc"].port
    async with asyncio.TaskGroup() as group:
        clients = await swarm(port, count)
        reading = [group.create_task(one.read()) for one in clients]
        await until(lambda: all(len(one.got) == 4 for one in clients))
        took, cpu = time.perf_counter() - began, spent(process.pid) - cpu
        print(f"{count} sidecars have all they asked for after {took:.1f} s, CPU {cpu:.1f} s")
        await asyncio.sleep(0.5)
        p99 = await pushes(
            "endpoints of one service (EDS)",
            clients,
            process.pid,
            rounds,
            EDS,
            lambda n: put(config, "s0", service(0, n)),
        )
        await pushes(
            "VirtualService (RDS)",
            clients,
            process.pid,
            rounds,
            RDS,
            lambda n: put(config, "v", routing(1 + n)),
        )
        used = memory(process.pid)
        print(
            f"memory {empty:.0f} MiB without sidecars, {used:.0f} with: "
            f"{(used - empty) * 1024 / count:.0f} KiB each"
        )
        size = clients[0].sizes[EDS]
        for task in reading:
            task.cancel()
        for one in clients:
            await one.close()
    return p99, size


async def yardstick(stack: ExitStack, count: int, rounds: int, size: int) -> float:
    argv = [sys.executable, "-m", "bench.upstream_grpcaio"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    stack.callback(process.wait, 20)
    stack.callback(process.kill)
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise RuntimeError("BUG: pipes were asked for")
    stack.callback(stdout.close)
    stack.callback(stdin.close)
    port = int(await asyncio.to_thread(stdout.readline))
    empty = memory(process.pid)
    delays: list[float] = []
    async with asyncio.TaskGroup() as group:
        clients = await swarm(port, count)
        came: list[float] = []

        async def read(one: Sidecar) -> None:
            while await one._call.receive() is not None:
                came.append(time.perf_counter())

        reading = [group.create_task(read(one)) for one in clients]
        await asyncio.sleep(1.0)
        before = spent(process.pid)
        for _ in range(rounds):
            came.clear()
            began = time.perf_counter()
            stdin.write(f"{size}\n".encode())
            stdin.flush()
            await until(lambda: len(came) == count)
            delays += [moment - began for moment in came]
        p99 = say(
            "grpc.aio, bytes that it has",
            delays,
            (spent(process.pid) - before) / rounds,
            f"{size} bytes each",
        )
        used = memory(process.pid)
        print(
            f"memory {empty:.0f} MiB, {used:.0f} with streams: {(used - empty) * 1024 / count:.0f} KiB each"
        )
        for task in reading:
            task.cancel()
        for one in clients:
            await one.close()
    return p99


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 sidecars instead of 1,000")
    quick = parser.parse_args().quick
    count, rounds = (200, 3) if quick else (1000, 5)
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        mine, size = await ours(Path(home), stack, count, rounds)
        theirs = await yardstick(stack, count, rounds, size)
    ratio = mine / theirs
    met = "met" if ratio <= TARGET else "missed"
    print(f"p99 of an endpoint push, ratio to grpc.aio: {ratio:.2f} (target {TARGET}: {met})")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
