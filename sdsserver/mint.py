# SPDX-License-Identifier: Apache-2.0
"""Makes a key and a certificate request: ``python -m sdsserver.mint``, a child that lives for one request.

The only importer of ``cryptography``, so that the resident agent never pays for it. One JSON object
in on standard input, one out on standard output; keys are never in arguments, environment or files.
Source: spec/agent.md 7.5. Peer: generate_csr.go, san.go.
"""

from __future__ import annotations

import ipaddress
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

MINIMUM_RSA_BITS = 2048


def make(request: dict[str, Any]) -> dict[str, str]:
    """Key and CSR for ``request``: host, organization, dual_use, rsa_bits, ec_algorithm, curve, pkcs8.

    Raises ValueError, worded for an operator, when the request cannot be met.
    """
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = make_key(request)
    form = PrivateFormat.PKCS8 if request.get("pkcs8") else PrivateFormat.TraditionalOpenSSL
    return {
        "key": key.private_bytes(Encoding.PEM, form, NoEncryption()).decode(),
        "csr": make_csr(request, key).public_bytes(Encoding.PEM).decode(),
    }


def make_key(request: dict[str, Any]) -> PrivateKey:
    """A fresh key of the kind asked for."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    algorithm = request.get("ec_algorithm", "")
    if algorithm == "ECDSA":
        return ec.generate_private_key(
            ec.SECP384R1() if request.get("curve") == "P384" else ec.SECP256R1()
        )
    if algorithm:
        raise ValueError("csr cert generation fails due to unsupported EC signature algorithm")
    bits = int(request.get("rsa_bits", MINIMUM_RSA_BITS))
    if bits < MINIMUM_RSA_BITS:
        raise ValueError(f"requested key size {bits} is below the minimum of {MINIMUM_RSA_BITS}")
    return rsa.generate_private_key(65537, bits)


def make_csr(request: dict[str, Any], key: PrivateKey) -> x509.CertificateSigningRequest:
    """Signed by ``key``; the names are a critical subjectAltName."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    builder = x509.CertificateSigningRequestBuilder(
        x509.Name([x509.RelativeDistinguishedName([each]) for each in subject(request)])
    )
    if request.get("host"):
        builder = builder.add_extension(names(request["host"]), critical=True)
    return builder.sign(key, hashes.SHA256())


def subject(request: dict[str, Any]) -> list[x509.NameAttribute[str]]:
    """Organization (empty for workloads) and, for dual use, the first host as common name."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    found = [
        # validated away by the library: the peer's subject holds one empty organization
        x509.NameAttribute(
            NameOID.ORGANIZATION_NAME, request.get("organization", ""), _validate=False
        )
    ]
    if request.get("dual_use"):
        found.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name(request["host"])))
    return found


def common_name(host: str) -> str:
    """The first of comma-separated hosts. Raises ValueError where it does not fit into a common name."""
    first = host.split(",", maxsplit=1)[0]
    if len(first) > 64:
        raise ValueError(f"certificate CN upper bound exceeded: {first}")
    return first


def names(host: str) -> x509.SubjectAlternativeName:
    """The comma-separated hosts in order: addresses, SPIFFE ids, DNS names."""
    from cryptography import x509

    return x509.SubjectAlternativeName([_name(each) for each in host.split(",")])


def _name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if host.startswith("spiffe://"):
            return x509.UniformResourceIdentifier(host)
        return x509.DNSName(host)


def main() -> int:
    """The child: answers with ``key`` and ``csr``, or with ``error``."""
    try:
        answer = make(json.load(sys.stdin))
    except ValueError as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
