# SPDX-License-Identifier: Apache-2.0
"""What is issued and what is refused, looked at with cryptography."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.upstream.authority import ME, NOW, csr, names, new_key, root
from upstream.ca.authority import (
    Authority,
    BadBundle,
    Limits,
    NotIssued,
    Refusal,
    due_for_renewal,
    issue,
    key_pem,
    pem,
    renewed,
    self_signed,
    serving,
)

DAY = 86400.0
LIMITS = Limits(default=DAY, longest=90 * DAY)
BEGIN = datetime.fromtimestamp(NOW, UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return root()


def leaf(chain: list[str]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(chain[0].encode())


def test_identity_is_the_callers(authority: Authority) -> None:
    chain = issue(authority, csr(new_key()), [ME], 3600, limits=LIMITS, now=NOW)
    certificate = leaf(chain)
    assert names(certificate) == [ME]
    assert certificate.subject.rfc4514_string() == ""
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert san.critical
    assert chain[1:] == [authority.roots_pem]
    assert chain[0].endswith("-----END CERTIFICATE-----\n")
    certificate.verify_directly_issued_by(authority.certificate)


def test_shape_of_a_leaf(authority: Authority) -> None:
    key = new_key()
    certificate = leaf(issue(authority, csr(key), [ME], 3600, limits=LIMITS, now=NOW))
    assert certificate.public_key() == key.public_key()
    extensions = certificate.extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert usage.value.key_encipherment
    assert not usage.value.key_cert_sign
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    issuer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issuer.key_identifier is not None


@pytest.mark.parametrize(
    ("ttl", "life"), [(3600, 3600.0), (0, DAY), (-5, DAY), (90 * DAY, 90 * DAY)]
)
def test_life(authority: Authority, ttl: float, life: float) -> None:
    certificate = leaf(issue(authority, csr(new_key()), [ME], ttl, limits=LIMITS, now=NOW))
    assert certificate.not_valid_before_utc == BEGIN - timedelta(minutes=2)
    assert certificate.not_valid_after_utc == BEGIN + timedelta(seconds=life)


def test_life_ends_with_the_signers() -> None:
    short = self_signed(organization="x", life=60, rsa_bits=2048, now=NOW)
    certificate = leaf(issue(short, csr(new_key()), [ME], 3600, limits=LIMITS, now=NOW))
    assert certificate.not_valid_after_utc == short.expires


def test_too_long(authority: Authority) -> None:
    with pytest.raises(NotIssued) as caught:
        issue(authority, csr(new_key()), [ME], 91 * DAY, limits=LIMITS, now=NOW)
    assert caught.value.refusal is Refusal.TTL
    assert (
        str(caught.value) == "requested TTL 2184h0m0s is greater than the max allowed TTL 2160h0m0s"
    )


def test_expired_signer(authority: Authority) -> None:
    with pytest.raises(NotIssued) as caught:
        issue(authority, csr(new_key()), [ME], 60, limits=LIMITS, now=NOW + 4000 * DAY)
    assert caught.value.refusal is Refusal.CA


def test_garbage(authority: Authority) -> None:
    with pytest.raises(
        NotIssued, match="certificate signing request is not properly encoded"
    ) as caught:
        issue(authority, "garbage", [ME], 60, limits=LIMITS, now=NOW)
    assert caught.value.refusal is Refusal.CSR


def test_signature_of_another_key(authority: Authority) -> None:
    text = csr(new_key())
    request = x509.load_pem_x509_csr(text.encode())
    from base64 import b64encode

    from cryptography.hazmat.primitives.serialization import Encoding

    der = bytearray(request.public_bytes(Encoding.DER))
    der[-1] ^= 1
    forged = f"-----BEGIN CERTIFICATE REQUEST-----\n{b64encode(der).decode()}\n-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(NotIssued) as caught:
        issue(authority, forged, [ME], 60, limits=LIMITS, now=NOW)
    assert caught.value.refusal is Refusal.CSR


def test_rsa_request_and_weak_rsa_request(authority: Authority) -> None:
    good = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert names(leaf(issue(authority, csr(good), [ME], 60, limits=LIMITS, now=NOW))) == [ME]
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(NotIssued, match="below 2048 bits"):
        issue(authority, csr(weak), [ME], 60, limits=LIMITS, now=NOW)


def test_common_name_is_dual_use(authority: Authority) -> None:
    chain = issue(authority, csr(new_key(), common_name="evil"), [ME], 60, limits=LIMITS, now=NOW)
    (attribute,) = leaf(chain).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert attribute.value == ME
    assert names(leaf(chain)) == [ME]


def test_serving_certificate_has_names_of_each_kind(authority: Authority) -> None:
    wanted = ["istiod.istio-system.svc", "localhost", "127.0.0.1"]
    chain = serving(authority, new_key().public_key(), wanted, life=DAY, now=NOW)
    assert names(x509.load_pem_x509_certificate(chain.encode())) == wanted


def test_intermediate_stands_between_leaf_and_root(authority: Authority) -> None:
    from tests.upstream.ca.intermediate import under

    middle = under(authority)
    chain = issue(middle, csr(new_key()), [ME], 60, limits=LIMITS, now=NOW)
    assert len(chain) == 3
    assert chain[1] == pem(middle.certificate)
    assert chain[2] == authority.roots_pem
    leaf(chain).verify_directly_issued_by(middle.certificate)


def test_renewal_keeps_the_key_and_old_leaves_verify(authority: Authority) -> None:
    old = leaf(issue(authority, csr(new_key()), [ME], 60, limits=LIMITS, now=NOW))
    late = NOW + 3000 * DAY
    assert not due_for_renewal(authority, now=NOW)
    assert due_for_renewal(authority, now=late)
    fresh = renewed(authority, organization="cluster.local", life=3650 * DAY, now=late)
    assert not due_for_renewal(fresh, now=late)
    assert fresh.expires > authority.expires
    old.verify_directly_issued_by(fresh.certificate)


def parts(authority: Authority) -> dict[str, bytes]:
    return {
        "certificate": pem(authority.certificate).encode(),
        "key": key_pem(authority.key),
        "chain": b"",
        "roots": authority.roots_pem.encode(),
    }


def test_bundle_is_read_back(authority: Authority) -> None:
    again = Authority.from_pem(**parts(authority), self_signed=True)
    assert again == replace(authority, key=again.key)


def test_bundle_that_does_not_belong_together(authority: Authority) -> None:
    other = root()
    cases = {
        "does not belong to": {"key": key_pem(other.key)},
        "does not chain": {"roots": other.roots_pem.encode()},
        "is not an unencrypted PEM key": {"key": b"secret nonsense"},
        "CA certificate: is not a PEM": {"certificate": b"nonsense"},
    }
    for says, wrong in cases.items():
        with pytest.raises(BadBundle, match=says) as caught:
            Authority.from_pem(**{**parts(authority), **wrong}, self_signed=False)
        assert "secret" not in str(caught.value)


def test_leaf_is_no_authority(authority: Authority) -> None:
    key = new_key()
    chain = issue(authority, csr(key), [ME], 60, limits=LIMITS, now=NOW)
    with pytest.raises(BadBundle, match="may not sign"):
        Authority.from_pem(
            certificate=chain[0].encode(),
            key=key_pem(key),
            chain=b"",
            roots=authority.roots_pem.encode(),
            self_signed=False,
        )
