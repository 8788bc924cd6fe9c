# SPDX-License-Identifier: Apache-2.0
"""Whether PEM texts are what they claim, asked of OpenSSL through ``ssl``: roots one by one, pairs together.

No ``cryptography``: the resident agent has ``ssl`` anyway. Keys reach it through a memfd, never a file.
Errors name the fault and never show the text. Source: spec/agent.md 7.4.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from sdsserver.trust import certificate_blocks
from sdsserver.x509 import der


def valid_roots(pem: bytes) -> tuple[bytes, int]:
    """The certificates of ``pem`` that parse, encoded anew, and how many were dropped.

    Raises ValueError when none is left.
    """
    kept, dropped = valid_blocks(pem)
    if not kept:
        raise ValueError("no valid certificate in the root file")
    return b"".join(_encode(der(block)) for block in kept), dropped


def valid_blocks(pem: bytes) -> tuple[list[bytes], int]:
    """The certificates of ``pem`` that parse, as they stand there, and how many do not."""
    kept: list[bytes] = []
    dropped = 0
    for block in certificate_blocks(pem):
        try:
            _context().load_verify_locations(cadata=der(block))
        except (ValueError, ssl.SSLError):
            dropped += 1
        else:
            kept.append(block)
    return kept, dropped


def check_pair(chain: bytes, key: bytes) -> None:
    """Raises ValueError when the chain or key does not parse or they do not belong together."""
    load_pair(_context(), chain, key)


def load_pair(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """Give ``context`` the pair. Raises ValueError when it is none."""
    with _memory_file("chain", chain) as chain_path, _memory_file("key", key) as key_path:
        try:
            # an encrypted key would ask on the terminal: a password that fits none makes it an error
            context.load_cert_chain(chain_path, key_path, password="")
        except ssl.SSLError as error:
            raise ValueError(
                f"certificate and key are not a pair: {error.reason or 'unreadable'}"
            ) from None


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _encode(certificate: bytes) -> bytes:
    text = base64.b64encode(certificate)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])


@contextmanager
def _memory_file(name: str, content: bytes) -> Iterator[str]:
    descriptor = os.memfd_create(name)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
