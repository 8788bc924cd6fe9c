# SPDX-License-Identifier: Apache-2.0
"""Tokens that are believed and all the ways in which they are not."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from upstream.tokens import (
    DEVELOPMENT_ISSUER,
    BadToken,
    Issuer,
    ServiceAccount,
    development_issuer,
    development_key,
    development_token,
    issuer_of,
    judge,
    keys_from_jwks,
    new_development_key,
)

NOW = 1_800_000_000.0
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = development_key(new_development_key())
CLAIMS = {
    "iss": "https://test",
    "sub": "system:serviceaccount:demo:client",
    "aud": "istio-ca",
    "exp": NOW + 60,
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwks(*, kid: str = "k1") -> str:
    public = RSA.public_key().public_numbers()
    point = EC.public_key().public_numbers()
    return json.dumps(
        {
            "keys": [
                {"kty": "RSA", "kid": kid, "n": number(public.n), "e": number(public.e)},
                {"kty": "EC", "crv": "P-256", "x": number(point.x), "y": number(point.y)},
                {"kty": "oct", "k": "c2VjcmV0"},
                {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"},
            ]
        }
    )


ISSUER = Issuer(name="https://test", audiences=("istio-ca",), keys=keys_from_jwks(jwks()))


def rs256(claims: dict[str, Any], **header: str) -> str:
    head = b64(json.dumps({"alg": "RS256", "kid": "k1", **header}).encode())
    signed = f"{head}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(RSA.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def test_rs256_of_a_key_set() -> None:
    assert judge(rs256(CLAIMS), ISSUER, now=NOW) == ServiceAccount("demo", "client")


def test_development_token() -> None:
    account = ServiceAccount("demo", "client")
    issuer = development_issuer(EC, ["istio-ca"])
    token = development_token(EC, account, audience="istio-ca", ttl=60, now=NOW)
    assert judge(token, issuer, now=NOW) == account
    assert issuer_of(token) == DEVELOPMENT_ISSUER
    middle = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    assert claims["kubernetes.io"] == {
        "namespace": "demo",
        "serviceaccount": {"name": "client"},
    }
    with pytest.raises(BadToken, match="expired"):
        judge(token, issuer, now=NOW + 60)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"iss": "https://other"}, "issuer"),
        ({"exp": NOW}, "expired"),
        ({"exp": None}, "life"),
        ({"nbf": NOW + 120}, "not valid yet"),
        ({"aud": "other"}, "not for istio-ca"),
        ({"aud": None}, "not for istio-ca"),
        ({"sub": "system:node:x"}, "service account"),
        ({"sub": "system:serviceaccount:demo"}, "service account"),
        ({"sub": "system:serviceaccount:demo:a/sa/b"}, "service account"),
        ({"sub": "system:serviceaccount::x"}, "service account"),
    ],
)
def test_claims_that_are_not_believed(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadToken, match=says):
        judge(rs256({**CLAIMS, **change}), ISSUER, now=NOW)


def test_audience_as_list() -> None:
    assert judge(rs256({**CLAIMS, "aud": ["x", "istio-ca"]}), ISSUER, now=NOW)


def test_signature_of_somebody_else() -> None:
    token = rs256(CLAIMS)
    head, _, signature = token.split(".")
    forged = b64(json.dumps({**CLAIMS, "sub": "system:serviceaccount:demo:admin"}).encode())
    with pytest.raises(BadToken, match="signature"):
        judge(f"{head}.{forged}.{signature}", ISSUER, now=NOW)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "RS512", ""])
def test_the_key_says_what_the_algorithm_may_be(algorithm: str) -> None:
    with pytest.raises(BadToken, match="signature"):
        judge(rs256(CLAIMS, alg=algorithm), ISSUER, now=NOW)


def test_key_of_another_id_is_not_tried() -> None:
    only = Issuer(name="https://test", audiences=(), keys=keys_from_jwks(jwks())[:1])
    with pytest.raises(BadToken, match="signature"):
        judge(rs256(CLAIMS, kid="k2"), only, now=NOW)


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "....", "é.é.é", "W10.W10.W10"])
def test_not_a_token(text: str) -> None:
    with pytest.raises(BadToken, match="not a signed JSON web token"):
        judge(text, ISSUER, now=NOW)


def test_error_does_not_show_the_token() -> None:
    token = rs256({**CLAIMS, "aud": "other"})
    with pytest.raises(BadToken) as caught:
        judge(token, ISSUER, now=NOW)
    assert token.split(".")[1] not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": 1}', '{"keys": [{"kty": "RSA"}]}'])
def test_not_a_key_set(text: str) -> None:
    with pytest.raises(ValueError, match=r"key set|malformed key"):
        keys_from_jwks(text)


def test_development_key_of_another_kind_is_refused() -> None:
    from cryptography.hazmat.primitives import serialization

    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for text in (b"nonsense", other):
        with pytest.raises(ValueError, match=r"is not"):
            development_key(text)
