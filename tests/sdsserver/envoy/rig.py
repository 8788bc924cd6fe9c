# SPDX-License-Identifier: Apache-2.0
"""A whole agent and its Envoy, with listeners behind mutual TLS, an application behind them, and a control plane."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.fakeca import FakeCa
from tests.support.load import upstream
from tests.support.meshed import cluster, listener, tcp_listener
from tests.support.mtls_envoy import MtlsEnvoy, by_sds, echo, inline, secured
from tests.support.sidecar import Sidecar, sidecar
from tests.support.testca import Leaf
from wire import types

ME = "spiffe://cluster.local/ns/shop/sa/default"
LOOPBACK = "127.0.0.1"


class Rig:
    """A sidecar, not started yet, and what its listeners show."""

    def __init__(self, made: Sidecar) -> None:
        self.made = made
        self.envoy = MtlsEnvoy(made.inbound, made.outbound, f"{LOOPBACK}:{made.admin}")

    def start(self, flags: Sequence[str] = (), **variables: str) -> None:
        self.made.start(flags=flags, FILE_MOUNTED_CERTS="", SERVICE_ACCOUNT="default", **variables)

    def start_with(self, fake: FakeCa, flags: Sequence[str] = (), **variables: str) -> None:
        """``fake`` is the CA."""
        root = self.made.directory / "ca.pem"
        root.write_bytes(fake.ca.certificate)
        self.start(
            flags,
            CA_ADDR=fake.address,
            CA_ROOT_CA=str(root),
            ECC_SIGNATURE_ALGORITHM="ECDSA",
            **variables,
        )

    def secure(self, leaf: Leaf | None = None) -> None:
        """Listeners with secrets by SDS, or with ``leaf`` for good."""
        common = inline(leaf) if leaf else by_sds()
        plain = {
            "in": listener("in", self.made.inbound, "app", inbound=True),
            "out": tcp_listener("out", self.made.outbound, "echo"),
        }
        self.made.ads.resources[types.LISTENER] = {
            name: secured(each, common) for name, each in plain.items()
        }

    async def push(self) -> None:
        self.made.ads.version += "."
        await self.made.ads.push(types.LISTENER)

    async def gauge(self, name: str) -> float | None:
        _, text = await self.made.ask("/stats/prometheus")
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else None


@asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[Rig]:
    async with (
        asyncio.timeout(240),
        upstream() as app,
        echo() as tcp,
        sidecar(folder / "pod", {"app": app}) as made,
    ):
        made.ads.resources[types.CLUSTER]["echo"] = cluster("echo", tcp)
        found = Rig(made)
        found.secure()
        yield found
