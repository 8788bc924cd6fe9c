# SPDX-License-Identifier: Apache-2.0
"""Whole agents with their Envoys: another SDS server in ours' place, the proof of what Envoy serves, a virtual machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mesh import paths
from sdsserver.x509 import facts
from tests.sdsserver.envoy.rig import LOOPBACK, ME, Rig, rig
from tests.sdsserver.envoy.stage import CLIENT, under, until, until_shown, until_welcome
from tests.support.fakeca import FakeCa
from tests.support.fakesds import FakeSds, serving_sds
from tests.support.mtls_envoy import MtlsLoad

# ---- another SDS server (SPIRE) ----


@pytest.mark.envoy
async def test_secrets_of_another_server_under_load(short_tmp: Path) -> None:
    """It is there first: we serve no workload secrets, and Envoy takes its rotations, also after a restart of it."""
    ca = FakeCa().ca
    fake = FakeSds(ca.issue(ME))
    async with rig(short_tmp) as made:
        path = made.made.directory / paths.WORKLOAD_SOCKET_DIR / paths.WORKLOAD_SOCKET_NAME
        async with serving_sds(fake, path):
            made.start()
            await made.made.ready()
            load = MtlsLoad(made.envoy, ca.issue(CLIENT))
            await until_welcome(load.tcp)
            async with under(load):
                for _ in range(3):
                    seen = await until_shown(load, other_than=_all(load))
                    await fake.put(ca.issue(ME))
                await until_shown(load, other_than=seen)
            assert load.failed == []
            assert fake.nodes == {f"sidecar~{LOOPBACK}~web.shop~shop.svc.cluster.local"}
        later = MtlsLoad(made.envoy, ca.issue(CLIENT))
        async with under(later):
            before = await until_shown(later, other_than=set())
            await fake.put(ca.issue(ME))
            async with serving_sds(fake, path):
                await until_shown(later, other_than=before)
        print(load.figures(), later.figures(), sep="\n")
        assert later.failed == []
        assert "workload secrets come from another server" in made.made.log


def _all(load: MtlsLoad) -> set[int]:
    return {serial for shown in load.serials.values() for serial in shown}


# ---- the proof ----


@pytest.mark.envoy
@pytest.mark.long
async def test_the_proof_sees_what_envoy_serves(short_tmp: Path) -> None:
    fake = FakeCa(lifetime=20.0)
    async with fake.serve(tls=fake.ca.issue(LOOPBACK)), rig(short_tmp) as made:
        made.start_with(fake)
        await made.made.ready()
        load = MtlsLoad(made.envoy, fake.ca.issue(CLIENT))
        await until_welcome(load.tcp)
        await until(lambda: len(fake.calls) > 1)  # renewed at half of its life, 10 s
        await made.made.until(lambda: _left(made, 11, 20))  # the old one has less
        assert await made.gauge("pilothouse_served_cert_differs") == 0

        stuck = fake.ca.issue(ME)
        made.secure(stuck)
        await made.push()
        await made.made.until(lambda: _differs(made, 1))
        alarm = f"shown={facts(stuck.certificate).serial:x}"
        await until(lambda: alarm in made.made.log)
        await made.made.until(lambda: _left(made, 3000, 3600))  # of the one that Envoy shows

        made.secure()
        await made.push()
        await made.made.until(lambda: _differs(made, 0))
        await until(lambda: made.made.log.count("envoy serves the certificate") == 2)


async def _left(made: Rig, least: float, most: float) -> bool:
    left = await made.gauge("pilothouse_served_cert_expiry_seconds")
    return left is not None and least < left <= most


async def _differs(made: Rig, wanted: float) -> bool:
    return await made.gauge("pilothouse_served_cert_differs") == wanted


# ---- a virtual machine ----


@pytest.mark.envoy
async def test_a_machine_shows_its_token_first_and_then_its_own_certificate(
    short_tmp: Path,
) -> None:
    """PROV_CERT is OUTPUT_CERTS. After a restart the token is not needed any more."""
    fake = FakeCa(lifetime=40.0)
    fake.accept = lambda seen: bool(seen.token) if not seen.identities else seen.identities == (ME,)
    async with fake.serve(tls=fake.ca.issue(LOOPBACK), optional_client=True), rig(short_tmp) as vm:
        certs = vm.made.directory / "etc/certs"
        certs.mkdir(parents=True)
        variables = {
            "PROV_CERT": str(certs),
            "OUTPUT_CERTS": str(certs),
            "SECRET_GRACE_PERIOD_RATIO": "0.9",
            "PILOT_XDS_CACHE": "off",  # readiness then shows that the control plane was reached
        }
        vm.start_with(fake, **variables)
        await vm.made.ready()
        await until(lambda: len(fake.calls) >= 2)
        first, second = fake.calls[:2]
        assert (first.identities, bool(first.token)) == ((), True)
        assert second.identities == (ME,)
        assert facts((certs / "cert-chain.pem").read_bytes()).uris == (ME,)
        load = MtlsLoad(vm.envoy, fake.ca.issue(CLIENT))
        await until_welcome(load.tcp)

        assert vm.made.agent is not None
        await asyncio.to_thread(vm.made.programs.kill, vm.made.agent)
        (vm.made.directory / "var/run/secrets/tokens/istio-token").unlink()
        fake.calls.clear()
        vm.start_with(fake, **variables)
        await vm.made.ready()
        await until_welcome(load.tcp)
        assert {seen.identities for seen in fake.calls} == {(ME,)}
