# SPDX-License-Identifier: Apache-2.0
"""TLS contexts for gRPC: TLS 1.2 or later, ALPN ``h2``, keys through a memfd and never on disk.

Part of the socket shell; the only module of ``wire`` that sees a private key. Errors name what
could not be loaded and never show it.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from mesh.compliance import TlsPolicy
from mesh.errors import BadSetting


def client_context(
    *,
    roots: bytes | None,
    certificate: bytes | None = None,
    key: bytes | None = None,
    check_hostname: bool = True,
    policy: TlsPolicy | None = None,
) -> ssl.SSLContext:
    """For connecting. ``roots`` in PEM; None trusts the system's. Raises ``BadSetting`` on bad PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_hostname
    _common(context)
    if policy is not None:
        _restrict(context, policy)
    if roots is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_roots(context, roots)
    if certificate is not None and key is not None:
        _load_pair(context, certificate, key)
    return context


def server_context(
    *,
    chain: bytes,
    key: bytes,
    client_roots: bytes | None = None,
    require_client: bool = False,
) -> ssl.SSLContext:
    """For listening. With ``client_roots``, a client may show a certificate, or must."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _common(context)
    _load_pair(context, chain, key)
    if client_roots is not None:
        _load_roots(context, client_roots)
        context.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_OPTIONAL
    return context


def _common(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # SPIFFE certificates carry no common name and their roots need not be self-signed
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def can_choose_groups() -> bool:
    """Whether this Python can name key exchange groups, and not only one curve."""
    return hasattr(ssl.SSLContext, "set_groups")


def _restrict(context: ssl.SSLContext, policy: TlsPolicy) -> None:
    context.minimum_version = ssl.TLSVersion[policy.minimum]
    context.maximum_version = ssl.TLSVersion[policy.maximum]
    if policy.ciphers:
        context.set_ciphers(policy.ciphers)
    if can_choose_groups():
        context.set_groups(":".join(policy.groups))  # type: ignore[attr-defined]  # Python 3.15
    elif policy.needs_groups:
        raise BadSetting("COMPLIANCE_POLICY", policy.groups[0], "this Python cannot ask for it")
    else:
        context.set_ecdh_curve(policy.groups[0])


def _load_roots(context: ssl.SSLContext, roots: bytes) -> None:
    try:
        context.load_verify_locations(cadata=roots.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as exc:
        raise BadSetting("root certificates", "", f"not PEM certificates: {_why(exc)}") from None


def _load_pair(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    try:
        with _in_memory(chain) as chain_path, _in_memory(key) as key_path:
            context.load_cert_chain(chain_path, key_path, password=_no_password)
    except (ssl.SSLError, ValueError) as exc:
        raise BadSetting("certificate and key", "", f"cannot be used: {_why(exc)}") from None


def _no_password() -> str:
    """OpenSSL would ask the terminal for the password of an encrypted key."""
    raise ValueError("the key is encrypted")


def _why(exc: Exception) -> str:
    return exc.reason or "bad PEM" if isinstance(exc, ssl.SSLError) else str(exc)


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
