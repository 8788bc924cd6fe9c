# SPDX-License-Identifier: Apache-2.0
"""Our relay in a process of its own: ``relay_ours.py UPSTREAM SOCKET``. The store is on, beside the socket."""

from __future__ import annotations

import asyncio
import sys

from agent.xds.options import StoreOptions, XdsOptions
from agent.xds.proxy import XdsProxy
from mesh.clock import SystemClock


async def main(upstream: str, socket: str) -> None:
    options = XdsOptions(
        socket=socket, upstream=upstream, tls=False, store=StoreOptions(directory=f"{socket}.state")
    )
    await XdsProxy(options, SystemClock()).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
