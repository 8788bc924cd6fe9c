# SPDX-License-Identifier: Apache-2.0
"""What COMPLIANCE_POLICY asks of our own TLS connections. Pure: names only, the TLS library is the caller's.

Source: spec/agent.md 11.5. TLS 1.3's cipher suites are the library's: Python before 3.15 cannot choose them, nor more
than one key exchange group, so of several allowed groups the first is used, and a policy that stands on a group
which is no curve (``pqc``) wants a Python that can (``TlsPolicy.needs_groups``).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class TlsPolicy(NamedTuple):
    """Bounds of a connection, in OpenSSL's words."""

    minimum: str
    """Attribute of ``ssl.TLSVersion``."""
    maximum: str
    ciphers: str
    """Of TLS 1.2; empty: the library's."""
    groups: tuple[str, ...]
    """Key exchange, best first."""
    needs_groups: bool = False
    """The first group is no curve: it can only be asked for by name."""


FIPS_CIPHERS: Final = ":".join(
    f"ECDHE-{key}-AES{cipher}"
    for cipher in ("128-GCM-SHA256", "256-GCM-SHA384")
    for key in ("ECDSA", "RSA")
)
"""Also what gRPC inside Envoy may use under the fips policies."""

POLICIES: Final = {
    "fips-140-2": TlsPolicy("TLSv1_2", "TLSv1_2", FIPS_CIPHERS, ("prime256v1",)),
    "fips-140-3": TlsPolicy("TLSv1_2", "TLSv1_3", FIPS_CIPHERS, ("prime256v1", "secp384r1")),
    "pqc": TlsPolicy("TLSv1_3", "TLSv1_3", "", ("X25519MLKEM768",), needs_groups=True),
}


def tls_policy(name: str) -> TlsPolicy | None:
    """The policy of this name; None for the empty one. Raises ValueError for an unknown one."""
    if not name:
        return None
    try:
        return POLICIES[name]
    except KeyError:
        raise ValueError(f"not one of {', '.join(POLICIES)}") from None
