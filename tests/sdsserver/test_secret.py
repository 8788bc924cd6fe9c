# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from sdsserver.secret import KeyPair, KeyProvider, Secret, encode
from wire.proto.secret_pb2 import DataSource
from wire.proto.secret_pb2 import Secret as Message

PAIR = KeyPair(b"chain", b"private", b"root", 1.0, 2.0, 255, 0.5)


def test_a_pair_and_its_root() -> None:
    assert PAIR.secret("default") == Secret("default", chain=b"chain", key=b"private")
    assert PAIR.secret("ROOTCA") == Secret("ROOTCA", root=b"root")


def test_envoys_form_agrees_with_the_published_messages() -> None:
    from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

    pair = secret_pb2.Secret.FromString(encode(PAIR.secret("default")))
    assert pair.name == "default"
    assert pair.tls_certificate.certificate_chain.inline_bytes == b"chain"
    assert pair.tls_certificate.private_key.inline_bytes == b"private"
    root = secret_pb2.Secret.FromString(encode(PAIR.secret("ROOTCA"), crl="/crl"))
    assert root.validation_context.trusted_ca.inline_bytes == b"root"
    assert root.validation_context.crl.filename == "/crl"


@pytest.mark.parametrize("name", ["cryptomb", "qat"])
def test_a_provider_takes_the_key(name: str) -> None:
    provider = KeyProvider(name, poll_nanos=10_000_000, fallback=True)
    message = Message.FromString(encode(PAIR.secret("default"), provider=provider)).tls_certificate
    assert not message.HasField("private_key")
    assert message.private_key_provider.provider_name == name
    assert message.private_key_provider.fallback
    config = message.private_key_provider.typed_config
    assert config.type_url.endswith("PrivateKeyMethodConfig")
    key = DataSource(inline_bytes=b"private").SerializeToString()
    delay = Duration(nanos=10_000_000).SerializeToString()
    assert config.value == b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(delay)]) + delay


def test_nothing_secret_is_shown() -> None:
    for value in (PAIR, PAIR.secret("default"), PAIR.secret("ROOTCA")):
        assert "private" not in repr(value)
        assert "private" not in f"{value}"
