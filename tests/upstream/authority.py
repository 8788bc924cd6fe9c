# SPDX-License-Identifier: Apache-2.0
"""Requests and bundles for tests of the certificate authority."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from upstream.ca.authority import Authority, key_pem, pem, self_signed

NOW = 1_800_000_000.0
HOSTILE = "spiffe://cluster.local/ns/evil/sa/evil"
ME = "spiffe://cluster.local/ns/default/sa/me"

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def csr(key: Key, *, common_name: str = "") -> str:
    """A request that claims to be somebody else."""
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(subject))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(HOSTILE)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.PEM).decode()


def root(now: float = NOW) -> Authority:
    """A self-signed authority with ten years to live."""
    return self_signed(organization="cluster.local", life=3650 * 86400.0, rsa_bits=2048, now=now)


def plug(directory: Path, authority: Authority) -> None:
    """Write a bundle as an operator would."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ca-cert.pem").write_text(pem(authority.certificate))
    (directory / "ca-key.pem").write_bytes(key_pem(authority.key))
    (directory / "cert-chain.pem").write_text(authority.chain_pem or pem(authority.certificate))
    (directory / "root-cert.pem").write_text(authority.roots_pem)


def names(certificate: x509.Certificate) -> list[str]:
    """URI, DNS and IP names."""
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(one.value) for one in san]
