# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sdsserver import mint

HOST = "spiffe://cluster.local/ns/a/sa/b"


def test_a_workloads_request_is_what_the_peers_is() -> None:
    made = mint.make({"host": HOST})
    csr = x509.load_pem_x509_csr(made["csr"].encode())
    assert made["csr"].startswith("-----BEGIN CERTIFICATE REQUEST-----\n")
    assert made["key"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert csr.is_signature_valid
    assert csr.subject.rfc4514_string() == "O="
    extension = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert extension.critical
    assert list(extension.value) == [x509.UniformResourceIdentifier(HOST)]


@pytest.mark.parametrize(
    ("options", "begin", "kind"),
    [
        ({"rsa_bits": 3072}, "RSA PRIVATE KEY", rsa.RSAPrivateKey),
        ({"ec_algorithm": "ECDSA"}, "EC PRIVATE KEY", ec.EllipticCurvePrivateKey),
        ({"ec_algorithm": "ECDSA", "pkcs8": True}, "PRIVATE KEY", ec.EllipticCurvePrivateKey),
    ],
)
def test_kinds_and_forms_of_keys(options: dict[str, object], begin: str, kind: type) -> None:
    text = mint.make({"host": HOST, **options})["key"]
    assert text.startswith(f"-----BEGIN {begin}-----\n")
    assert isinstance(load_pem_private_key(text.encode(), None), kind)


@pytest.mark.parametrize(("curve", "bits"), [("P256", 256), ("P384", 384), ("other", 256)])
def test_curves(curve: str, bits: int) -> None:
    key = mint.make_key({"ec_algorithm": "ECDSA", "curve": curve})
    assert key.key_size == bits


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"rsa_bits": 1024}, "1024 is below the minimum"),
        ({"ec_algorithm": "ED25519"}, "unsupported EC signature algorithm"),
    ],
)
def test_what_cannot_be_made_is_said(options: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        mint.make({"host": HOST, **options})


@pytest.mark.parametrize("text", ["", "{", '{"host": "x", "rsa_bits": 1}'])
def test_the_child_answers_faults_instead_of_dying(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert mint.main() == 0
    assert "error" in json.loads(capsys.readouterr().out)
