# SPDX-License-Identifier: Apache-2.0
"""Asks the CA to sign: one unary call per attempt, each on its own fresh connection.

Roots, client certificate and token are read anew at each attempt, so whatever was rotated on disk
counts at once. Token and certificate are both shown, as the peer does; the CA takes what it accepts.
An expired or unreadable client certificate is not shown. Source: spec/agent.md 8, 4.3, 7.9.
"""

from __future__ import annotations

import os
import ssl
from random import Random
from typing import Protocol

from google.protobuf.message import DecodeError

import mesh.log
from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.errors import MeshError, SigningFailed, UpstreamUnavailable
from mesh.identity import Identity
from sdsserver import pem
from sdsserver.metrics import Metrics
from sdsserver.options import CaOptions, CertFiles
from sdsserver.x509 import facts
from wire.h2.grpc import Code, RpcError
from wire.proto.istio_pb2 import CertificateRequest, CertificateResponse

METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
ATTEMPTS = 5
CONNECT_TIMEOUT = 5.0
RETRYABLE = frozenset(
    {
        Code.CANCELLED,
        Code.DEADLINE_EXCEEDED,
        Code.RESOURCE_EXHAUSTED,
        Code.ABORTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
    }
)

log = mesh.log.get("citadelclient")


class Signer(Protocol):
    """Whoever turns a request into a chain."""

    async def sign(self, csr: str, ttl: float) -> list[str]:
        """The chain, leaf first, root last. Raises SigningFailed."""


class CaClient:
    """The CA at one address."""

    def __init__(self, options: CaOptions, clock: Clock, metrics: Metrics, rng: Random) -> None:
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._rng = rng

    async def sign(self, csr: str, ttl: float) -> list[str]:
        """The chain, leaf first, root last. Raises SigningFailed after the last attempt."""
        request = self._request(csr, ttl)
        backoff = Backoff(initial=0.1, factor=2.0, jitter=0.1, cap=0.8)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _chain(self._options.address, await self._attempt(request))
            except SigningFailed as error:
                if not error.retryable or attempt == ATTEMPTS:
                    raise
                log.debug("certificate request will be repeated", attempt=attempt, why=error.why)
            self._metrics.retries += 1
            await self._clock.sleep(backoff.delay(self._rng))
        raise AssertionError("BUG: the last attempt neither returned nor raised")

    def _request(self, csr: str, ttl: float) -> bytes:
        request = CertificateRequest(csr=csr, validity_duration=int(ttl))
        request.metadata["CertSigner"] = self._options.cert_signer
        return request.SerializeToString()

    async def _attempt(self, request: bytes) -> bytes:
        """One connection and one call; foreign errors end here."""
        from wire import h2io

        address = self._options.address
        try:
            connection = await h2io.connect(
                address,
                tls=self._tls() if self._options.tls else None,
                server_name=self._options.server_name,
                timeout=CONNECT_TIMEOUT,
            )
            try:
                return await connection.unary(
                    METHOD, request, metadata=self._metadata(), timeout=self._options.timeout
                )
            finally:
                await connection.close()
        except RpcError as error:
            code, message = error.status
            raise SigningFailed(
                address, f"{Code(code).name.lower()}: {message}", retryable=code in RETRYABLE
            ) from None
        except UpstreamUnavailable as error:
            raise SigningFailed(address, error.why) from error
        except OSError as error:  # roots: gone for the moment while they are replaced
            raise SigningFailed(
                address, f"{error.filename or address}: {error.strerror}"
            ) from error

    def _metadata(self) -> list[tuple[str, str]]:
        found = [("clusterid", self._options.cluster_id)]
        found += [(name.lower(), value) for name, value in self._options.headers.items()]
        token = read_token(self._options.token)
        return [*found, ("authorization", f"Bearer {token}")] if token else found

    def _tls(self) -> ssl.SSLContext:
        from wire.h2io.tls import client_context

        chain, key = client_pair(self._options.provisioned, self._clock.now())
        try:
            return client_context(
                roots=_read(self._options.roots) if self._options.roots else None,
                certificate=chain,
                key=key,
            )
        except (ValueError, MeshError) as error:
            raise SigningFailed(self._options.address, f"tls settings: {error}") from None


def read_token(path: str) -> str:
    """The token in the file, trimmed; empty, with a warning, when it cannot be read."""
    if not path:
        return ""
    try:
        return _read(path).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        log.warning("service account token unreadable", path=path, why=why)
        return ""


def client_pair(directory: str, now: float) -> tuple[bytes | None, bytes | None]:
    """Provisioned chain and key; neither where they are missing, unreadable or expired."""
    if not directory:
        return None, None
    files = CertFiles.in_dir(directory)
    try:
        chain, key = _read(files.chain), _read(files.key)
        if facts(chain).not_after < now:
            log.info("provisioned certificate has expired, using the token", path=files.chain)
            return None, None
        pem.check_pair(chain, key)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        log.info("provisioned certificate not usable, using the token", path=files.chain, why=why)
        return None, None
    return chain, key


def has_identity(chain: bytes, identity: Identity) -> bool:
    """Whether the leaf of ``chain`` names ``identity``."""
    return str(identity) in facts(chain).uris


def _chain(address: str, answer: bytes) -> list[str]:
    try:
        chain = list(CertificateResponse.FromString(answer).cert_chain)
    except DecodeError:
        raise SigningFailed(address, "unreadable answer", retryable=False) from None
    if len(chain) <= 1:
        raise SigningFailed(address, "invalid empty CertChain", retryable=False)
    return chain


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read(os.fstat(file.fileno()).st_size + 1)
