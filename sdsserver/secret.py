# SPDX-License-Identifier: Apache-2.0
"""A secret and its wire form. Pure. Nothing here shows a key: ``repr`` names and counts only.

Source: spec/agent.md 7.2 (Envoy Secret). Messages by field number: wire/proto/secret.proto.
"""

from __future__ import annotations

from typing import NamedTuple

from sdsserver.names import ROOT
from wire.proto.secret_pb2 import PrivateKeyProvider
from wire.proto.secret_pb2 import Secret as SecretMessage

_PROVIDER_CONFIGS = {
    "cryptomb": "type.googleapis.com/envoy.extensions.private_key_providers.cryptomb.v3alpha."
    "CryptoMbPrivateKeyMethodConfig",
    "qat": "type.googleapis.com/envoy.extensions.private_key_providers.qat.v3alpha."
    "QatPrivateKeyMethodConfig",
}


class Secret(NamedTuple):
    """A key pair (chain and key), or roots; which one is what ``root`` says."""

    name: str
    chain: bytes = b""
    key: bytes = b""
    root: bytes = b""

    def __repr__(self) -> str:
        what = f"{len(self.root)} bytes of roots" if self.root else "key pair"
        return f"<Secret {self.name!r}: {what}>"


class KeyPair(NamedTuple):
    """The workload's certificate as it was issued or restored."""

    chain: bytes
    key: bytes
    root: bytes
    born: float
    """Our clock when it was received; the lifetime is counted from here, as the peer does."""
    dies: float
    """NotAfter of the leaf."""
    serial: int
    begins: float
    """NotBefore of the leaf: ahead of us when the CA's clock is."""

    def __repr__(self) -> str:
        return f"<KeyPair serial {self.serial:x}, dies {self.dies:.0f}>"

    def secret(self, name: str) -> Secret:
        """The form of this certificate under ``name``; roots are not merged here."""
        if name == ROOT:
            return Secret(name, root=self.root)
        return Secret(name, chain=self.chain, key=self.key)


class KeyProvider(NamedTuple):
    """ProxyConfig.privateKeyProvider: who in Envoy computes with the key."""

    name: str
    poll_nanos: int = 0
    fallback: bool = False

    def message(self, key: bytes) -> PrivateKeyProvider:
        provider = PrivateKeyProvider(provider_name=self.name, fallback=self.fallback)
        provider.typed_config.type_url = _PROVIDER_CONFIGS[self.name]
        provider.typed_config.value = _provider_config(self.poll_nanos, key)
        return provider


def encode(secret: Secret, *, crl: str = "", provider: KeyProvider | None = None) -> bytes:
    """The serialized Envoy Secret. ``crl`` is named beside roots, ``provider`` takes a pair's key."""
    message = SecretMessage(name=secret.name)
    if secret.root:
        message.validation_context.trusted_ca.inline_bytes = secret.root
        if crl:
            message.validation_context.crl.filename = crl
        return message.SerializeToString()
    message.tls_certificate.certificate_chain.inline_bytes = secret.chain
    if provider is None:
        message.tls_certificate.private_key.inline_bytes = secret.key
    else:
        message.tls_certificate.private_key_provider.CopyFrom(provider.message(secret.key))
    return message.SerializeToString()


def _provider_config(poll_nanos: int, key: bytes) -> bytes:
    """``{1: DataSource private_key, 2: Duration poll_delay}``, in both providers."""
    delay = _varint_field(2, poll_nanos) if poll_nanos else b""  # Duration.nanos
    return _bytes_field(1, _bytes_field(2, key)) + _bytes_field(2, delay)


def _bytes_field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(body)) + body


def _varint_field(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
