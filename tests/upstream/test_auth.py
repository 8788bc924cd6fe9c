# SPDX-License-Identifier: Apache-2.0
"""Who a caller is, by certificate, by token, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.upstream.authority import ME, NOW, new_key, root
from upstream import tokens
from upstream.auth import Authenticator, NotAuthenticated, NotAuthorized, authorize, bearer
from upstream.ca.authority import serving

KEY = tokens.development_key(tokens.new_development_key())
AUTHORITY = root()


class Keys:
    """The issuers given one after the other when asked again."""

    def __init__(self, *issuers: tokens.Issuer) -> None:
        self._issuers = list(issuers)

    async def issuer(self, *, again: bool = False) -> tokens.Issuer:
        if not self._issuers:
            raise tokens.BadToken("the keys of https://x cannot be had")
        if again and len(self._issuers) > 1:
            self._issuers.pop(0)
        return self._issuers[0]


def issuer(key: Any = KEY) -> tokens.Issuer:
    return tokens.development_issuer(key, ["istio-ca"])


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
    return Authenticator([Keys(), Keys(issuer())], lambda: "cluster.local")


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


async def test_new_key_of_an_issuer_is_fetched() -> None:
    old = issuer(tokens.development_key(tokens.new_development_key()))
    found = Authenticator([Keys(old, issuer())], lambda: "cluster.local")
    assert (await found.identify(None, header(), now=NOW)).identities == (ME,)
    with pytest.raises(NotAuthenticated, match="no key of the issuer"):
        await Authenticator([Keys(old)], lambda: "x").identify(None, header(), now=NOW)


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
