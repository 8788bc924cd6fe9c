# SPDX-License-Identifier: Apache-2.0
"""The CA client against a grpcio server, plaintext and TLS."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest

from mesh.errors import SigningFailed
from sdsserver.ca_client import CaClient, client_pair, read_token
from sdsserver.metrics import Metrics
from sdsserver.mint import make
from sdsserver.options import CaOptions
from tests.support.clock import FakeClock
from tests.support.fakeca import SERVER_NAME, FakeCa
from tests.support.testca import CA

ME = "spiffe://cluster.local/ns/a/sa/b"
CSR = make({"host": ME, "ec_algorithm": "ECDSA"})["csr"]


def client(fake: FakeCa, *, tls: bool = False, **options: Any) -> tuple[CaClient, Metrics]:
    metrics = Metrics()
    found = CaOptions(address=fake.address, tls=tls, **{"token": "", **options})
    return CaClient(found, _Now(auto=True), metrics, Random(1)), metrics


class _Now(FakeClock):
    """Sleeps in no time, but certificates are judged by the real date."""

    def now(self) -> float:
        import time

        return time.time()


async def test_the_request_carries_what_the_peers_does(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" my.jwt.token\n")
    async with FakeCa().serve() as fake:
        signer, metrics = client(
            fake,
            token=str(tmp_path / "token"),
            cluster_id="one",
            cert_signer="signer",
            headers={"X-Extra": "=a=b"},
        )
        chain = await signer.sign(CSR, 90.0)
    assert len(chain) == 2
    [seen] = fake.calls
    assert seen.token == "my.jwt.token"
    assert seen.metadata["clusterid"] == "one"
    assert seen.metadata["x-extra"] == "=a=b"
    assert seen.request.csr == CSR
    assert seen.request.validity_duration == 90
    assert dict(seen.request.metadata) == {"CertSigner": "signer"}
    assert metrics.retries == 0


async def test_without_a_token_there_is_no_header_but_the_cluster_is_named(tmp_path: Path) -> None:
    async with FakeCa().serve() as fake:
        signer, _ = client(fake, token=str(tmp_path / "missing"))
        await signer.sign(CSR, 1.0)
    assert "authorization" not in fake.calls[0].metadata
    assert fake.calls[0].metadata["clusterid"] == ""
    assert dict(fake.calls[0].request.metadata) == {"CertSigner": ""}


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    ],
)
async def test_faults_that_may_pass_are_tried_five_times(code: grpc.StatusCode) -> None:
    async with FakeCa(script=[code] * 4).serve() as fake:
        signer, metrics = client(fake)
        assert len(await signer.sign(CSR, 1.0)) == 2
    assert len(fake.calls) == 5
    assert metrics.retries == 4


async def test_the_fifth_fault_is_the_last() -> None:
    async with FakeCa(script=[grpc.StatusCode.UNAVAILABLE] * 9).serve() as fake:
        signer, metrics = client(fake)
        with pytest.raises(SigningFailed, match="unavailable: scripted"):
            await signer.sign(CSR, 1.0)
    assert len(fake.calls) == 5
    assert metrics.retries == 4


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
    ],
)
async def test_refusals_are_not_repeated(code: grpc.StatusCode) -> None:
    async with FakeCa(script=[code]).serve() as fake:
        signer, _ = client(fake)
        with pytest.raises(SigningFailed, match="scripted"):
            await signer.sign(CSR, 1.0)
    assert len(fake.calls) == 1


@pytest.mark.parametrize("chain", [[], ["leaf only"]])
async def test_a_chain_needs_a_leaf_and_a_root(chain: list[str]) -> None:
    async with FakeCa(script=[chain]).serve() as fake:
        signer, _ = client(fake)
        with pytest.raises(SigningFailed, match="invalid empty CertChain"):
            await signer.sign(CSR, 1.0)
    assert len(fake.calls) == 1


async def test_nobody_there_is_retried_and_then_said() -> None:
    signer, metrics = client(FakeCa(address="127.0.0.1:1"))
    with pytest.raises(SigningFailed, match=r"127\.0\.0\.1:1"):
        await signer.sign(CSR, 1.0)
    assert metrics.retries == 4


async def test_tls_with_a_token(tmp_path: Path) -> None:
    ca = CA()
    (tmp_path / "token").write_text("t")
    (tmp_path / "root.pem").write_bytes(ca.certificate)
    async with FakeCa(ca).serve(tls=ca.issue(SERVER_NAME)) as fake:
        signer, _ = client(
            fake,
            tls=True,
            roots=str(tmp_path / "root.pem"),
            server_name=SERVER_NAME,
            token=str(tmp_path / "token"),
        )
        assert len(await signer.sign(CSR, 1.0)) == 2
    assert fake.calls[0].identities == ()


async def test_tls_with_the_provisioned_certificate_shows_both(tmp_path: Path) -> None:
    ca = CA()
    ca.issue(ME).write(tmp_path)
    (tmp_path / "token").write_text("t")
    async with FakeCa(ca).serve(tls=ca.issue(SERVER_NAME), require_client=True) as fake:
        signer, _ = client(
            fake,
            tls=True,
            roots=str(tmp_path / "root-cert.pem"),
            server_name=SERVER_NAME,
            provisioned=str(tmp_path),
            token=str(tmp_path / "token"),
        )
        await signer.sign(CSR, 1.0)
    assert fake.calls[0].identities == (ME,)
    assert fake.calls[0].token == "t"


async def test_a_ca_of_another_root_is_not_trusted(tmp_path: Path) -> None:
    ca = CA()
    (tmp_path / "root.pem").write_bytes(CA("other").certificate)
    async with FakeCa(ca).serve(tls=ca.issue(SERVER_NAME)) as fake:
        signer, _ = client(
            fake, tls=True, roots=str(tmp_path / "root.pem"), server_name=SERVER_NAME
        )
        with pytest.raises(SigningFailed):
            await signer.sign(CSR, 1.0)
    assert fake.calls == []


async def test_a_replaced_root_counts_at_the_next_attempt(tmp_path: Path) -> None:
    ca, root = CA(), tmp_path / "root.pem"
    root.write_bytes(CA("other").certificate)
    async with FakeCa(ca).serve(tls=ca.issue(SERVER_NAME)) as fake:
        signer, _ = client(fake, tls=True, roots=str(root), server_name=SERVER_NAME)
        with pytest.raises(SigningFailed):
            await signer.sign(CSR, 1.0)
        root.write_bytes(ca.certificate)
        assert len(await signer.sign(CSR, 1.0)) == 2


async def test_a_root_that_is_gone_is_an_error_of_ours(tmp_path: Path) -> None:
    signer, _ = client(FakeCa(address="127.0.0.1:1"), tls=True, roots=str(tmp_path / "gone"))
    with pytest.raises(SigningFailed, match="gone"):
        await signer.sign(CSR, 1.0)


async def test_a_root_that_is_no_certificate_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text("garbage")
    signer, _ = client(FakeCa(address="127.0.0.1:1"), tls=True, roots=str(tmp_path / "root.pem"))
    with pytest.raises(SigningFailed, match="tls settings"):
        await signer.sign(CSR, 1.0)


def test_a_client_certificate_that_cannot_serve_is_not_shown(tmp_path: Path) -> None:
    ca = CA()
    leaf = ca.issue(ME, lifetime=100.0)
    end = leaf.parsed.not_valid_after_utc.timestamp()
    assert client_pair("", 0.0) == (None, None)
    assert client_pair(str(tmp_path), 0.0) == (None, None)
    leaf.write(tmp_path)
    assert client_pair(str(tmp_path), end - 50) == (leaf.chain, leaf.key)
    assert client_pair(str(tmp_path), end + 1) == (None, None)
    (tmp_path / "key.pem").write_bytes(ca.issue(ME).key)
    assert client_pair(str(tmp_path), end - 50) == (None, None)
    (tmp_path / "cert-chain.pem").write_text("garbage")
    assert client_pair(str(tmp_path), end - 50) == (None, None)


def test_tokens_are_trimmed_and_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\n a.b.c \n")
    assert read_token(str(tmp_path / "token")) == "a.b.c"
    assert read_token(str(tmp_path / "missing")) == ""
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert read_token(str(tmp_path / "token")) == ""


def both(tmp_path: Path, fake: FakeCa) -> dict[str, Any]:
    """Options with a token and a provisioned certificate."""
    fake.ca.issue(ME).write(tmp_path)
    (tmp_path / "token").write_text("t")
    return {
        "tls": True,
        "roots": str(tmp_path / "root-cert.pem"),
        "server_name": SERVER_NAME,
        "provisioned": str(tmp_path),
        "token": str(tmp_path / "token"),
    }


async def test_a_bad_token_beside_a_good_certificate_is_left_out_at_last(tmp_path: Path) -> None:
    fake = FakeCa(accept=lambda seen: not seen.token)
    async with fake.serve(tls=fake.ca.issue(SERVER_NAME), optional_client=True):
        signer, metrics = client(fake, **both(tmp_path, fake))
        assert len(await signer.sign(CSR, 1.0)) == 2
    shown = [(seen.token, seen.identities) for seen in fake.calls]
    assert shown == [("t", (ME,)), ("t", ()), ("", (ME,))]
    assert metrics.retries == 0


async def test_a_certificate_that_breaks_the_handshake_is_left_out(tmp_path: Path) -> None:
    fake = FakeCa()
    options = both(tmp_path, fake)
    CA("a stranger").issue(ME).write(tmp_path)
    (tmp_path / "root-cert.pem").write_bytes(fake.ca.certificate)
    async with fake.serve(tls=fake.ca.issue(SERVER_NAME), optional_client=True):
        signer, _ = client(fake, **options)
        assert len(await signer.sign(CSR, 1.0)) == 2
    assert [(seen.token, seen.identities) for seen in fake.calls] == [("t", ())]


async def test_an_expired_token_is_named_in_the_error(tmp_path: Path) -> None:
    import base64
    import json

    claims = base64.urlsafe_b64encode(json.dumps({"exp": 1}).encode()).decode()
    (tmp_path / "token").write_text(f"x.{claims}.canary")
    async with FakeCa(accept=lambda seen: False).serve() as fake:
        signer, _ = client(fake, token=str(tmp_path / "token"))
        with pytest.raises(SigningFailed, match="the token expired") as caught:
            await signer.sign(CSR, 1.0)
    assert "canary" not in str(caught.value)
    assert len(fake.calls) == 1
