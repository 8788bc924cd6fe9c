# SPDX-License-Identifier: Apache-2.0
"""Who is calling: a verified client certificate, else a bearer token. Source: spec/upstream.md 2.9.

TLS has verified a client's certificate before it comes here; tokens are judged here. Reasons go to the log,
callers learn only that they were not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from mesh.errors import MeshError
from mesh.identity import SCHEME, Identity
from upstream.tokens import BadToken, Issuer, ServiceAccount, UnknownKey, judge

BEARER = "bearer "


class NotAuthenticated(MeshError):
    """No authenticator believed the caller; the message holds the reason of each."""

    hint = "check the service account token and its audience, or the client certificate"


class NotAuthorized(MeshError):
    """The caller is known, but not as the proxy that it says it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Names proven by the caller, the SPIFFE id first if there is one; none on the plaintext port."""

    identities: tuple[str, ...]
    source: str


ANONYMOUS = Caller(identities=(), source="plaintext")


class KeySource(Protocol):
    """The keys of one issuer; may have to fetch them."""

    async def issuer(self, *, again: bool = False) -> Issuer:
        """The issuer with its keys; ``again`` when those given before did not do.

        Raises BadToken when they cannot be had.
        """


class Authenticator:
    """Tries certificate, then each issuer."""

    def __init__(self, issuers: Sequence[KeySource], trust_domain: Callable[[], str]) -> None:
        self._issuers = tuple(issuers)
        self._trust_domain = trust_domain

    async def identify(
        self, certificate: bytes | None, metadata: Sequence[tuple[str, str]], *, now: float
    ) -> Caller:
        """The caller behind a request on the TLS port. Raises NotAuthenticated."""
        reasons = []
        try:
            return Caller(identities=names_in(certificate), source="certificate")
        except BadToken as reason:
            reasons.append(f"client certificate: {reason}")
        for keys in self._issuers:
            try:
                account = await _judged(bearer(metadata), keys, now)
            except BadToken as reason:
                reasons.append(f"token: {reason}")
            else:
                return Caller(identities=(self._spiffe(account),), source="token")
        if not self._issuers:
            reasons.append("token: no issuer is configured (JWT_RULE, or listen on loopback)")
        raise NotAuthenticated("; ".join(reasons))

    def _spiffe(self, account: ServiceAccount) -> str:
        return str(
            Identity(
                trust_domain=self._trust_domain(),
                namespace=account.namespace,
                service_account=account.name,
            )
        )


async def _judged(token: str, keys: KeySource, now: float) -> ServiceAccount:
    issuer = await keys.issuer()
    try:
        return judge(token, issuer, now=now)
    except UnknownKey:
        newer = await keys.issuer(again=True)
        if newer is issuer:
            raise
        return judge(token, newer, now=now)


def bearer(metadata: Sequence[tuple[str, str]]) -> str:
    """The bearer token of a request. Raises BadToken when there is none."""
    for name, value in metadata:
        if name == "authorization" and value[: len(BEARER)].lower() == BEARER:
            return value[len(BEARER) :].strip()
    raise BadToken("no bearer token")


def names_in(certificate: bytes | None) -> tuple[str, ...]:
    """URI and DNS names of a verified client certificate. Raises BadToken when there are none."""
    if certificate is None:
        raise BadToken("none given")
    try:
        leaf = x509.load_der_x509_certificate(certificate)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        raise BadToken("it has no alternative names") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    found = (*uris, *names.get_values_for_type(x509.DNSName))
    if not found:
        raise BadToken("it has no alternative names")
    return found


def authorize(identities: Sequence[str], *, namespace: str, service_account: str) -> str:
    """The identity that fits what the node says of itself. Raises NotAuthorized.

    peer: PILOT_ENABLE_XDS_IDENTITY_CHECK; an empty statement of the node is not compared.
    """
    reasons = []
    for text in identities:
        if not text.startswith(SCHEME):
            continue
        try:
            identity = Identity.parse(text)
        except ValueError as error:
            reasons.append(str(error))
            continue
        if namespace and identity.namespace != namespace:
            reasons.append(f"{text} is not of namespace {namespace}")
        elif service_account and identity.service_account != service_account:
            reasons.append(f"{text} is not service account {service_account}")
        else:
            return text
    raise NotAuthorized(f"authorization failed: {'; '.join(reasons) or 'no SPIFFE identity'}")
