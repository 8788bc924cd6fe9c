# SPDX-License-Identifier: Apache-2.0
"""What the secret part needs to know: one frozen branch of the agent's settings. Pure.

The agent's settings fill it from env, flags and ProxyConfig; nothing here reads them.
Source: spec/agent.md 1.7, 7, 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mesh import paths
from mesh.compliance import TlsPolicy
from mesh.identity import Identity
from mesh.ports import PROXY_UID


class Mode(StrEnum):
    """Who brings the workload's certificate."""

    FULL = "full"
    """We do: a CSR, signed by the CA."""
    FILE_MOUNTED = "file mounted"
    """Files do (FILE_MOUNTED_CERTS, workload identity files): no CA client at all."""
    FILES_ONLY = "files only"
    """Another SDS server does, on the workload socket; we serve file certificates on our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertFiles:
    """Where one key pair and its root lie."""

    chain: str
    key: str
    root: str

    @classmethod
    def in_dir(cls, directory: str) -> CertFiles:
        """The usual names in ``directory``."""
        return cls(
            chain=f"{directory}/{paths.CERT_CHAIN}",
            key=f"{directory}/{paths.KEY}",
            root=f"{directory}/{paths.ROOT_CERT}",
        )


_WORKLOAD_FILES = CertFiles.in_dir(paths.WORKLOAD_CREDENTIALS_DIR)
_WELL_KNOWN = CertFiles.in_dir(paths.CERTS_DIR)


class Curve(StrEnum):
    """Curves that the peer knows."""

    P256 = "P256"
    P384 = "P384"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOptions:
    """The key of each certificate request."""

    rsa_bits: int = 2048
    """WORKLOAD_RSA_KEY_SIZE; below 2048 every request fails, as the peer's does."""
    ec_algorithm: str = ""
    """ECC_SIGNATURE_ALGORITHM verbatim: empty is RSA, ``ECDSA`` is EC, anything else fails."""
    curve: Curve = Curve.P256
    """ECC_CURVE; whatever is not P384 is P256."""
    pkcs8: bool = False
    """PKCS8_KEY."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaOptions:
    """Where certificates are signed, and what we show there."""

    address: str
    """CA_ADDR, or discoveryAddress when that is empty; ``unix:/path`` works too."""
    tls: bool = True
    """False when the address ends in ``:15010`` (``plaintext_address``)."""
    policy: TlsPolicy | None = None
    """COMPLIANCE_POLICY: bounds of the connection."""
    roots: str | None = paths.CITADEL_ROOT
    """PEM file that the CA's certificate is checked with (``ca_roots`` chooses); None is the system pool."""
    server_name: str = ""
    """TLS name to expect; ISTIOD_SAN when the address was defaulted, else the host of the address."""
    provisioned: str = ""
    """PROV_CERT: directory of the client certificate; empty is none."""
    token: str = paths.JWT
    """File of the bearer token, read at each attempt; empty is none."""
    cluster_id: str = ""
    """ISTIO_META_CLUSTER_ID; always sent, also when empty."""
    cert_signer: str = ""
    """ISTIO_META_CERT_SIGNER; always sent, also when empty."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """CA_HEADER_<NAME>: name verbatim to value."""
    timeout: float = 20.0
    """Seconds one attempt may take, connection included. The peer has no bound; a dead CA must not hold us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretOptions:
    """The whole branch."""

    identity: Identity
    """SPIFFE id to ask for: TRUST_DOMAIN, POD_NAMESPACE, SERVICE_ACCOUNT."""
    ca: CaOptions | None
    """None where there is no CA (FILE_MOUNTED and FILES_ONLY ignore it)."""
    more_cas: tuple[CaOptions, ...] = ()
    """PILOT_CA_FALLBACKS: asked in this order when ``ca`` does not sign."""
    mode: Mode = Mode.FULL
    """FULL, or FILE_MOUNTED for FILE_MOUNTED_CERTS; ``external.settle`` finds the rest out."""
    socket_dir: str = paths.WORKLOAD_SOCKET_DIR
    """Directory of the workload socket."""
    socket_name: str = paths.WORKLOAD_SOCKET_NAME
    """WORKLOAD_IDENTITY_SOCKET_FILE: a bare file name; not ``socket`` means that an external one must answer."""
    files_socket: str = paths.FILES_SOCKET
    """Where we listen in FILES_ONLY mode."""
    workload_files: CertFiles = _WORKLOAD_FILES
    """Workload identity files: all three present means FILE_MOUNTED with these."""
    well_known: CertFiles = _WELL_KNOWN
    """Files that ``default`` and ``ROOTCA`` come from when they are readable and not empty."""
    output_dir: str = ""
    """OUTPUT_CERTS: directory that certificates are written to; empty is none."""
    output_mode: int = 0o600
    """Mode of those files: 0o644 when KUBERNETES_SERVICE_HOST is set."""
    key: KeyOptions = KeyOptions()
    ttl: float = 24 * 3600.0
    """SECRET_TTL in seconds: lifetime to ask for."""
    grace_ratio: float = 0.5
    """SECRET_GRACE_PERIOD_RATIO: the part of the lifetime that is left when a certificate is renewed."""
    grace_jitter: float = 0.01
    """SECRET_GRACE_PERIOD_RATIO_JITTER."""
    debounce: float = 0.1
    """FILE_DEBOUNCE_DURATION in seconds."""
    file_deadline: float = 10.0
    """Seconds that a broken or missing file is tried again before its request fails."""
    poll: float = 5.0
    """PILOT_CERT_POLL: seconds between looks at watched files, should a notification be missed; 0 is never."""
    crl: str = paths.CRL
    """Revocation list named in root secrets when it exists (PILOT_ENABLE_CA_CRL); empty is never."""
    key_provider: str = ""
    """ProxyConfig.privateKeyProvider: empty, ``cryptomb`` or ``qat``."""
    key_provider_poll_nanos: int = 0
    """Nanosecond part of its pollDelay."""
    key_provider_fallback: bool = False
    identity_dir: str = ""
    """PILOT_IDENTITY_DIR: memory-backed parent for the stored identity; empty is never stored."""
    identity_dir_trusted: bool = False
    """PILOT_IDENTITY_DIR_TRUST: accept a parent on a disk, or one in which others may write."""
    prove: bool = True
    """PILOT_CERT_PROOF: look by a handshake whether Envoy uses what it was given."""
    allow_uids: frozenset[int] | None = None
    """PILOT_UDS_ALLOW: who may connect; None is anyone (``proxy_uids`` for the default)."""
    allow_gids: frozenset[int] = frozenset()
    """Groups whose members may connect besides; the proxy's (1337) by default of PILOT_UDS_ALLOW."""

    @property
    def socket(self) -> str:
        """The socket that we listen on."""
        if self.mode is Mode.FILES_ONLY:
            return self.files_socket
        return f"{self.socket_dir}/{paths.WORKLOAD_SOCKET_NAME}"


def proxy_uids(own_uid: int) -> frozenset[int]:
    """The default of PILOT_UDS_ALLOW: ourselves, root and the proxy's user."""
    return frozenset({own_uid, 0, PROXY_UID})


def plaintext_address(address: str) -> bool:
    """Whether the CA at this address speaks without TLS."""
    return address.endswith(":15010")


def ca_roots(*, setting: str, provider: str, provisioned: str) -> str | None:
    """The file of the CA's roots: CA_ROOT_CA, PILOT_CERT_PROVIDER, PROV_CERT. None is the system pool.

    Raises ValueError when the provider is ``none``; whether the file exists is for the caller.
    """
    if setting == "SYSTEM":
        return None
    if setting:
        return setting
    if provider == "custom":
        return f"{paths.CERTS_DIR}/{paths.ROOT_CERT}"
    if provisioned:
        return f"{provisioned}/{paths.ROOT_CERT}"
    if provider == "none":
        raise ValueError("no root certificate: PILOT_CERT_PROVIDER is none and CA_ROOT_CA is empty")
    return paths.CITADEL_ROOT
