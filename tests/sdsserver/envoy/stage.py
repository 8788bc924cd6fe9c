# SPDX-License-Identifier: Apache-2.0
"""What the scenarios share: a CA, the secret part that asks it, an Envoy that asks the part, an application behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.clock import SystemClock
from mesh.identity import Identity
from sdsserver import SdsPart, build_sds
from sdsserver.options import CaOptions, CertFiles, KeyOptions, SecretOptions
from tests.support import load
from tests.support.fakeca import SERVER_NAME, FakeCa
from tests.support.mtls_envoy import App, MtlsEnvoy, MtlsLoad, bootstrap, echo, mtls_envoy
from tests.support.testca import CA
from wire.proto.istio_pb2 import PushedProxyConfig

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")
CLIENT = "spiffe://cluster.local/ns/a/sa/client"
PATIENCE = 60.0


@dataclass(slots=True)
class Stage:
    """Everything runs; scenarios change the CA, its token, and what is trusted."""

    folder: Path
    fake: FakeCa
    part: SdsPart
    envoy: MtlsEnvoy

    @property
    def token(self) -> Path:
        return self.folder / "token"

    def load(self, ca: CA, *, roots: bytes = b"") -> MtlsLoad:
        """A client with a certificate of ``ca``, which trusts ``roots`` (by default ``ca`` alone)."""
        return MtlsLoad(self.envoy, ca.issue(CLIENT), roots)

    def push_anchors(self, *roots: CA) -> None:
        push_anchors(self.part, *roots)

    async def until_served_by(self, ca: CA) -> None:
        """A client that trusts ``ca`` alone is content with Envoy's certificate."""
        await until_welcome(MtlsLoad(self.envoy, self.fake.ca.issue(CLIENT), ca.certificate).tcp)


def push_anchors(part: SdsPart, *roots: CA) -> None:
    """As the control plane does by PCDS."""
    texts = [root.certificate.decode() for root in roots]
    pushed = PushedProxyConfig(ca_certificates_pem=texts)
    assert part.on_proxy_config([pushed.SerializeToString()]) is None


@asynccontextmanager
async def under(load: MtlsLoad) -> AsyncIterator[None]:
    """``load`` runs meanwhile, and has ended in good order behind it."""
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        try:
            yield
        finally:
            load.stop.set()


async def until_shown(*loads: MtlsLoad, other_than: set[int]) -> set[int]:
    """Each kind of new connection is shown a certificate that is not among these; all that were shown."""
    await until(lambda: all(_all_kinds_beyond(load, other_than) for load in loads))
    return set().union(*(shown for load in loads for shown in load.serials.values()))


def _all_kinds_beyond(load: MtlsLoad, known: set[int]) -> bool:
    return len(load.serials) == 3 and all(shown - known for shown in load.serials.values())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.05)


async def until_welcome(once: Callable[[], Awaitable[int]]) -> int:
    """The serial shown to the first connection that is taken."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(OSError, EOFError):
                return await once()
            await asyncio.sleep(0.05)


async def until_refused(once: Callable[[], Awaitable[int]]) -> None:
    async with asyncio.timeout(PATIENCE):
        with suppress(OSError, EOFError):
            while True:
                await once()
                await asyncio.sleep(0.05)


@asynccontextmanager
async def secrets(
    folder: Path, fake: FakeCa, *, provisioned: str = "", **changed: Any
) -> AsyncIterator[tuple[SdsPart, str]]:
    """The secret part that asks ``fake``, with the token in ``folder/token``, and its socket."""
    (folder / "root.pem").write_bytes(fake.ca.certificate)
    (folder / "token").write_text("first")
    ca = CaOptions(
        address=fake.address,
        roots=str(folder / "root.pem"),
        server_name=SERVER_NAME,
        token=str(folder / "token"),
        provisioned=provisioned,
    )
    given: dict[str, Any] = {
        "well_known": CertFiles.in_dir(str(folder / "none")),
        "key": KeyOptions(ec_algorithm="ECDSA"),
        "crl": "",
        **changed,
    }
    options = SecretOptions(identity=ME, ca=ca, socket_dir=str(folder), **given)
    part = build_sds(options, SystemClock())
    async with asyncio.timeout(240), asyncio.TaskGroup() as group:
        task = group.create_task(part.run())
        await part.ready.wait()
        yield part, options.socket
        task.cancel()


@asynccontextmanager
async def staged(
    folder: Path,
    fake: FakeCa,
    *,
    pair: str = "default",
    root: str = "ROOTCA",
    provisioned: str = "",
    **changed: Any,
) -> AsyncIterator[Stage]:
    """``fake`` is asked with the token in ``folder/token``, ``first`` at the beginning.

    ``pair`` and ``root`` are the names that Envoy asks for, ``provisioned`` is where a certificate for the CA lies;
    ``changed`` goes into the ``SecretOptions``.
    """
    serving = fake.serve(tls=fake.ca.issue(SERVER_NAME), optional_client=bool(provisioned))
    async with (
        serving,
        load.upstream() as (http, grpc),
        echo() as tcp,
        secrets(folder, fake, provisioned=provisioned, **changed) as (part, socket),
    ):
        document = bootstrap(socket, App(http, grpc, tcp), pair=pair, root=root)
        async with mtls_envoy(folder, document) as envoy:
            yield Stage(folder, fake, part, envoy)
