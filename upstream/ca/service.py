# SPDX-License-Identifier: Apache-2.0
"""``istio.v1.auth.IstioCertificateService/CreateCertificate``: who asks, what is issued, which status says no.

Source: spec/upstream.md 4.1, 4.2, 17.3. A request is answered from its caller's identity; its CSR gives the key only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from mesh import log
from mesh.clock import Clock
from upstream.auth import Authenticator, Caller, NotAuthenticated
from upstream.ca.authority import Authority, Limits, NotIssued, Refusal, issue
from wire.h2.grpc import Code, RpcError, Status
from wire.h2io import ServerCall
from wire.proto.istio_pb2 import CertificateRequest, CertificateResponse

PATH = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
IMPERSONATION = "ImpersonatedIdentity"
CODES = {
    Refusal.CSR: Code.INVALID_ARGUMENT,
    Refusal.TTL: Code.INVALID_ARGUMENT,
    Refusal.CA: Code.INTERNAL,
}

_log = log.get("serverca")


@dataclass(slots=True)
class Counts:
    """The peer's citadel counters."""

    requests: int = 0
    issued: int = 0
    not_authenticated: int = 0
    bad_requests: int = 0


class CertificateService:
    """Answers certificate requests with whatever authority is in use at that moment."""

    def __init__(
        self,
        authority: Callable[[], Authority],
        authenticator: Authenticator,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._authority = authority
        self._authenticator = authenticator
        self._limits = limits
        self._clock = clock
        self.counts = Counts()

    async def create_certificate(self, call: ServerCall) -> None:
        """The gRPC handler."""
        self.counts.requests += 1
        caller = await self._identify(call)
        request = await self._receive(call)
        if IMPERSONATION in request.metadata.fields:
            raise self._stranger(call, "impersonation is not allowed")
        chain = self._issue(request, caller)
        self.counts.issued += 1
        _log.info("certificate issued", identity=caller.identities[0], by=caller.source)
        await call.send(CertificateResponse(cert_chain=chain).SerializeToString())

    async def _identify(self, call: ServerCall) -> Caller:
        try:
            return await self._authenticator.identify(
                call.peer.certificate, call.metadata, now=self._clock.now()
            )
        except NotAuthenticated as error:
            raise self._stranger(call, str(error)) from None

    def _stranger(self, call: ServerCall, why: str) -> RpcError:
        self.counts.not_authenticated += 1
        _log.warning("certificate request refused", peer=call.peer.address, reason=why)
        return RpcError(Status(Code.UNAUTHENTICATED, "request authenticate failure"))

    async def _receive(self, call: ServerCall) -> CertificateRequest:
        message = await call.receive()  # the deadline is the caller's; a lost peer ends the call
        try:
            return CertificateRequest.FromString(message or b"")
        except DecodeError:
            raise RpcError(Status(Code.INTERNAL, "request is not a certificate request")) from None

    def _issue(self, request: CertificateRequest, caller: Caller) -> list[str]:
        try:
            return issue(
                self._authority(),
                request.csr,
                caller.identities,
                request.validity_duration,
                limits=self._limits,
                now=self._clock.now(),
            )
        except NotIssued as error:
            self.counts.bad_requests += error.refusal is Refusal.CSR
            _log.warning("certificate request refused", caller=caller.identities[0], reason=error)
            raise RpcError(Status(CODES[error.refusal], f"CSR signing error ({error})")) from None
