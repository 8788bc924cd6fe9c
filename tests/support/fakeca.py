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

from tests.support.testca import CA, Leaf
from wire.proto.istio_pb2 import CertificateRequest, CertificateResponse

SERVER_NAME = "istiod.istio-system.svc"


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
    accept: Callable[[Seen], bool] = lambda seen: True
    script: list[Fault] = field(default_factory=list)
    """Statuses or chains to answer with before anything is signed."""
    calls: list[Seen] = field(default_factory=list)
    address: str = ""

    async def create(self, request: CertificateRequest, context: Any) -> CertificateResponse:
        seen = Seen(
            metadata={name: str(value) for name, value in context.invocation_metadata() or ()},
            identities=tuple(
                value.decode()
                for key, values in (context.auth_context() or {}).items()
                if key == "x509_subject_alternative_name"
                for value in values
            ),
            request=request,
        )
        self.calls.append(seen)
        if self.script:
            fault = self.script.pop(0)
            if isinstance(fault, list):
                return CertificateResponse(cert_chain=fault)
            await context.abort(fault, "scripted")
        if not self.accept(seen):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "not accepted")
        leaf = self.ca.sign(request.csr.encode(), lifetime=self.lifetime)
        return CertificateResponse(cert_chain=[leaf.decode(), self.ca.certificate.decode()])

    @asynccontextmanager
    async def serve(
        self, *, tls: Leaf | None = None, require_client: bool = False
    ) -> AsyncIterator[FakeCa]:
        """Listen on a free port, with TLS when ``tls`` is given; grpcio cannot make clients optional."""
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
    return grpc.method_handlers_generic_handler(
        "istio.v1.auth.IstioCertificateService", {"CreateCertificate": handler}
    )
