# SPDX-License-Identifier: Apache-2.0
"""Trust anchors that the control plane pushes (PCDS): from messages to certificates. Pure but for asking OpenSSL.

One bad certificate would make Envoy refuse all roots, so what does not parse is left out.
Source: spec/agent.md 4.9, 7.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.message import DecodeError

from sdsserver import pem
from wire.proto.istio_pb2 import PushedProxyConfig


def pushed(bodies: Sequence[bytes]) -> list[bytes]:
    """The PEM texts in the ProxyConfigs of one response. Raises ValueError for what is none."""
    found: list[bytes] = []
    for body in bodies:
        try:
            config = PushedProxyConfig.FromString(body)
        except DecodeError:
            raise ValueError("not a ProxyConfig") from None
        found += [text.encode() for text in config.ca_certificates_pem]
    return found


def usable(texts: Iterable[bytes]) -> tuple[list[bytes], int]:
    """The certificates that parse, as they stand in the texts, and how many do not.

    Raises ValueError when texts were given and none of them holds a certificate.
    """
    kept: list[bytes] = []
    dropped = given = 0
    for text in texts:
        given += 1
        blocks, bad = pem.valid_blocks(text)
        kept += blocks
        dropped += bad
    if given and not kept:
        raise ValueError("no valid certificate among the trust anchors")
    return kept, dropped
