# SPDX-License-Identifier: Apache-2.0
"""Who a caller is, by certificate, by token, or not at all."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.upstream.authority import ME, NOW, new_key, root
from upstream import tokens
from upstream.auth import Authenticator, NotAuthenticated, NotAuthorized, authorize, bearer
from upstream.ca.authority import serving

KEY = tokens.development_key(tokens.new_development_key())
AUTHORITY = root()


async def keys() -> tokens.Issuer:
    return tokens.development_issuer(KEY, ["istio-ca"])


async def no_keys() -> tokens.Issuer:
    raise tokens.BadToken("the keys of https://x cannot be had")


def der(*names: str) -> bytes:
    chain = serving(AUTHORITY, new_key().public_key(), names, life=60, now=NOW)
    certificate = x509.load_pem_x509_certificate(chain.encode())
    return certificate.public_bytes(serialization.Encoding.DER)


def header(audience: str = "istio-ca") -> list[tuple[str, str]]:
    account = tokens.ServiceAccount("default", "me")
    token = tokens.development_token(KEY, account, audience=audience, ttl=60, now=NOW)
    return [("authorization", f"Bearer {token}")]


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator([no_keys, keys], lambda: "cluster.local")


async def test_certificate_goes_first(authenticator: Authenticator) -> None:
    other = "spiffe://cluster.local/ns/a/sa/b"
    caller = await authenticator.identify(der(other, "b.example"), header(), now=NOW)
    assert (caller.identities, caller.source) == ((other, "b.example"), "certificate")


async def test_token(authenticator: Authenticator) -> None:
    caller = await authenticator.identify(None, header(), now=NOW)
    assert (caller.identities, caller.source) == ((ME,), "token")


async def test_each_reason_is_given(authenticator: Authenticator) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        await authenticator.identify(None, header("other"), now=NOW)
    assert str(caught.value) == (
        "client certificate: none given; token: the keys of https://x cannot be had; "
        "token: it is not for istio-ca"
    )


async def test_nobody_to_believe() -> None:
    with pytest.raises(NotAuthenticated, match="no issuer is configured"):
        await Authenticator([], lambda: "x").identify(None, header(), now=NOW)


def test_bearer_word_in_any_case() -> None:
    assert bearer([("x", "y"), ("authorization", "BEARER abc ")]) == "abc"
    for metadata in ([], [("authorization", "Basic abc")]):
        with pytest.raises(tokens.BadToken):
            bearer(metadata)


@pytest.mark.parametrize(("namespace", "account"), [("default", "me"), ("", ""), ("default", "")])
def test_authorized(namespace: str, account: str) -> None:
    assert authorize(["x.example", ME], namespace=namespace, service_account=account) == ME


@pytest.mark.parametrize(
    ("identities", "namespace", "account"),
    [([ME], "other", "me"), ([ME], "default", "other"), ([], "", ""), (["spiffe://x/y"], "", "")],
)
def test_not_authorized(identities: list[str], namespace: str, account: str) -> None:
    with pytest.raises(NotAuthorized, match="authorization failed: "):
        authorize(identities, namespace=namespace, service_account=account)
