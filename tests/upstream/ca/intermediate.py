# SPDX-License-Identifier: Apache-2.0
"""An authority under another, as plugged ones are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.upstream.authority import NOW
from upstream.ca.authority import Authority, pem


def under(root: Authority, *, now: float = NOW, name: str = "intermediate") -> Authority:
    """A fresh EC authority signed by ``root``."""
    key = ec.generate_private_key(ec.SECP256R1())
    begin = datetime.fromtimestamp(now, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - timedelta(minutes=2))
        .not_valid_after(begin + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(root.key, hashes.SHA256())
    )
    return Authority(
        certificate=certificate,
        key=key,
        chain_pem=pem(certificate),
        roots_pem=root.roots_pem,
        self_signed=False,
    )
