# SPDX-License-Identifier: Apache-2.0
"""Our secret service alone: ``python -m bench.sds_ours FOLDER``; each line on standard input is a new secret."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mesh.clock import SystemClock
from mesh.identity import Identity
from sdsserver.metrics import Metrics
from sdsserver.options import SecretOptions
from sdsserver.secret import Secret
from sdsserver.service import SdsService

ME = Identity(trust_domain="cluster.local", namespace="bench", service_account="demo")


async def main(folder: Path) -> None:
    chain, key = (folder / "cert-chain.pem").read_bytes(), (folder / "key.pem").read_bytes()

    async def generate(name: str) -> Secret:
        return Secret(name, chain=chain, key=key)

    options = SecretOptions(identity=ME, ca=None, socket_dir=str(folder), crl="")
    service = SdsService(options, generate, SystemClock(), Metrics())
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(service.run(), name="service")
        await service.ready.wait()
        print(f"ready {options.socket}", flush=True)
        async for _ in orders:
            service.on_update("default")
        serving.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
