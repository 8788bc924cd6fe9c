# SPDX-License-Identifier: Apache-2.0
"""Asks the CA to sign: one unary call per attempt, each on its own fresh connection.

Roots, client certificate and token are read anew at each attempt, so whatever was rotated on disk
counts at once. Which of them are shown is ``credentials``' choice. An expired or unreadable client
certificate is not shown. Source: spec/agent.md 8, 4.3, 7.9.
"""

from __future__ import annotations

import os
import ssl
from random import Random
from typing import Protocol

from google.protobuf.message import DecodeError

import mesh.log
from mesh import redact
from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.errors import MeshError, SigningFailed, UpstreamUnavailable
from mesh.identity import Identity
from sdsserver import pem
from sdsserver.credentials import Choice, Shown, token_expiry
from sdsserver.metrics import Metrics
from sdsserver.options import CaOptions, CertFiles
from sdsserver.x509 import facts
from wire.h2.grpc import Code, RpcError
from wire.proto.istio_pb2 import CertificateRequest, CertificateResponse

METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
ATTEMPTS = 5
WITH_OTHERS = 2
"""Attempts where another CA comes after this one: it is the better repetition."""
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

REFUSED = frozenset({Code.UNAUTHENTICATED, Code.PERMISSION_DENIED})

log = mesh.log.get("citadelclient")


Pair = tuple[bytes | None, bytes | None]
"""Chain and key, PEM."""
NO_PAIR: Pair = (None, None)


class Signer(Protocol):
    """Whoever turns a request into a chain."""

    async def sign(self, csr: str, ttl: float) -> list[str]:
        """The chain, leaf first, root last. Raises SigningFailed."""


class CaClient:
    """The CA at one address; ``attempts`` bounds those whose failure may pass."""

    def __init__(
        self,
        options: CaOptions,
        clock: Clock,
        metrics: Metrics,
        rng: Random,
        *,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._options = options
        self._attempts = attempts
        self._clock = clock
        self._metrics = metrics
        self._rng = rng

    async def sign(self, csr: str, ttl: float) -> list[str]:
        """The chain, leaf first, root last. Raises SigningFailed after the last attempt."""
        request, choice = self._request(csr, ttl), Choice()
        backoff = Backoff(initial=0.1, factor=2.0, jitter=0.1, cap=0.8)
        attempt = 1
        while True:
            try:
                return _chain(self._options.address, await self._attempt(request, choice))
            except _Refused as error:
                if not choice.on_refusal():
                    raise
                log.warning("CA refused, showing another credential", why=error.why)
                continue
            except SigningFailed as error:
                if not error.retryable or attempt == self._attempts:
                    raise
                log.debug("certificate request will be repeated", attempt=attempt, why=error.why)
            choice.on_break()
            attempt += 1
            self._metrics.retries += 1
            await self._clock.sleep(backoff.delay(self._rng))

    def _request(self, csr: str, ttl: float) -> bytes:
        request = CertificateRequest(csr=csr, validity_duration=int(ttl))
        request.metadata["CertSigner"] = self._options.cert_signer
        return request.SerializeToString()

    async def _attempt(self, request: bytes, choice: Choice) -> bytes:
        """One connection and one call; foreign errors end here."""
        from wire import h2io

        address = self._options.address
        token, (chain, key) = self._credentials(choice)
        try:
            connection = await h2io.connect(
                address,
                tls=self._tls(chain, key) if self._options.tls else None,
                server_name=self._options.server_name,
                timeout=CONNECT_TIMEOUT,
            )
            try:
                return await connection.unary(
                    METHOD, request, metadata=self._metadata(token), timeout=self._options.timeout
                )
            finally:
                await connection.close()
        except RpcError as error:
            raise self._failure(error, token) from None
        except UpstreamUnavailable as error:
            raise SigningFailed(address, error.why) from error
        except OSError as error:  # roots: gone for the moment while they are replaced
            raise SigningFailed(
                address, f"{error.filename or address}: {error.strerror}"
            ) from error

    def _credentials(self, choice: Choice) -> tuple[str, Pair]:
        """What this attempt shows: a token, a pair, both or none."""
        token = read_token(self._options.token)
        pair = client_pair(self._options.provisioned, self._clock.now())
        there = Shown.TOKEN if token else Shown.NOTHING
        if pair != NO_PAIR and self._options.tls:
            there |= Shown.CERTIFICATE
        shown = choice.carry(there)
        return (
            token if Shown.TOKEN in shown else "",
            pair if Shown.CERTIFICATE in shown else NO_PAIR,
        )

    def _metadata(self, token: str) -> list[tuple[str, str]]:
        found = [("clusterid", self._options.cluster_id)]
        found += [(name.lower(), value) for name, value in self._options.headers.items()]
        return [*found, ("authorization", f"Bearer {token}")] if token else found

    def _tls(self, chain: bytes | None, key: bytes | None) -> ssl.SSLContext:
        from wire.h2io.tls import client_context

        try:
            return client_context(
                roots=_read(self._options.roots) if self._options.roots else None,
                certificate=chain,
                key=key,
                policy=self._options.policy,
            )
        except (ValueError, MeshError) as error:
            raise SigningFailed(self._options.address, f"tls settings: {error}") from None

    def _failure(self, error: RpcError, token: str) -> SigningFailed:
        code, message = error.status
        said = redact.words(message, token, *self._options.headers.values())
        why = f"{Code(code).name.lower()}: {said}"
        if code not in REFUSED:
            return SigningFailed(self._options.address, why, retryable=code in RETRYABLE)
        ended = token_expiry(token)
        if ended is not None and ended < self._clock.now():
            why += f" (the token expired {self._clock.now() - ended:.0f} s ago)"
        return _Refused(self._options.address, why, retryable=False)


class _Refused(SigningFailed):
    """The CA does not accept what we showed it."""


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


def client_pair(directory: str, now: float) -> Pair:
    """Provisioned chain and key; neither where they are missing, unreadable or expired."""
    if not directory:
        return NO_PAIR
    files = CertFiles.in_dir(directory)
    try:
        chain, key = _read(files.chain), _read(files.key)
        if facts(chain).not_after < now:
            log.info("provisioned certificate has expired, using the token", path=files.chain)
            return NO_PAIR
        pem.check_pair(chain, key)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        log.info("provisioned certificate not usable, using the token", path=files.chain, why=why)
        return NO_PAIR
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
