# SPDX-License-Identifier: Apache-2.0
"""What the relay costs: ours, a relay on grpc.aio, and no relay at all, side by side in one run.

Latency: one request, one response of a size, in turns over all three. Rate: bursts of 1 KB messages.
Memory: resident set before the series, after the 5 MB series, after the 50 MB pushes. Figures of
one run may be compared with each other only: machines are noisy.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.measured import cpu_seconds, memory
from wire import types
from wire.h2io import ClientCall, Code, Connection, Limits, RpcError, Status, connect
from wire.proto.discovery_pb2 import DeltaDiscoveryRequest

HERE = Path(__file__).parent
KIB, MIB = 1024, 1024 * 1024


@dataclass(slots=True)
class Way:
    """One way from the driver to the source."""

    name: str
    process: asyncio.subprocess.Process | None
    connection: Connection
    call: ClientCall
    latencies: dict[int, list[float]] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)


class Drain:
    """Counts messages without keeping them, so that the driver costs as little as it can."""

    def __init__(self) -> None:
        self.wanted = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def expect(self, count: int) -> asyncio.Future[None]:
        self.wanted = count
        self.done = asyncio.get_running_loop().create_future()
        return self.done

    def on_data(self, pieces: object, offset: int, length: int) -> None:
        if offset + sum(map(len, pieces)) == length:  # type: ignore[call-overload]  # a sequence of views
            self.wanted -= 1
            if self.wanted == 0 and not self.done.done():
                self.done.set_result(None)

    def on_end(self, status: Status | None) -> None:
        if not self.done.done():
            self.done.set_exception(RpcError(status or Status(Code.UNAVAILABLE, "ended")))

    def on_writable(self) -> None:
        pass


def resident(process: asyncio.subprocess.Process | None) -> float:
    return memory(process.pid) if process else 0.0


def used(process: asyncio.subprocess.Process | None) -> float:
    return cpu_seconds(process.pid) if process else 0.0


@asynccontextmanager
async def program(name: str, *argv: str) -> AsyncIterator[asyncio.subprocess.Process]:
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"bench.{name}", *argv, stdout=asyncio.subprocess.PIPE, env=env
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def open_path(
    stack: AsyncExitStack, name: str, script: str, upstream: str, folder: str
) -> Way:
    process, target = None, upstream
    if script:
        socket = f"{folder}/{name}"
        process = await stack.enter_async_context(program(script, upstream, socket))
        async with asyncio.timeout(20):
            while not Path(socket).exists():
                await asyncio.sleep(0.02)
        target = f"unix:{socket}"
    connection = await connect(target, limits=Limits(max_message=0))
    stack.push_async_callback(connection.close)
    call = connection.open(types.DELTA_AGGREGATED)
    return Way(name, process, connection, call)


def request(text: str) -> bytes:
    return DeltaDiscoveryRequest(
        type_url=types.CLUSTER, resource_names_subscribe=[text]
    ).SerializeToString()


ACK = DeltaDiscoveryRequest(type_url=types.CLUSTER, response_nonce="n").SerializeToString()


async def ask(path: Way, drain: Drain, text: str, count: int) -> float:
    done = drain.expect(count)
    begin = time.perf_counter()
    path.call.send_nowait(request(text))
    async with asyncio.timeout(120):
        await done
    took = time.perf_counter() - begin
    path.call.send_nowait(ACK)  # as Envoy does: a relay may keep a response until then
    return took


async def measure(paths: list[Way], plan: dict[int, int], burst: int, rounds: int) -> None:
    drains = {path.name: Drain() for path in paths}
    for path in paths:
        path.call.attach(drains[path.name])
        for _ in range(20):
            await ask(path, drains[path.name], "1024", 1)
        path.memory["idle"] = resident(path.process)
    for size, count in plan.items():
        for _ in range(rounds):
            for path in paths:
                before = used(path.process)
                for _ in range(max(1, count // rounds)):
                    took = await ask(path, drains[path.name], str(size), 1)
                    path.latencies.setdefault(size, []).append(took)
                path.cpu[size] = path.cpu.get(size, 0.0) + used(path.process) - before
        if size >= 5 * MIB:
            for path in paths:
                path.memory[f"after {size // MIB} MiB"] = resident(path.process)
    for _ in range(rounds):
        for path in paths:
            took = await ask(path, drains[path.name], f"burst:{burst}:1024", burst)
            path.rates.append(burst / took)


def p(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def report(paths: list[Way]) -> None:
    by_name = {path.name: path for path in paths}
    ours, yardstick = by_name["ours"], by_name["grpc.aio"]
    for size in ours.latencies:
        label = f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"
        cells = ", ".join(
            f"{path.name} p50 {p(path.latencies[size], 0.5) * 1e3:.3f} p99 {p(path.latencies[size], 0.99) * 1e3:.3f} ms"
            for path in paths
        )
        pushes = len(ours.latencies[size])
        print(
            f"{label:>8}: {cells}; CPU a push: ours {ours.cpu[size] / pushes * 1e3:.2f} ms, "
            f"grpc.aio {yardstick.cpu[size] / pushes * 1e3:.2f} ms"
        )
    rates = ", ".join(f"{path.name} {statistics.median(path.rates):,.0f}/s" for path in paths)
    print(f"1 KiB messages in bursts: {rates}")
    for path in paths:
        if path.process is not None:
            cells = ", ".join(f"{when} {mib:.1f} MiB" for when, mib in path.memory.items())
            print(f"RSS {path.name}: {cells}")
    print("targets, as ratios of the same run (higher is better):")
    target(
        "1 KiB p50, grpc.aio / ours",
        p(yardstick.latencies[KIB], 0.5) / p(ours.latencies[KIB], 0.5),
        1.5,
    )
    target(
        "message rate, ours / grpc.aio",
        statistics.median(ours.rates) / statistics.median(yardstick.rates),
        5,
    )
    size = 5 * MIB
    target(
        "5 MiB p50, grpc.aio / ours",
        p(yardstick.latencies[size], 0.5) / p(ours.latencies[size], 0.5),
        2,
    )


def target(what: str, ratio: float, wanted: float) -> None:
    print(f"  {what}: {ratio:.2f} (target {wanted:g}): {'met' if ratio >= wanted else 'MISSED'}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer pushes, for a look")
    args = parser.parse_args()
    scale = 10 if args.quick else 1
    plan = {KIB: 5000 // scale, 5 * MIB: 100 // scale, 50 * MIB: 10 // min(scale, 2)}
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        source = await stack.enter_async_context(program("source"))
        assert source.stdout is not None
        upstream = f"127.0.0.1:{int(await source.stdout.readline())}"
        paths = [
            await open_path(stack, "direct", "", upstream, folder),
            await open_path(stack, "ours", "relay_ours", upstream, folder),
            await open_path(stack, "grpc.aio", "relay_grpcaio", upstream, folder),
        ]
        await measure(paths, plan, 20_000 // scale, args.rounds)
        report(paths)


if __name__ == "__main__":
    asyncio.run(main())
