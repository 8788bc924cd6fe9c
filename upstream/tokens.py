# SPDX-License-Identifier: Apache-2.0
"""JSON web tokens of service accounts: made by the development issuer, judged for any issuer. Pure: time comes in.

RS256 and ES256 only. Source: spec/upstream.md 2.9; RFC 7515, 7517, 7518, 7519.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from mesh.errors import MeshError

DEVELOPMENT_ISSUER = "https://development.pilothouse.invalid"
SUBJECT_PREFIX = "system:serviceaccount:"
LEEWAY = 60.0
"""How far the issuer's clock may be from ours, in seconds."""

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class BadToken(MeshError):
    """A token that is not believed. The message never holds the token."""


class UnknownKey(BadToken):
    """Signed by a key that the issuer is not known to have: it may have a new one."""


class ServiceAccount(NamedTuple):
    """Whom a token speaks for."""

    namespace: str
    name: str


class VerificationKey(NamedTuple):
    """A public key with the id under which tokens name it; empty when it has none."""

    kid: str
    key: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who signs, for which audiences, with which keys."""

    name: str
    audiences: tuple[str, ...]
    keys: tuple[VerificationKey, ...]


def new_development_key() -> bytes:
    """A fresh P-256 key as PEM, for a file of mode 0600."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def development_key(text: bytes) -> ec.EllipticCurvePrivateKey:
    """The key in a file written by ``new_development_key``. Raises ValueError, never showing it."""
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError):
        raise ValueError("is not an unencrypted PEM key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("is not a P-256 key")  # noqa: TRY004  one error type for callers
    return key


def development_issuer(key: ec.EllipticCurvePrivateKey, audiences: Sequence[str]) -> Issuer:
    """The issuer as the control plane judges it."""
    return Issuer(
        name=DEVELOPMENT_ISSUER,
        audiences=tuple(audiences),
        keys=(VerificationKey("", key.public_key()),),
    )


def development_token(
    key: ec.EllipticCurvePrivateKey,
    account: ServiceAccount,
    *,
    audience: str,
    ttl: float,
    now: float,
) -> str:
    """A token in the form that Kubernetes projects into pods."""
    claims = {
        "iss": DEVELOPMENT_ISSUER,
        "sub": f"{SUBJECT_PREFIX}{account.namespace}:{account.name}",
        "aud": [audience],
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now + ttl),
        "kubernetes.io": {
            "namespace": account.namespace,
            "serviceaccount": {"name": account.name},
        },
    }
    signed = f"{_encode_json({'alg': 'ES256', 'typ': 'JWT'})}.{_encode_json(claims)}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{signed}.{_encode(signature)}"


def judge(token: str, issuer: Issuer, *, now: float) -> ServiceAccount:
    """Whom the token speaks for. Raises BadToken with the reason."""
    header, claims, signed, signature = _split(token)
    if claims.get("iss") != issuer.name:
        raise BadToken("the issuer is another")
    algorithm, kid = header.get("alg"), header.get("kid", "")
    fitting = [k.key for k in issuer.keys if not k.kid or not kid or k.kid == kid]
    if not any(_verifies(key, str(algorithm), signed, signature) for key in fitting):
        raise UnknownKey("no key of the issuer made the signature")
    _require_time(claims, now)
    _require_audience(claims, issuer.audiences)
    return _service_account(claims)


def issuer_of(token: str) -> str:
    """The issuer that the token names, unverified: only to say which keys to look for."""
    claims = _split(token)[1]
    return str(claims.get("iss", ""))


def keys_from_jwks(text: str) -> tuple[VerificationKey, ...]:
    """The signing keys of a JSON web key set; kinds that we do not verify are left out.

    Raises ValueError when the text is no key set.
    """
    try:
        entries = json.loads(text)["keys"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise ValueError("is not a JSON web key set") from None
    if not isinstance(entries, list):
        raise ValueError("is not a JSON web key set")  # noqa: TRY004  one error type for callers
    found = []
    for entry in entries:
        if isinstance(entry, dict) and entry.get("use", "sig") == "sig":
            key = _key(entry)
            if key is not None:
                found.append(VerificationKey(str(entry.get("kid", "")), key))
    return tuple(found)


def _key(entry: Mapping[str, Any]) -> PublicKey | None:
    try:
        if entry.get("kty") == "RSA":
            return rsa.RSAPublicNumbers(_number(entry["e"]), _number(entry["n"])).public_key()
        if entry.get("kty") == "EC" and entry.get("crv") == "P-256":
            x, y = _number(entry["x"]), _number(entry["y"])
            return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except (KeyError, ValueError, TypeError):
        raise ValueError("holds a malformed key") from None
    return None


def _number(text: str) -> int:
    return int.from_bytes(_decode(text), "big")


class _Parts(NamedTuple):
    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def _split(token: str) -> _Parts:
    pieces = token.split(".")
    if len(pieces) != 3:
        raise BadToken("not a signed JSON web token")
    try:
        header, claims = json.loads(_decode(pieces[0])), json.loads(_decode(pieces[1]))
        signature = _decode(pieces[2])
    except (ValueError, RecursionError):
        raise BadToken("not a signed JSON web token") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadToken("not a signed JSON web token")
    return _Parts(header, claims, f"{pieces[0]}.{pieces[1]}".encode(), signature)


def _verifies(key: PublicKey, algorithm: str, signed: bytes, signature: bytes) -> bool:
    # The key decides what the algorithm may be, so a token cannot choose a weaker one.
    try:
        if algorithm == "RS256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
            return True
        if algorithm == "ES256" and isinstance(key, ec.EllipticCurvePublicKey):
            if len(signature) != 64:
                return False
            r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
            return True
    except InvalidSignature:
        return False
    return False


def _require_time(claims: Mapping[str, Any], now: float) -> None:
    expires, begins = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expires, int | float) or not isinstance(begins, int | float):
        raise BadToken("its life is not stated")
    if now >= expires:
        raise BadToken("it has expired")
    if now + LEEWAY < begins:
        raise BadToken("it is not valid yet")


def _require_audience(claims: Mapping[str, Any], wanted: Sequence[str]) -> None:
    stated = claims.get("aud", [])
    stated = [stated] if isinstance(stated, str) else stated
    if wanted and not (isinstance(stated, list) and set(wanted).intersection(map(str, stated))):
        raise BadToken(f"it is not for {' or '.join(wanted)}")


def _service_account(claims: Mapping[str, Any]) -> ServiceAccount:
    parts = str(claims.get("sub", "")).split(":")
    if (
        len(parts) != 4
        or parts[:2] != ["system", "serviceaccount"]
        or not all(map(_is_name, parts[2:]))
    ):
        raise BadToken("its subject is not a service account")
    return ServiceAccount(parts[2], parts[3])


def _is_name(text: str) -> bool:
    # What stands in a SPIFFE path must not be able to change its shape.
    return bool(text) and all(c.isascii() and (c.isalnum() or c in "-.") for c in text)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _encode_json(value: object) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("is not base64") from error
