# SPDX-License-Identifier: Apache-2.0
"""The HTTP/2 layer alone: ours to ours, grpc.aio to grpc.aio, grpc-go to grpc-go, in turns, each end a process apart.

Round trips one after the other (latency) and sixteen at a time (rate), server streams by size (messages and bytes a
second, CPU of both ends), over unix, TCP and TLS 1.3; memory after messages of 50 MiB. All programs echo or make the
same bytes, hold whole messages, and run with their own default windows; ours also takes streams in pieces, as the relay
does. ``--profile`` shows where our own time goes.
grpc-go needs a Go toolchain and is left out without one.
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.measured import cpu_seconds, memory
from tests.support.golang import build
from tests.support.testca import CA

KIB, MIB = 1024, 1024 * 1024
OURS, PIECES, AIO, GO = "ours", "ours in pieces", "grpc.aio", "grpc-go"
TRANSPORTS = ("unix", "tcp", "tls")
PULLED = (16, KIB, 64 * KIB, MIB, 5 * MIB, 50 * MIB)
ECHOED = (16, KIB, 64 * KIB, MIB)
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the report."""

    transport: str
    mode: str
    size: int
    count: int
    calls: int = 1


@dataclass(slots=True)
class Figures:
    """What all rounds of one cell gave for one program."""

    rate: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    client_cpu: float = 0.0
    server_cpu: float = 0.0
    bytes: int = 0
    client_peak: float = 0.0


@dataclass(slots=True)
class Way:
    """A program as server, started, and how its client is called."""

    name: str
    argv: list[str]
    server: subprocess.Popen[str]
    target: str
    tls: list[str]

    def run(self, cell: Cell) -> tuple[dict[str, Any], float]:
        """The client's figures, and its peak of memory in MiB."""
        asked = [f"-mode={cell.mode}", f"-size={cell.size}", f"-count={cell.count}"]
        argv = [*self.argv, "bench", f"-target={self.target}", *self.tls, *asked]
        with subprocess.Popen(
            [*argv, f"-calls={cell.calls}"], stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdout is not None
            said = client.stdout.read()
            _, status, used = os.wait4(client.pid, 0)
            client.returncode = os.waitstatus_to_exitcode(status)
        if client.returncode != 0:
            raise RuntimeError(f"{self.name} failed: {argv}")
        return json.loads(said), used.ru_maxrss / KIB


def programs() -> dict[str, list[str]]:
    found = {
        OURS: [sys.executable, "-m", "bench.wire_ours"],
        PIECES: [sys.executable, "-m", "bench.wire_ours", "-pieces"],
        AIO: [sys.executable, "-m", "bench.wire_grpcaio"],
    }
    if shutil.which("go"):
        found[GO] = [str(build("grpcgo"))]
    else:
        print("no Go toolchain: without grpc-go")
    return found


@contextmanager
def way(name: str, argv: list[str], transport: str, folder: Path) -> Iterator[Way]:
    """Start the server; it ends with its standard input."""
    address = f"unix:{folder}/{name}" if transport == "unix" else "127.0.0.1:0"
    ours, theirs = [], []
    if transport == "tls":
        ours = [f"-chain={folder}/cert-chain.pem", f"-key={folder}/key.pem", "-tls=1.3"]
        theirs = [f"-roots={folder}/root-cert.pem", "-tls=1.3"]
    with subprocess.Popen(
        [*argv, "server", f"-listen={address}", *ours],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        yield Way(name, argv, server, server.stdout.readline().strip(), theirs)
        assert server.stdin is not None
        server.stdin.close()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def plan(transports: Sequence[str], scale: int) -> list[Cell]:
    cells = []
    for transport in transports:
        for size in ECHOED:
            count = max(20, min(3000, 64 * MIB // size) // scale)
            cells.append(Cell(transport, "unary", size, count))
        cells.append(Cell(transport, "unary", KIB, 8000 // scale, AT_ONCE))
        for size in PULLED:
            count = max(4, min(60_000, 500 * MIB // size) // scale)
            cells.append(Cell(transport, "pull", size, count))
    return cells


def measure(
    ways: Sequence[Way], cells: Sequence[Cell], rounds: int
) -> dict[Cell, dict[str, Figures]]:
    found: dict[Cell, dict[str, Figures]] = defaultdict(lambda: defaultdict(Figures))
    for cell in cells:
        for _ in range(rounds):
            for one in ways:
                if one.name == PIECES and cell.mode != "pull":
                    continue
                before = cpu_seconds(one.server.pid)
                said, peak = one.run(cell)
                figures = found[cell][one.name]
                figures.server_cpu += cpu_seconds(one.server.pid) - before
                figures.client_cpu += said["cpu_seconds"]
                figures.rate.append(said["messages"] / said["seconds"])
                figures.bytes += said["bytes"]
                figures.client_peak = max(figures.client_peak, peak)
                if "p50_us" in said:
                    figures.p50.append(said["p50_us"])
                    figures.p99.append(said["p99_us"])
    return found


# ---- the report ----


def label(size: int) -> str:
    if size < KIB:
        return f"{size} B"
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def beside(values: dict[str, float], unit: str, *, lower: bool = False) -> str:
    """All programs' figures; how many times better ours is stands behind each other one."""
    mine = values[OURS]
    cells = [f"ours {mine:,.{2 if mine < 10 else 0}f}{unit}"]
    for name, value in values.items():
        if name != OURS:
            better = (value / mine if lower else mine / value) if mine and value else 0.0
            cells.append(f"{name} {value:,.{2 if value < 10 else 0}f}{unit} ({better:.2f})")
    return " | ".join(cells)


def report(found: dict[Cell, dict[str, Figures]]) -> None:
    print("In brackets: how many times better ours is than that program, in this run.")
    shown = ""
    for cell, by_name in found.items():
        title = f"{cell.transport}, {cell.mode}" + (f", {cell.calls} at once" * (cell.calls > 1))
        if title != shown:
            print(f"-- {title}")
            shown = title
        rate = {name: statistics.median(each.rate) for name, each in by_name.items()}
        if cell.mode == "unary" and cell.calls == 1:
            for what in ("p50", "p99"):
                trips = {n: statistics.median(getattr(each, what)) for n, each in by_name.items()}
                print(f"{label(cell.size):>8}: {what} {beside(trips, ' us', lower=True)}")
            continue
        print(f"{label(cell.size):>8}: {beside(rate, '/s')}")
        if cell.mode == "pull" and cell.size >= 64 * KIB:
            speed = {name: each * cell.size / 1e6 for name, each in rate.items()}
            print(f"          {beside(speed, ' MB/s')}")
        if cell.mode == "pull" and cell.size in {KIB, MIB, 5 * MIB}:
            for side in ("server", "client"):
                cpu = {
                    n: getattr(each, f"{side}_cpu") / each.bytes * 1e9
                    for n, each in by_name.items()
                }
                print(f"          {side} CPU {beside(cpu, ' s/GB', lower=True)}")
        if cell.size == 50 * MIB:
            peak = {name: each.client_peak for name, each in by_name.items()}
            print(f"          client at its peak {beside(peak, ' MiB', lower=True)}")


def report_memory(ways: Sequence[Way], idle: dict[str, float]) -> None:
    for what, words in (("VmHWM", "at its peak"), ("VmRSS", "after all")):
        values = {one.name: memory(one.server.pid, what) for one in ways}
        print(f"  server {words}: {beside(values, ' MiB', lower=True)}")
    print(f"  server before: {beside(idle, ' MiB', lower=True)}")


def one_transport(
    transport: str, folder: Path, found: dict[str, list[str]], args: argparse.Namespace
) -> None:
    cells = plan((transport,), 10 if args.quick else 1)
    with ExitStack() as stack:
        ways = [
            stack.enter_context(way(name, argv, transport, folder)) for name, argv in found.items()
        ]
        idle = {one.name: memory(one.server.pid) for one in ways}
        report(measure(ways, cells, 1 if args.quick else args.rounds))
        report_memory(ways, idle)


# ---- where the time goes ----


def profile(folder: Path) -> None:
    """Our server and client under cProfile: the functions that cost the most, by their own time."""
    module = ["-m", "bench.wire_ours"]
    cells = (
        Cell("unix", "unary", KIB, 3000),
        Cell("unix", "pull", KIB, 60_000),
        Cell("unix", "pull", 5 * MIB, 60),
        Cell("tls", "pull", 5 * MIB, 60),
    )
    for cell in cells:
        stats = {side: folder / f"{side}.stats" for side in ("server", "client")}
        argv = [sys.executable, "-m", "cProfile", "-o"]
        with way(OURS, [*argv, str(stats["server"]), *module], cell.transport, folder) as served:
            served.argv = [*argv, str(stats["client"]), *module]
            served.run(cell)
        for side, file in stats.items():
            print(f"-- {cell.transport}, {cell.mode} of {label(cell.size)}: {side}")
            _top(file)


def _top(file: Path, count: int = 9) -> None:
    rows = pstats.Stats(str(file)).get_stats_profile().func_profiles
    waits = ("epoll", "exec", "compile", "run_forever")
    busy = {n: row for n, row in rows.items() if not any(word in n for word in waits)}
    whole = sum(row.tottime for row in busy.values())
    for name, row in sorted(busy.items(), key=lambda each: -each[1].tottime)[:count]:
        place = Path(row.file_name).name if row.file_name != "~" else "C"
        print(f"  {row.tottime / whole:5.1%} {row.ncalls:>9} calls  {name} ({place})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, for a look")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="only where our time goes")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)
    with tempfile.TemporaryDirectory(prefix="pilothouse-") as name:
        folder = Path(name)
        CA().issue("localhost").write(folder)
        if args.profile:
            profile(folder)
            return 0
        found = programs()
        for transport in TRANSPORTS:
            one_transport(transport, folder, found, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
