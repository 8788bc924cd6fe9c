# SPDX-License-Identifier: Apache-2.0
"""A sidecar's start, from exec: sockets listening, first secret served, ready; and its memory, agent and whole tree.

A control plane of ours stands on loopback, Envoy is the real one. The yardstick is an interpreter that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from bootstrap.inputs import BootstrapInputs
from ctl.demo.cluster import Cluster
from ctl.demo.processes import Program, Programs
from mesh.paths import WORKLOAD_SOCKET_DIR, WORKLOAD_SOCKET_NAME
from wire import types
from wire.h2io import connect
from wire.proto.discovery_pb2 import DiscoveryRequest

XDS = "etc/istio/proxy/XDS"
SDS_METHOD = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
BOOTSTRAP_TARGET = 1.5
MILESTONES = ("sockets", "first secret", "ready")


async def until_listening(*paths: Path) -> None:
    """A socket's file is there a moment before anybody listens at it."""
    for path in paths:
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))
                break
            await asyncio.sleep(0.002)


async def first_secret(path: Path) -> None:
    connection = await connect(f"unix:{path}")
    try:
        call = connection.open(SDS_METHOD)
        request = DiscoveryRequest(type_url=types.SECRET, resource_names=["default"])
        request.node.id = "sidecar~127.0.0.1~bench.demo~demo.svc.cluster.local"
        call.send_nowait(request.SerializeToString())
        if await call.receive() is None:
            raise RuntimeError("the stream ended without a secret")
        call.cancel()
    finally:
        await connection.close()


async def one_start(cluster: Cluster, number: int) -> tuple[dict[str, float], dict[str, float]]:
    workload = cluster.workloads[0]
    home = cluster.directory / f"start-{number}"
    cluster._provision(workload, home)
    begin = time.perf_counter()
    agent = cluster._start_agent(workload, home)
    took: dict[str, float] = {}
    sds = home / WORKLOAD_SOCKET_DIR / WORKLOAD_SOCKET_NAME
    async with asyncio.timeout(60):
        await until_listening(sds, home / XDS)
        took["sockets"] = time.perf_counter() - begin
        await first_secret(sds)
        took["first secret"] = time.perf_counter() - begin
        while not await cluster.ready(workload):
            await asyncio.sleep(0.01)
        took["ready"] = time.perf_counter() - begin
    await asyncio.sleep(1)
    memory = measured(agent)
    agent.terminate()
    await asyncio.to_thread(agent.wait, 30)
    return took, memory


def measured(agent: Program) -> dict[str, float]:
    """MiB: resident set of the agent; proportional set of it and its children."""
    process = psutil.Process(agent.pid)
    tree = [process, *process.children(recursive=True)]
    return {
        "agent RSS": process.memory_info().rss / 2**20,
        "tree PSS": sum(one.memory_full_info().pss for one in tree) / 2**20,
    }


def bare_interpreter() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - begin


def bootstrap_child(directory: Path) -> float:
    """The program that writes Envoy's first configuration, whole."""
    inputs = BootstrapInputs(
        node_id="sidecar~127.0.0.1~bench.demo~demo.svc.cluster.local",
        cluster="bench.demo",
        output=str(directory / "envoy-rev.json"),
        proxy_config={"proxyAdminPort": 15000, "statusPort": 15020},
        instance_ips=("127.0.0.1",),
    )
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-P", "-m", "bootstrap"],
        input=inputs.to_json(),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - begin


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    rounds = 2 if parser.parse_args().quick else 7
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pilothouse-")))
        (folder / "logs").mkdir()
        programs = stack.enter_context(Programs(folder / "logs"))
        cluster = Cluster(folder, folder / "identity", "", programs)
        try:
            cluster.write_config()
            await cluster.start_upstream()
            results = [await one_start(cluster, number) for number in range(rounds)]
        finally:
            await cluster.close()
        child = statistics.median(bootstrap_child(folder) for _ in range(rounds))
    bare = statistics.median(bare_interpreter() for _ in range(rounds))
    print(f"python -c pass: {bare * 1e3:.0f} ms")
    verdict = "met" if child <= BOOTSTRAP_TARGET else "missed"
    print(f"bootstrap child: {child * 1e3:.0f} ms (target {BOOTSTRAP_TARGET:g} s: {verdict})")
    for milestone in MILESTONES:
        seconds = statistics.median(took[milestone] for took, _ in results)
        print(
            f"exec to {milestone}: {seconds * 1e3:.0f} ms ({seconds / bare:.0f} x python -c pass)"
        )
    for name in results[0][1]:
        print(f"{name}: {statistics.median(memory[name] for _, memory in results):.1f} MiB")


if __name__ == "__main__":
    asyncio.run(main())
