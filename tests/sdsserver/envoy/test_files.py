# SPDX-License-Identifier: Apache-2.0
"""A real Envoy with certificates from mounted files: replaced under load, and revoked.

The files lie as a Kubernetes volume has them: links into ``..data``, which is swapped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdsserver.options import CertFiles, Mode
from sdsserver.x509 import facts
from tests.sdsserver.envoy.stage import (
    ME,
    staged,
    under,
    until,
    until_refused,
    until_shown,
    until_welcome,
)
from tests.support.fakeca import FakeCa
from tests.support.mtls_envoy import MtlsLoad
from tests.support.testca import CA, Leaf

FILES = ("cert-chain.pem", "key.pem", "root-cert.pem")


class Volume:
    """A mounted secret whose content is replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._turn = 0
        folder.mkdir()
        for name in FILES:
            (folder / name).symlink_to(f"..data/{name}")

    def put(self, leaf: Leaf) -> Leaf:
        self._turn += 1
        fresh = self.folder / f"..{self._turn}"
        leaf.write(fresh)
        (self.folder / "..data.new").symlink_to(fresh.name)
        os.replace(self.folder / "..data.new", self.folder / "..data")
        return leaf


def by_file_names(folder: Path) -> dict[str, Any]:
    pair = f"file-cert:{folder}/cert-chain.pem~{folder}/key.pem"
    return {"pair": pair, "root": f"file-root:{folder}/root-cert.pem"}


def as_well_known(folder: Path) -> dict[str, Any]:
    return {"well_known": CertFiles.in_dir(str(folder))}


def as_file_mounted(folder: Path) -> dict[str, Any]:
    return {"mode": Mode.FILE_MOUNTED, **as_well_known(folder)}


@pytest.mark.envoy
@pytest.mark.parametrize("how", [by_file_names, as_well_known, as_file_mounted])
async def test_files_are_replaced_under_load(
    short_tmp: Path, how: Callable[[Path], dict[str, Any]]
) -> None:
    fake = FakeCa()
    volume = Volume(short_tmp / "certs")
    leaves = [volume.put(fake.ca.issue(str(ME)))]
    async with staged(short_tmp, fake, **how(volume.folder)) as stage:
        load = stage.load(fake.ca)
        async with under(load):
            for _ in range(3):
                await until(lambda: _is_shown(leaves[-1], load))
                leaves.append(volume.put(fake.ca.issue(str(ME))))
        print(load.figures())
        assert load.failed == []
        if how is not by_file_names:  # then it is the workload's own certificate that they bring
            assert fake.calls == []


def _is_shown(leaf: Leaf, load: MtlsLoad) -> bool:
    serial = facts(leaf.certificate).serial
    return all(serial in load.serials[kind] for kind in ("HTTP/1.1", "HTTP/2", "TCP"))


@pytest.mark.envoy
async def test_a_revoked_client_is_refused(short_tmp: Path) -> None:
    """The root secret names the list, and Envoy itself looks at the file."""
    ca, crl = CA(), short_tmp / "ca-crl.pem"
    volume = Volume(short_tmp / "certs")
    volume.put(ca.issue(str(ME)))
    good, bad = ca.issue("spiffe://cluster.local/ns/a/sa/good"), ca.issue("spiffe://x/ns/a/sa/bad")
    crl.write_bytes(ca.revoke())
    options = {**as_well_known(volume.folder), "crl": str(crl)}
    async with staged(short_tmp, FakeCa(ca=ca), **options) as stage:
        of_good, of_bad = MtlsLoad(stage.envoy, good), MtlsLoad(stage.envoy, bad)
        for load in (of_good, of_bad):
            await until_welcome(load.tcp)
        async with under(of_good):
            fresh = crl.with_suffix(".new")
            fresh.write_bytes(ca.revoke(bad))
            os.replace(fresh, crl)
            await until_refused(of_bad.tcp)
            await until_shown(of_good, other_than=set())
        assert of_good.failed == []
