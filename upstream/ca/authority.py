# SPDX-License-Identifier: Apache-2.0
"""What a certificate authority consists of, and what it issues. Pure: time comes in.

Source: spec/upstream.md 4.2, 4.3, 17.3.
The identity of an issued certificate is the caller's, never what the request asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import NamedTuple, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh import durations
from mesh.errors import MeshError

CLOCK_SKEW = timedelta(minutes=2)
"""How far back a certificate's life begins, for verifiers whose clock is behind."""
MAX_COMMON_NAME = 64

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class Refusal(StrEnum):
    """Why no certificate was issued; decides the status that the caller sees."""

    CSR = "csr"
    TTL = "ttl"
    CA = "ca"


class NotIssued(MeshError):
    """The authority will not or cannot sign this request."""

    hint = "correct the request; sending it again unchanged will not help"

    def __init__(self, refusal: Refusal, why: str) -> None:
        super().__init__(why)
        self.refusal = refusal
        self.why = why


class BadBundle(MeshError):
    """Key, certificate and chain do not make an authority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A signing certificate with its key, the intermediates above it and the roots to trust."""

    certificate: x509.Certificate
    key: SigningKey
    chain_pem: str
    """What stands between leaf and root on the wire; empty for a self-signed authority."""
    roots_pem: str
    self_signed: bool

    @classmethod
    def from_pem(
        cls, *, certificate: bytes, key: bytes, chain: bytes, roots: bytes, self_signed: bool
    ) -> Self:
        """Raises BadBundle when the parts do not belong together. Never shows a key."""
        signer = _certificates(certificate, "CA certificate")[0]
        private = _private_key(key)
        above = _certificates(chain, "certificate chain") if chain.strip() else []
        anchors = _certificates(roots, "root certificates")
        if private.public_key() != signer.public_key():
            raise BadBundle("the CA key does not belong to the CA certificate")
        if not _is_ca(signer):
            raise BadBundle("the CA certificate may not sign certificates")
        _require_chain(signer, above, anchors)
        return cls(
            certificate=signer,
            key=private,
            chain_pem=chain.decode("ascii"),
            roots_pem=roots.decode("ascii"),
            self_signed=self_signed,
        )

    @property
    def expires(self) -> datetime:
        return self.certificate.not_valid_after_utc

    def chain_for(self, leaf_pem: str) -> list[str]:
        """The ``cert_chain`` of a response: leaf, intermediates one by one, the roots as one text."""
        above = _certificates(self.chain_pem.encode(), "chain") if self.chain_pem.strip() else []
        return [leaf_pem, *(pem(certificate) for certificate in above), self.roots_pem]


def self_signed(*, organization: str, life: float, rsa_bits: int, now: float) -> Authority:
    """A new root with a new RSA key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
    return _rooted(key, organization=organization, life=life, now=now)


def renewed(authority: Authority, *, organization: str, life: float, now: float) -> Authority:
    """The same key under a fresh root, so that chains of the old one still verify."""
    return _rooted(authority.key, organization=organization, life=life, now=now)


def due_for_renewal(authority: Authority, *, now: float) -> bool:
    """Less than a fifth of its life is left."""
    born = authority.certificate.not_valid_before_utc.timestamp()
    dies = authority.expires.timestamp()
    return (dies - now) < 0.2 * (dies - born)


def _rooted(key: SigningKey, *, organization: str, life: float, now: float) -> Authority:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
    begin = datetime.fromtimestamp(now, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - CLOCK_SKEW)
        .not_valid_after(begin + timedelta(seconds=life))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(certificate_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(
        certificate=certificate, key=key, chain_pem="", roots_pem=pem(certificate), self_signed=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Lives of issued certificates, in seconds."""

    default: float
    longest: float


def issue(
    authority: Authority,
    csr_pem: str,
    identities: Sequence[str],
    ttl: float,
    *,
    limits: Limits,
    now: float,
) -> list[str]:
    """The ``cert_chain`` for the caller named by ``identities``. Raises NotIssued."""
    request = _request(csr_pem)
    life = _life(ttl, limits)
    fits = request.dual_use and len(identities[0]) <= MAX_COMMON_NAME
    leaf = _sign(
        authority,
        request.public,
        identities,
        common_name=identities[0] if fits else "",
        life=life,
        now=now,
    )
    return authority.chain_for(pem(leaf))


def serving(
    authority: Authority, public: PublicKey, names: Sequence[str], *, life: float, now: float
) -> str:
    """A certificate chain (leaf first, without root) for our own TLS port."""
    leaf = _sign(authority, public, names, common_name="", life=life, now=now)
    return pem(leaf) + authority.chain_pem


class _Request(NamedTuple):
    """What is taken from a CSR: its key, and whether it has a common name."""

    public: PublicKey
    dual_use: bool


def _request(csr_pem: str) -> _Request:
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
    except ValueError:
        why = "certificate signing request is not properly encoded"
        raise NotIssued(Refusal.CSR, why) from None
    try:
        valid = request.is_signature_valid
        public = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise NotIssued(Refusal.CSR, "certificate signing request has an unusable key") from None
    if not valid:
        raise NotIssued(Refusal.CSR, "certificate signing request has a wrong signature")
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise NotIssued(Refusal.CSR, "certificate signing request has neither an RSA nor an EC key")
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < 2048:
        raise NotIssued(Refusal.CSR, "certificate signing request has an RSA key below 2048 bits")
    # peer: only the presence of a CN counts ("dual use"); what it says does not.
    dual_use = bool(request.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
    return _Request(public, dual_use)


def _life(ttl: float, limits: Limits) -> float:
    if ttl <= 0:
        return limits.default
    if ttl > limits.longest:
        asked, allowed = durations.render(ttl), durations.render(limits.longest)
        why = f"requested TTL {asked} is greater than the max allowed TTL {allowed}"
        raise NotIssued(Refusal.TTL, why)
    return ttl


def _sign(
    authority: Authority,
    public: PublicKey,
    names: Sequence[str],
    *,
    common_name: str,
    life: float,
    now: float,
) -> x509.Certificate:
    begin = datetime.fromtimestamp(now, UTC)
    if authority.expires <= begin:
        raise NotIssued(Refusal.CA, "the signing certificate has expired")
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(authority.certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - CLOCK_SKEW)
        .not_valid_after(min(begin + timedelta(seconds=life), authority.expires))
        .add_extension(_key_usage(certificate_sign=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_authority_key(authority), critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(n) for n in names]), critical=not subject)
    )
    return builder.sign(authority.key, hashes.SHA256())


def _authority_key(authority: Authority) -> x509.AuthorityKeyIdentifier:
    try:
        own = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _name(text: str) -> x509.GeneralName:
    if text.startswith("spiffe://"):
        return x509.UniformResourceIdentifier(text)
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _key_usage(*, certificate_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificate_sign,
        key_encipherment=not certificate_sign,
        key_cert_sign=certificate_sign,
        crl_sign=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def pem(certificate: x509.Certificate) -> str:
    """Text form, with the trailing line end that the peer sends too."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def key_pem(key: SigningKey) -> bytes:
    """PKCS#8, not encrypted: for a file of mode 0600 or a memfd, nothing else."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _certificates(data: bytes, what: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise BadBundle(f"{what}: is not a PEM certificate") from None


def _private_key(data: bytes) -> SigningKey:
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadBundle("CA key: is not an unencrypted PEM key") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise BadBundle("CA key: is neither RSA nor EC")
    return key


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    return constraints.ca


def _require_chain(
    signer: x509.Certificate, above: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> None:
    """Walk up from the signer; the chain file may or may not repeat signer and root."""
    current = signer
    for _ in range(len(above) + 2):
        if any(current == root or _signed_by(current, root) for root in roots):
            return
        parent = next((c for c in above if c != current and _signed_by(current, c)), None)
        if parent is None:
            break
        current = parent
    raise BadBundle("the CA certificate does not chain to the root certificates")


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
