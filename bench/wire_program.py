# SPDX-License-Identifier: Apache-2.0
"""The command line and the figures that the programs of ``bench.wire`` share with ``tools/grpcgo``.

server -listen unix:/path|host:port [-chain F -key F -tls 1.3]   prints its address, ends with standard input
bench -target T -mode unary|pull -size N -count N -calls N       prints one JSON line of figures
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

UNARY, PULL = "/bench/Unary", "/bench/Pull"


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for, of either command."""

    command: str
    address: str
    chain: bytes
    key: bytes
    roots: bytes
    mode: str
    size: int
    count: int
    calls: int
    pieces: bool
    """Ours: take messages in pieces, as the relay does."""


class Client(ABC):
    """A connection of one kind."""

    @abstractmethod
    async def unary(self, message: bytes) -> int:
        """One message there and back: its size."""

    @abstractmethod
    async def pull(self, count: int, size: int) -> int:
        """A call that ``count`` messages of ``size`` bytes answer: how many came."""


def parse() -> Options:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=("server", "bench"))
    parser.add_argument("-listen", "-target", dest="address", required=True)
    for name in ("chain", "key", "roots"):
        parser.add_argument(f"-{name}", default="")
    parser.add_argument("-tls", default="")
    parser.add_argument("-server-name", default="localhost")
    parser.add_argument("-mode", choices=("unary", "pull"), default="unary")
    parser.add_argument("-size", type=int, default=1024)
    parser.add_argument("-count", type=int, default=1000)
    parser.add_argument("-calls", type=int, default=1)
    parser.add_argument("-pieces", action="store_true")
    found = parser.parse_args()
    chain, key, roots = (
        Path(path).read_bytes() if path else b"" for path in (found.chain, found.key, found.roots)
    )
    return Options(
        found.command,
        found.address,
        chain,
        key,
        roots,
        found.mode,
        found.size,
        found.count,
        found.calls,
        found.pieces,
    )


async def measure(client: Client, options: Options) -> None:
    """Print the figures of one run, as grpcgo does."""
    await client.unary(b"warm")
    share = options.count // options.calls
    run = _unary if options.mode == "unary" else _pull
    began, burnt = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(client, share, options.size)) for _ in range(options.calls)]
    seconds, cpu = time.perf_counter() - began, time.process_time() - burnt
    trips = sorted(trip for task in tasks for trip in task.result())
    figures = {
        "mode": options.mode,
        "messages": share * options.calls,
        "bytes": share * options.calls * options.size,
        "seconds": seconds,
        "cpu_seconds": cpu,
    }
    if trips:
        figures["p50_us"] = trips[len(trips) // 2] * 1e6
        figures["p99_us"] = trips[len(trips) * 99 // 100] * 1e6
    print(json.dumps(figures), flush=True)


async def _unary(client: Client, count: int, size: int) -> list[float]:
    message, trips = bytes(size), []
    for _ in range(count):
        began = time.perf_counter()
        if await client.unary(message) != size:
            raise RuntimeError("another message came back")
        trips.append(time.perf_counter() - began)
    return trips


async def _pull(client: Client, count: int, size: int) -> list[float]:
    if await client.pull(count, size) != count:
        raise RuntimeError("messages are missing")
    return []


def pull_request(count: int, size: int) -> bytes:
    return f"{count} {size}".encode()


def parse_pull(message: bytes) -> tuple[int, int]:
    count, size = message.split()
    return int(count), int(size)


async def input_ended() -> None:
    """Until whoever started us goes."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
