# SPDX-License-Identifier: Apache-2.0
"""A secret part and its CA in a process whose wall clock a test moves: run under libfaketime, started by ``clock_moves``.

    python -m tests.support.faked_machine FOLDER MOVE...

writes each move (``+365d``) to the file that libfaketime reads, waits until another certificate is served that is valid
by the moved clock, and prints what that took as one JSON line. The CA lives in the same time and began two years before.
"""

from __future__ import annotations

import asyncio
import glob
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.needs import REPO

LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")
DEADLINE = 60.0
_YEARS = 6 * 365 * 86400.0


def clock_moves(folder: Path) -> dict[str, str]:
    """The environment of such a process."""
    clock = folder / "clock"
    clock.write_text("-730d\n")
    return {
        **os.environ,
        "LD_PRELOAD": LIBRARY,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(REPO),
    }


async def main(folder: Path, moves: Sequence[str]) -> None:
    from mesh.clock import SystemClock
    from mesh.identity import Identity
    from sdsserver import build_sds
    from sdsserver.options import CaOptions, CertFiles, KeyOptions, SecretOptions
    from tests.support.fakeca import SERVER_NAME, FakeCa
    from tests.support.testca import CA

    fake = FakeCa(ca=CA(lifetime=_YEARS))
    server = fake.ca.issue(SERVER_NAME, lifetime=_YEARS)
    (folder / "root.pem").write_bytes(fake.ca.certificate)
    (folder / "clock").write_text("+0\n")
    async with fake.serve(tls=server, optional_client=True), asyncio.TaskGroup() as group:
        ca = CaOptions(
            address=fake.address,
            roots=str(folder / "root.pem"),
            server_name=SERVER_NAME,
            token="",
        )
        options = SecretOptions(
            identity=Identity(trust_domain="t", namespace="n", service_account="s"),
            ca=ca,
            socket_dir=str(folder),
            well_known=CertFiles.in_dir(str(folder / "none")),
            key=KeyOptions(ec_algorithm="ECDSA"),
            crl="",
        )
        part = build_sds(options, SystemClock())
        task = group.create_task(part.run())
        await _print_next(part, "start", "")
        for move in moves:
            before = str(part.status()["serial"])
            (folder / "clock").write_text(f"{move}\n")
            await _print_next(part, move, before)
        task.cancel()


async def _print_next(part: Any, move: str, before: str) -> None:
    began = time.monotonic()
    async with asyncio.timeout(DEADLINE):
        while (status := part.status())["serial"] in {"", before}:
            await asyncio.sleep(0.02)
    row = {
        "move": move,
        "seconds": round(time.monotonic() - began, 2),
        "now": time.time(),
        "issued": status["issued"],
        "expires": status["expires"],
    }
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    import mesh.log

    mesh.log.configure(stream=sys.stderr)
    with suppress(BrokenPipeError):
        asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
