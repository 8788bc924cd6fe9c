# SPDX-License-Identifier: Apache-2.0
"""Builds the secret part from its options: manager, service and their sources, wired once. Source: DESIGN 2."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from random import Random

import mesh.log
from mesh.clock import Clock
from mesh.errors import BadSetting
from mesh.tasks import first_error
from sdsserver.ca_client import CaClient
from sdsserver.identity import IdentityStore, open_store
from sdsserver.manager import SecretManager, Sources
from sdsserver.metrics import Metrics
from sdsserver.minting import Minted, mint
from sdsserver.options import CaOptions, Mode, SecretOptions
from sdsserver.service import SdsService

log = mesh.log.get("sds")


class SdsPart:
    """The running part, as the agent sees it."""

    def __init__(
        self, manager: SecretManager, service: SdsService, metrics: Metrics, clock: Clock
    ) -> None:
        self._manager = manager
        self._service = service
        self._metrics = metrics
        self._clock = clock
        manager.listen(service.on_update)

    @property
    def ready(self) -> asyncio.Event:
        """The socket is listening."""
        return self._service.ready

    @property
    def first_secret(self) -> asyncio.Event:
        """The workload's certificate can be served (at once, where files bring it)."""
        return self._manager.first

    async def run(self) -> None:
        """Serve and rotate until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._manager.run(), name="secret manager")
                group.create_task(self._service.run(), name="sds service")
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None

    def set_anchors(self, anchors: Iterable[bytes]) -> None:
        """Trust anchors from the mesh configuration (PCDS), PEM."""
        self._manager.set_anchors(anchors)

    def status(self) -> dict[str, object]:
        return {**self._manager.status(), **self._service.status()}

    def metrics(self) -> str:
        """Prometheus text."""
        return self._metrics.render(self._clock.now())


def build_sds(options: SecretOptions, clock: Clock) -> SdsPart:
    """The part, not yet running. ``options`` went through ``external.settle``. Raises BadSetting."""
    metrics = Metrics()
    rng = Random()  # noqa: S311  spreads renewals, guards nothing
    signer = _signer(options, clock, metrics, rng)

    async def minted() -> Minted:
        return await mint(options.identity, options.key)

    sources = Sources(minted, signer, _store(options) if signer else None)
    manager = SecretManager(options, sources, clock, metrics=metrics, rng=rng)
    return SdsPart(manager, SdsService(options, manager.secret, clock, metrics), metrics, clock)


def _signer(options: SecretOptions, clock: Clock, metrics: Metrics, rng: Random) -> CaClient | None:
    if options.mode is not Mode.FULL:
        return None
    if options.ca is None:
        raise BadSetting("CA_ADDR", "", "no CA address, and no file-mounted certificates")
    _check_roots(options.ca)
    return CaClient(options.ca, clock, metrics, rng)


def _check_roots(ca: CaOptions) -> None:
    if ca.tls and ca.roots and not os.path.isfile(ca.roots):
        raise BadSetting(
            "CA_ROOT_CA",
            ca.roots,
            "root CA file for the CA does not exist",
            hint="mount istio-ca-root-cert, or set CA_ROOT_CA to a file or SYSTEM",
        )


def _store(options: SecretOptions) -> IdentityStore | None:
    """The identity store; a directory that is not safe is said, and does without."""
    if not options.identity_dir:
        return None
    try:
        return open_store(
            options.identity_dir, options.identity, trusted=options.identity_dir_trusted
        )
    except BadSetting as fault:
        log.warning("identity is not stored", why=str(fault), hint=fault.hint)
        return None
