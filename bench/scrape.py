# SPDX-License-Identifier: Apache-2.0
"""A merged scrape of 5 and 50 MiB of Envoy's text and an application's, through the whole status server.

Beside it, in turns: the same text fetched without anybody between, and (with a Go toolchain) a merger of net/http and
io.Copy, which is how pilot-agent joins the texts. Ours joins in three ways: ``concatenate``; ``auto`` where no family
is shared; ``auto`` where two are, so that they have to be regrouped. Each is a process of its own, so that its memory
shows.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.measured import cpu_seconds, memory
from tests.support.golang import build

MIB = 1024 * 1024
SIZES = (5, 50)
TARGET = 0.7
"""Of the time that Go's merger takes."""
DIRECT, GO = "direct", "Go io.Copy"
OURS = {
    "concatenate": ("/app", "concatenate"),
    "auto, nothing shared": ("/app", "auto"),
    "auto, two families shared": ("/colliding", "auto"),
}


@dataclass(slots=True)
class Way:
    """A process that answers scrapes."""

    name: str
    port: int
    pid: int
    idle: float = 0.0
    took: dict[int, list[float]] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)
    grown: dict[int, float] = field(default_factory=dict)

    def scrape(self, size: int) -> None:
        before = cpu_seconds(self.pid)
        began = time.perf_counter()
        received = fetch(self.port, f"/stats/prometheus?mib={size}")
        self.took.setdefault(size, []).append(time.perf_counter() - began)
        self.cpu[size] = self.cpu.get(size, 0.0) + cpu_seconds(self.pid) - before
        if received < size * MIB:
            raise RuntimeError(f"{self.name}: {received} bytes of {size} MiB came")
        self.grown[size] = memory(self.pid, "VmHWM") - self.idle


def fetch(port: int, path: str) -> int:
    """Bytes of the answer, read as fast as they come and thrown away."""
    buffer, received = bytearray(MIB), 0
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        connection.sendall(f"{head}accept: text/plain;version=0.0.4\r\n\r\n".encode())
        while size := connection.recv_into(buffer):
            received += size
    return received


@contextmanager
def started(name: str, *argv: str) -> Iterator[Way]:
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            while not (line := process.stdout.readline().strip()).isdigit():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} did not start")  # the lines before are its log
            yield Way(name, int(line), process.pid)
        finally:
            process.kill()


def report(ways: list[Way]) -> None:
    yardstick = next((one for one in ways if one.name == GO), ways[0])
    for size in SIZES:
        print(f"{size} MiB:")
        base = statistics.median(yardstick.took[size])
        for one in ways:
            middle, worst = statistics.median(one.took[size]), max(one.took[size])
            scrapes = len(one.took[size])
            words = f"  {one.name:28} {middle * 1e3:7.1f} ms (worst {worst * 1e3:.0f})"
            words += f", {middle / base:.2f} of {yardstick.name}"
            if one.name != DIRECT:
                words += f", CPU {one.cpu[size] / scrapes * 1e3:.0f} ms"
                words += f", at its peak {one.grown[size]:.1f} MiB above idle ({one.idle:.0f})"
            if one.name in OURS and yardstick.name == GO:
                words += f": {'met' if middle <= TARGET * base else 'MISSED'} ({TARGET})"
            print(words)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer scrapes, for a look")
    rounds = 3 if parser.parse_args().quick else 15
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)
    python = (sys.executable, "-m")
    with ExitStack() as stack:
        sizes = map(str, SIZES)
        source = stack.enter_context(started(DIRECT, *python, "bench.scrape_source", *sizes))
        ways = [source]
        if shutil.which("go"):
            urls = [
                f"http://127.0.0.1:{source.port}{path}" for path in ("/stats/prometheus", "/app")
            ]
            ways.append(stack.enter_context(started(GO, str(build("gomerge")), *urls)))
        else:
            print("no Go toolchain: compared with the direct way only")
        for name, (application, how) in OURS.items():
            argv = (*python, "bench.scrape_ours", str(source.port), application, how)
            ways.append(stack.enter_context(started(name, *argv)))
        for one in ways:
            fetch(one.port, "/stats/prometheus?mib=5")
            one.idle = memory(one.pid)
        for size in SIZES:
            for _ in range(rounds):
                for one in ways:
                    one.scrape(size)
        report(ways)
    return 0


if __name__ == "__main__":
    sys.exit(main())
