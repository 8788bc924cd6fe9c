# SPDX-License-Identifier: Apache-2.0
"""A certificate service built with grpcio: what our CA client talks to in tests.

``accept`` judges each call by its token and by the identity in its client certificate; ``script`` puts
faults before the answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from sdsserver.x509 import facts_of_der
from tests.support.grpc_running import serving
from tests.support.testca import CA, Leaf
from wire.h2io import Code, RpcError, ServerCall, Status
from wire.h2io.tls import server_context
from wire.proto.istio_pb2 import CertificateRequest, CertificateResponse

SERVER_NAME = "istiod.istio-system.svc"
SERVICE = "istio.v1.auth.IstioCertificateService"
REFUSED = grpc.StatusCode.UNAUTHENTICATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One call as it arrived."""

    metadata: dict[str, str]
    identities: tuple[str, ...]
    """Names in the client certificate; none without one."""
    request: CertificateRequest

    @property
    def token(self) -> str:
        return self.metadata.get("authorization", "").removeprefix("Bearer ")


Fault = grpc.StatusCode | list[str]


@dataclass(slots=True)
class FakeCa:
    """Signs whatever ``accept`` lets through."""

    ca: CA = field(default_factory=CA)
    lifetime: float = 3600.0
    begin: float = 0.0
    """Seconds by which this CA's clock is ahead."""
    down: bool = False
    """Every call is UNAVAILABLE."""
    accept: Callable[[Seen], bool] = lambda seen: True
    script: list[Fault] = field(default_factory=list)
    """Statuses or chains to answer with before anything is signed."""
    calls: list[Seen] = field(default_factory=list)
    address: str = ""

    def words(self, _: Seen) -> str:
        """The message of a refusal."""
        return "scripted"

    async def create(self, request: CertificateRequest, context: Any) -> CertificateResponse:
        identities = (context.auth_context() or {}).get("x509_subject_alternative_name", ())
        seen = Seen(
            metadata={name: str(value) for name, value in context.invocation_metadata() or ()},
            identities=tuple(value.decode() for value in identities),
            request=request,
        )
        answer = self._answer(seen)
        if isinstance(answer, list):
            return CertificateResponse(cert_chain=answer)
        await context.abort(answer, self.words(seen))
        raise AssertionError("abort raises")

    async def handle(self, call: ServerCall) -> None:
        """The same behind our own server, which can let clients do without a certificate."""
        request = CertificateRequest.FromString(await call.receive() or b"")
        certificate = call.peer.certificate
        identities = facts_of_der(certificate).uris if certificate else ()
        answer = self._answer(
            Seen(metadata=dict(call.metadata), identities=identities, request=request)
        )
        if isinstance(answer, grpc.StatusCode):
            raise RpcError(Status(Code(answer.value[0]), "scripted"))
        await call.send(CertificateResponse(cert_chain=answer).SerializeToString())

    def _answer(self, seen: Seen) -> grpc.StatusCode | list[str]:
        self.calls.append(seen)
        if self.script:
            return self.script.pop(0)
        if self.down:
            return grpc.StatusCode.UNAVAILABLE
        if not self.accept(seen):
            return REFUSED
        leaf = self.ca.sign(seen.request.csr.encode(), lifetime=self.lifetime, begin=self.begin)
        return [leaf.decode(), self.ca.certificate.decode()]

    @asynccontextmanager
    async def serve(
        self,
        *,
        tls: Leaf | None = None,
        require_client: bool = False,
        optional_client: bool = False,
    ) -> AsyncIterator[FakeCa]:
        """Listen on a free port, with TLS when ``tls`` is given.

        grpcio cannot make client certificates optional: ``optional_client`` takes our own server.
        """
        if tls is not None and optional_client:
            context = server_context(chain=tls.chain, key=tls.key, client_roots=self.ca.certificate)
            async with serving({f"/{SERVICE}/CreateCertificate": self.handle}, tls=context) as ours:
                self.address = ours.target
                yield self
            return
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_handlers(self),))
        if tls is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            credentials = grpc.ssl_server_credentials(
                [(tls.key, tls.chain)],
                root_certificates=self.ca.certificate,
                require_client_auth=require_client,
            )
            port = server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)


def _handlers(fake: FakeCa) -> Any:
    handler = grpc.unary_unary_rpc_method_handler(
        fake.create,
        request_deserializer=CertificateRequest.FromString,
        response_serializer=CertificateResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(SERVICE, {"CreateCertificate": handler})
