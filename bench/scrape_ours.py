# SPDX-License-Identifier: Apache-2.0
"""Our status server for ``bench.scrape``: ``SOURCE_PORT APPLICATION_PATH PILOT_METRICS_MERGE``. Prints its port."""

from __future__ import annotations

import asyncio
import sys

from agent.status.options import StatusOptions
from agent.status.prometheus import Collisions, ScrapeOptions, ScrapeTarget
from tests.support.status import status_server


async def main(source: str, application: str, collisions: str) -> None:
    scrape = ScrapeOptions(
        envoy_port=int(source),
        targets=(ScrapeTarget(source, application),),
        collisions=Collisions(collisions),
    )
    async with status_server(StatusOptions(scrape=scrape)) as rig:
        print(rig.port, flush=True)
        await asyncio.Event().wait()  # no deadline: ended by who started it


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
