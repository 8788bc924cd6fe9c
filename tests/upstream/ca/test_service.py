# SPDX-License-Identifier: Apache-2.0
"""Certificates over TLS with grpcio as the client: token, renewal by certificate, refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from cryptography import x509

from mesh.clock import SystemClock
from tests.upstream.authority import ME, csr, names, new_key, root
from tests.upstream.rig import serving as served
from upstream import tokens
from upstream.auth import Authenticator
from upstream.ca.authority import Authority, Limits, key_pem, serving
from upstream.ca.service import PATH, CertificateService
from upstream.issuers import KnownKeys
from wire.h2io import Server
from wire.h2io.tls import server_context
from wire.proto.istio_pb2 import CertificateRequest, CertificateResponse

CLOCK = SystemClock()
DAY = 86400.0


@dataclass(frozen=True)
class Served:
    port: int
    authority: Authority
    token: str
    wrong_audience: str
    service: CertificateService

    async def create(
        self,
        request: CertificateRequest,
        *,
        token: str = "",
        certificate: tuple[bytes, bytes] | None = None,
    ) -> CertificateResponse:
        """One call as an agent makes it."""
        key, chain = certificate or (None, None)
        credentials = grpc.ssl_channel_credentials(self.authority.roots_pem.encode(), key, chain)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        async with grpc.aio.secure_channel(f"localhost:{self.port}", credentials) as channel:
            method: Any = channel.unary_unary(
                PATH,
                request_serializer=CertificateRequest.SerializeToString,
                response_deserializer=CertificateResponse.FromString,
            )
            answer: CertificateResponse = await method(request, metadata=metadata, timeout=10)
        return answer


@pytest.fixture
async def ca() -> AsyncIterator[Served]:
    authority = root(CLOCK.now())
    signing = tokens.development_key(tokens.new_development_key())
    keys = KnownKeys(tokens.development_issuer(signing, ["istio-ca"]))

    def token(audience: str) -> str:
        account = tokens.ServiceAccount("default", "me")
        return tokens.development_token(
            signing, account, audience=audience, ttl=60, now=CLOCK.now()
        )

    service = CertificateService(
        lambda: authority,
        Authenticator([keys], lambda: "cluster.local"),
        Limits(default=DAY, longest=90 * DAY),
        CLOCK,
    )
    own = new_key()
    chain = serving(authority, own.public_key(), ["localhost"], life=DAY, now=CLOCK.now())
    context = server_context(
        chain=chain.encode(), key=key_pem(own), client_roots=authority.roots_pem.encode()
    )
    async with served(Server({PATH: service.create_certificate}), tls=context) as port:
        yield Served(port, authority, token("istio-ca"), token("other"), service)


def leaf(response: CertificateResponse) -> x509.Certificate:
    return x509.load_pem_x509_certificate(response.cert_chain[0].encode())


async def test_by_token_then_by_certificate(ca: Served) -> None:
    key = new_key()
    request = CertificateRequest(csr=csr(key), validity_duration=3600)
    first = await ca.create(request, token=ca.token)
    assert names(leaf(first)) == [ME]
    assert list(first.cert_chain)[-1] == ca.authority.roots_pem
    pair = (key_pem(key), first.cert_chain[0].encode())
    second = await ca.create(request, certificate=pair)
    assert names(leaf(second)) == [ME]
    assert leaf(second).serial_number != leaf(first).serial_number
    assert ca.service.counts.issued == 2


@pytest.mark.parametrize(
    ("sent", "code", "says"),
    [
        ({"token": False}, grpc.StatusCode.UNAUTHENTICATED, "request authenticate failure"),
        ({"wrong": True}, grpc.StatusCode.UNAUTHENTICATED, "request authenticate failure"),
        ({"impersonate": True}, grpc.StatusCode.UNAUTHENTICATED, "request authenticate failure"),
        (
            {"csr": "garbage"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "CSR signing error (certificate signing request is not properly encoded)",
        ),
        (
            {"ttl": 91 * 86400},
            grpc.StatusCode.INVALID_ARGUMENT,
            "CSR signing error (requested TTL 2184h0m0s is greater than the max allowed TTL 2160h0m0s)",
        ),
    ],
)
async def test_refusals(
    ca: Served, sent: Mapping[str, Any], code: grpc.StatusCode, says: str
) -> None:
    request = CertificateRequest(
        csr=sent.get("csr", csr(new_key())), validity_duration=sent.get("ttl", 3600)
    )
    if "impersonate" in sent:
        request.metadata.update({"ImpersonatedIdentity": "spiffe://cluster.local/ns/a/sa/b"})
    token = ca.wrong_audience if "wrong" in sent else ca.token if sent.get("token", True) else ""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ca.create(request, token=token)
    assert (caught.value.code(), caught.value.details()) == (code, says)
    assert ca.service.counts.issued == 0


async def test_certificate_of_another_authority_is_no_client(ca: Served) -> None:
    from upstream.ca.authority import issue

    key, stranger = new_key(), root(CLOCK.now())
    limits = Limits(default=DAY, longest=DAY)
    chain = issue(stranger, csr(key), [ME], 60, limits=limits, now=CLOCK.now())
    request = CertificateRequest(csr=csr(new_key()))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ca.create(request, certificate=(key_pem(key), chain[0].encode()))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_token_is_never_logged(ca: Served, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await ca.create(CertificateRequest(csr="x"), token=ca.wrong_audience)
    written = capsys.readouterr().out
    assert "it is not for istio-ca" in written
    assert ca.wrong_audience not in written
    assert ca.wrong_audience.split(".")[2] not in written
