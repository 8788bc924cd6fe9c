# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for tests: ``CA().issue("localhost")`` gives a pair that verifies.

EC keys, so that a test costs a millisecond. Times are offsets from now, in seconds.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One issued certificate. All PEM; ``chain`` is the leaf and then the CA."""

    certificate: bytes
    key: bytes
    root: bytes

    @property
    def chain(self) -> bytes:
        return self.certificate + self.root

    @property
    def parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate)

    def write(self, directory: Path) -> None:
        """``cert-chain.pem``, ``key.pem``, ``root-cert.pem``."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cert-chain.pem").write_bytes(self.chain)
        (directory / "key.pem").write_bytes(self.key)
        (directory / "root-cert.pem").write_bytes(self.root)


class CA:
    """One self-signed root."""

    def __init__(self, name: str = "test root", *, lifetime: float = 3600.0) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _builder(self._name, self._name, lifetime, 0.0)
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .add_extension(_usage(signs=True), critical=True)
        )
        self.certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def issue(
        self,
        *names: str,
        lifetime: float = 3600.0,
        begin: float = 0.0,
    ) -> Leaf:
        """A new key, and its certificate for ``names`` (SPIFFE ids, addresses, host names)."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            key.public_key(), x509.SubjectAlternativeName([_san(n) for n in names]), lifetime, begin
        )
        return Leaf(
            certificate=certificate,
            key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            root=self.certificate,
        )

    def sign(self, csr_pem: bytes, *, lifetime: float = 3600.0, begin: float = 0.0) -> bytes:
        """The certificate for a request, with the names that it asks for."""
        csr = x509.load_pem_x509_csr(csr_pem)
        assert csr.is_signature_valid
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key = csr.public_key()
        return self._sign(key, names, lifetime, begin)

    def revoke(self, *leaves: Leaf) -> bytes:
        """A revocation list with these in it, in PEM."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - timedelta(seconds=1))
            .next_update(now + timedelta(hours=1))
        )
        for leaf in leaves:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(leaf.parsed.serial_number)
                .revocation_date(now - timedelta(seconds=1))
                .build()
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _sign(
        self,
        key: object,
        names: x509.SubjectAlternativeName,
        lifetime: float,
        begin: float,
    ) -> bytes:
        builder = (
            _builder(x509.Name([]), self._name, lifetime, begin)
            .public_key(key)  # type: ignore[arg-type]  # whatever kind the request has
            .add_extension(names, critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, lifetime: float, begin: float
) -> x509.CertificateBuilder:
    # OpenSSL's clock is the kernel's coarse one: in a second's first milliseconds it still shows the last second
    start = datetime.now(UTC) + timedelta(seconds=begin) - timedelta(seconds=0.05)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(start, start + timedelta(seconds=lifetime)))
        .not_valid_after(start + timedelta(seconds=lifetime))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signs,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _san(name: str) -> x509.GeneralName:
    if name.startswith("spiffe://"):
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
