# SPDX-License-Identifier: Apache-2.0
"""A ``wire.h2io`` server in a process of its own, so that its memory can be looked at while it is attacked.

As a program (``python -m tests.support.h2victim LIMITS [CHAIN KEY]``, limits as JSON) it serves until its input ends;
the first line of its output is the port.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.needs import REPO
from wire.h2io import Keepalive, Limits, Server, ServerCall
from wire.h2io.tls import server_context

MIB = 1024 * 1024
PIECE = bytes(64 * 1024)


async def one(call: ServerCall) -> None:
    """``/s/One``: what it gets, once."""
    await call.send(await call.receive() or b"")


async def pour(call: ServerCall) -> None:
    """``/s/Pour``: more and more, as fast as it is taken."""
    while True:
        await call.send(PIECE)


async def big(call: ServerCall) -> None:
    """``/s/Big``: one message of as many MiB as asked for."""
    size = int((await call.receive() or b"1").decode())
    await call.send(bytes(size * MIB))


async def lazy(call: ServerCall) -> None:
    """``/s/Lazy``: takes nothing, gives nothing."""
    await asyncio.Event().wait()


async def swallow(call: ServerCall) -> None:
    """``/s/Swallow``: takes all, and tells the number of bytes."""
    size = 0
    async for message in call:
        size += len(message)
    await call.send(str(size).encode())


async def settle(call: ServerCall) -> None:
    """``/s/Settle``: throws away what nobody holds any more."""
    gc.collect()
    await call.send(b"")


ROUTES = {
    "/s/One": one,
    "/s/Pour": pour,
    "/s/Big": big,
    "/s/Lazy": lazy,
    "/s/Swallow": swallow,
    "/s/Settle": settle,
}


async def main(limits: Limits, pair: list[str]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tls = (
        server_context(chain=Path(pair[0]).read_bytes(), key=Path(pair[1]).read_bytes())
        if pair
        else None
    )
    server = Server(
        ROUTES, limits=limits, keepalive=Keepalive(interval=1.0, timeout=1.0) if pair else None
    )
    port = await server.bind_tcp("127.0.0.1", 0, tls=tls)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve())
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        serving.cancel()


@dataclass(frozen=True, slots=True)
class Victim:
    """The process, and where it listens."""

    pid: int
    port: int

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def memory(self, field: str = "VmRSS") -> float:
        """In MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"BUG: no {field}")

    @contextmanager
    def growth_below(self, most: float) -> Iterator[None]:
        """Its peak may not rise by more than ``most`` MiB in the block."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # the peak begins anew
        before = self.memory()
        yield
        grown = self.memory("VmHWM") - before
        assert grown < most, f"grew by {grown:.1f} MiB, and {most} MiB are allowed"


@contextmanager
def victim(limits: dict[str, float], pair: tuple[Path, Path] | None = None) -> Iterator[Victim]:
    words = [sys.executable, "-m", "tests.support.h2victim", json.dumps(limits)]
    with subprocess.Popen(
        [*words, *map(str, pair or ())],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        drained = threading.Thread(target=process.stdout.read)  # its log
        drained.start()
        try:
            yield Victim(process.pid, port)
            assert process.poll() is None, "the victim died"
        finally:
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            drained.join()


if __name__ == "__main__":
    asyncio.run(main(Limits(**json.loads(sys.argv[1])), sys.argv[2:]))
