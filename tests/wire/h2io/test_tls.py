# SPDX-License-Identifier: Apache-2.0
"""TLS contexts: what they allow, and that a key is never on disk, in an error, or asked for at a terminal."""

from __future__ import annotations

import os
import ssl
from functools import partial

import pytest
from cryptography.hazmat.primitives import serialization

from mesh.errors import BadSetting
from tests.support.testca import CA
from wire.h2io.tls import client_context, server_context

AUTHORITY = CA()
LEAF = AUTHORITY.issue("localhost")


def test_what_they_allow() -> None:
    for context in (
        client_context(roots=AUTHORITY.certificate),
        server_context(chain=LEAF.chain, key=LEAF.key),
    ):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


def test_who_is_verified() -> None:
    client = client_context(roots=AUTHORITY.certificate)
    assert (client.verify_mode, client.check_hostname) == (ssl.CERT_REQUIRED, True)
    unnamed = client_context(roots=AUTHORITY.certificate, check_hostname=False)
    assert (unnamed.verify_mode, unnamed.check_hostname) == (ssl.CERT_REQUIRED, False)
    roots = AUTHORITY.certificate
    serve = partial(server_context, chain=LEAF.chain, key=LEAF.key)
    assert serve().verify_mode is ssl.CERT_NONE
    assert serve(client_roots=roots).verify_mode is ssl.CERT_OPTIONAL
    must = serve(client_roots=roots, require_client=True)
    assert must.verify_mode is ssl.CERT_REQUIRED


def test_the_systems_roots_are_used_where_none_are_given() -> None:
    assert client_context(roots=None).verify_mode is ssl.CERT_REQUIRED


def test_keys_are_in_memory_only(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    load = ssl.SSLContext.load_cert_chain

    def watched(self: ssl.SSLContext, chain: str, key: str, password: object) -> None:
        seen.extend(os.readlink(path) for path in (chain, key))
        load(self, chain, key, password)  # type: ignore[arg-type]  # a callable, as given

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    before = len(os.listdir("/proc/self/fd"))
    server_context(chain=LEAF.chain, key=LEAF.key)
    assert len(seen) == 2
    assert all(path.startswith("/memfd:") for path in seen)
    assert len(os.listdir("/proc/self/fd")) == before


def encrypted() -> bytes:
    key = serialization.load_pem_private_key(LEAF.key, None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pw"),
    )


@pytest.mark.parametrize(
    ("chain", "key", "why"),
    [
        (b"", LEAF.key, "cannot be used"),
        (LEAF.chain, b"", "cannot be used"),
        (LEAF.chain, b"-----BEGIN PRIVATE KEY-----\ns3cret\n", "cannot be used"),
        (LEAF.chain, CA().issue("localhost").key, "KEY_VALUES_MISMATCH"),
        (LEAF.chain, encrypted(), "the key is encrypted"),
    ],
    ids=["no certificate", "no key", "half a key", "another key", "an encrypted key"],
)
def test_what_cannot_be_used_is_named_and_not_shown(chain: bytes, key: bytes, why: str) -> None:
    with pytest.raises(BadSetting, match=why) as refused:
        server_context(chain=chain, key=key)
    told = repr(refused.value) + str(refused.value.__cause__)
    assert "certificate and key" in str(refused.value)
    assert "s3cret" not in told
    assert "BEGIN" not in told


@pytest.mark.parametrize("roots", [b"", b"nothing", b"\xff\xfe", LEAF.key])
def test_roots_that_are_none(roots: bytes) -> None:
    with pytest.raises(BadSetting, match="root certificates"):
        client_context(roots=roots)
