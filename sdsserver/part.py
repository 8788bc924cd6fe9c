# SPDX-License-Identifier: Apache-2.0
"""Builds the secret part from its options: manager, service and their sources, wired once. Source: DESIGN 2."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from random import Random

import mesh.log
from mesh.clock import Clock
from mesh.errors import BadSetting
from mesh.tasks import first_error
from sdsserver.anchors import pushed
from sdsserver.ca_client import WITH_OTHERS, CaClient, Signer
from sdsserver.identity import IdentityStore, open_store
from sdsserver.manager import SecretManager, Sources
from sdsserver.metrics import Metrics
from sdsserver.minting import Minted, mint
from sdsserver.options import CaOptions, Mode, SecretOptions
from sdsserver.proof import Inbound, Proof
from sdsserver.service import SdsService
from sdsserver.signers import Signers

log = mesh.log.get("sds")


class SdsPart:
    """The running part, as the agent sees it."""

    def __init__(
        self,
        manager: SecretManager,
        service: SdsService,
        metrics: Metrics,
        clock: Clock,
        inbound: Inbound | None = None,
    ) -> None:
        self._manager = manager
        self._service = service
        self._metrics = metrics
        self._clock = clock
        manager.listen(service.on_update)
        self._proof: Proof | None = None
        if inbound:
            self._proof = Proof(
                inbound, manager.current, manager.secret, service.on_update, clock, metrics
            )
            service.on_sent = self._proof.on_update
            manager.listen(self._proof.on_update)  # also when a push gets stuck on its way

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
                if self._proof:
                    group.create_task(self._proof.run(), name="certificate proof")
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None

    def on_proxy_config(self, bodies: Sequence[bytes]) -> str | None:
        """What the control plane pushed by PCDS; the fault when it cannot be used, and the old stays."""
        if not bodies:
            return None
        try:
            self._manager.set_anchors(pushed(bodies))
        except ValueError as error:
            log.warning("pushed trust anchors refused", why=str(error))
            return str(error)
        return None

    def status(self) -> dict[str, object]:
        proof = {"envoy": self._proof.status()} if self._proof else {}
        return {**self._manager.status(), **self._service.status(), **proof}

    def metrics(self) -> str:
        """Prometheus text."""
        return self._metrics.render(self._clock.now())


def build_sds(options: SecretOptions, clock: Clock, inbound: Inbound | None = None) -> SdsPart:
    """The part, not yet running. ``options`` went through ``external.settle``; ``inbound`` knows Envoy's listeners.

    Raises BadSetting.
    """
    metrics = Metrics()
    rng = Random()  # noqa: S311  spreads renewals, guards nothing
    signer = _signer(options, clock, metrics, rng)

    async def minted() -> Minted:
        return await mint(options.identity, options.key)

    sources = Sources(minted, signer, _store(options) if signer else None)
    manager = SecretManager(options, sources, clock, metrics=metrics, rng=rng)
    service = SdsService(options, manager.secret, clock, metrics)
    return SdsPart(manager, service, metrics, clock, inbound if options.prove else None)


def _signer(options: SecretOptions, clock: Clock, metrics: Metrics, rng: Random) -> Signer | None:
    if options.mode is not Mode.FULL:
        return None
    if options.ca is None:
        raise BadSetting("CA_ADDR", "", "no CA address, and no file-mounted certificates")
    _check_roots(options.ca)
    if not options.more_cas:
        return CaClient(options.ca, clock, metrics, rng)
    all_of_them = (options.ca, *options.more_cas)
    clients = [
        (ca.address, CaClient(ca, clock, metrics, rng, attempts=WITH_OTHERS)) for ca in all_of_them
    ]
    return Signers(clients, clock, rng)


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
