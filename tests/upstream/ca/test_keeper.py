# SPDX-License-Identifier: Apache-2.0
"""Certificates that change while the process runs, seen by a TLS client."""

from __future__ import annotations

import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.clock import FakeClock
from tests.upstream.authority import names, new_key, plug, root
from tests.upstream.ca.intermediate import under
from upstream.ca.authority import key_pem, serving
from upstream.ca.keeper import Keeper
from upstream.options import CaOptions, ServingOptions

DAY = 86400.0
NAMES = ServingOptions(names=("istiod.istio-system.svc", "localhost"))


@pytest.fixture
def clock() -> FakeClock:
    import time

    return FakeClock(now=time.time())


def options(tmp_path: Path) -> CaOptions:
    return CaOptions(state_dir=str(tmp_path / "state"), plugged_dir=str(tmp_path / "cacerts"))


def keeper(tmp_path: Path, clock: FakeClock, tls: ServingOptions = NAMES) -> Keeper:
    return Keeper(options(tmp_path), tls, organization="cluster.local", clock=clock)


def presented(keep: Keeper) -> x509.Certificate:
    """The certificate that a handshake in memory shows."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_alpn_protocols(["h2"])
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(a, b)
    far = keep.context.wrap_bio(b, a, server_side=True)
    done = False
    while not done:
        done = True
        for side in (near, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                done = False
    der = near.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def test_serving_certificate_is_of_the_authority(tmp_path: Path, clock: FakeClock) -> None:
    keep = keeper(tmp_path, clock)
    shown = presented(keep)
    assert names(shown) == list(NAMES.names)
    shown.verify_directly_issued_by(keep.authority.certificate)
    keep.refresh()
    assert presented(keep) == shown


def test_renewed_before_it_is_too_old(tmp_path: Path, clock: FakeClock) -> None:
    keep = keeper(tmp_path, clock)
    shown, old = presented(keep), keep.authority
    clock.jump(3000 * DAY)
    keep.refresh()
    assert presented(keep).serial_number != shown.serial_number
    assert keep.authority.expires > old.expires
    assert keep.authority.key.public_key() == old.key.public_key()


def test_new_intermediate_under_the_same_root(tmp_path: Path, clock: FakeClock) -> None:
    anchor = root(clock.now())
    plug(tmp_path / "cacerts", under(anchor, now=clock.now()))
    keep = keeper(tmp_path, clock)
    second = under(anchor, now=clock.now(), name="second")
    plug(tmp_path / "cacerts", second)
    keep.refresh()
    assert keep.authority.certificate == second.certificate
    presented(keep).verify_directly_issued_by(second.certificate)


def test_new_root_is_refused(
    tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    plug(tmp_path / "cacerts", root(clock.now()))
    keep = keeper(tmp_path, clock)
    before = keep.authority
    plug(tmp_path / "cacerts", root(clock.now()))
    keep.refresh()
    assert keep.authority == before
    assert (tmp_path / "state" / "root-cert.pem").read_text() == before.roots_pem
    assert "the root certificates changed" in capsys.readouterr().out


def test_damaged_bundle_changes_nothing(tmp_path: Path, clock: FakeClock) -> None:
    plug(tmp_path / "cacerts", root(clock.now()))
    keep = keeper(tmp_path, clock)
    before, shown = keep.authority, presented(keep)
    (tmp_path / "cacerts" / "ca-key.pem").write_text("damaged")
    keep.refresh()
    assert keep.authority == before
    assert presented(keep) == shown


def test_clients_of_another_authority_may_be_verified_too(tmp_path: Path, clock: FakeClock) -> None:
    other = root(clock.now())
    (tmp_path / "other.pem").write_text(other.roots_pem)
    keep = keeper(tmp_path, clock, replace(NAMES, roots=str(tmp_path / "other.pem")))
    trusted = keep.context.get_ca_certs(binary_form=True)
    wanted = (keep.authority.certificate, other.certificate)
    assert set(trusted) == {one.public_bytes(Encoding.DER) for one in wanted}


def test_certificate_from_files_is_taken_up_again(tmp_path: Path, clock: FakeClock) -> None:
    authority = root(clock.now())

    def put(name: str) -> None:
        key = new_key()
        chain = serving(authority, key.public_key(), [name], life=DAY, now=clock.now())
        for path, content in (("tls.crt", chain.encode()), ("tls.key", key_pem(key))):
            (tmp_path / f"{path}.new").write_bytes(content)
            os.replace(tmp_path / f"{path}.new", tmp_path / path)

    put("first.example")
    tls = ServingOptions(
        names=(), certificate=str(tmp_path / "tls.crt"), key=str(tmp_path / "tls.key")
    )
    keep = keeper(tmp_path, clock, tls)
    assert names(presented(keep)) == ["first.example"]
    put("second.example")
    keep.refresh()
    assert names(presented(keep)) == ["second.example"]
