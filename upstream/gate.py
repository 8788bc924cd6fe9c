# SPDX-License-Identifier: Apache-2.0
"""Who may open a stream: ready, not too many at once, known, and who it says it is.

Source: spec/upstream.md 2.4, 2.9.
"""

from __future__ import annotations

from mesh import log
from mesh.clock import Clock
from mesh.errors import Rejected
from upstream.auth import (
    ANONYMOUS,
    Authenticator,
    Caller,
    NotAuthenticated,
    NotAuthorized,
    authorize,
)
from upstream.proxy import Proxy
from upstream.ratelimit import Bucket
from wire.h2.grpc import Code, RpcError, Status
from wire.h2io import ServerCall
from wire.proto.discovery_pb2 import Node

_log = log.get("ads")


class Gate:
    """The checks before a stream is served. One for each listener: only the TLS one asks who is there."""

    def __init__(
        self,
        authenticator: Authenticator | None,
        *,
        check_identity: bool,
        bucket: Bucket,
        clock: Clock,
    ) -> None:
        self._authenticator = authenticator
        self._check_identity = check_identity
        self._bucket = bucket
        self._clock = clock

    async def admit(self, call: ServerCall) -> Caller:
        """The caller. Raises RpcError RESOURCE_EXHAUSTED or UNAUTHENTICATED."""
        wait = self._bucket.reserve(self._clock.monotonic())
        if wait is None:
            raise RpcError(Status(Code.RESOURCE_EXHAUSTED, "request rate limit exceeded"))
        await self._clock.sleep(wait)
        if self._authenticator is None:
            return ANONYMOUS
        try:
            return await self._authenticator.identify(
                call.peer.certificate, call.metadata, now=self._clock.now()
            )
        except NotAuthenticated as error:
            _log.warning("stream refused", peer=call.peer.address, reason=error)
            raise RpcError(Status(Code.UNAUTHENTICATED, "authentication failure")) from None

    def proxy(self, node: Node | None, caller: Caller) -> tuple[Proxy, str]:
        """The proxy and its proven identity. Raises RpcError INVALID_ARGUMENT or PERMISSION_DENIED."""
        if node is None or not node.id:
            raise RpcError(Status(Code.INVALID_ARGUMENT, "missing node information"))
        try:
            proxy = Proxy.parse(node)
        except Rejected as error:
            raise RpcError(Status(Code.INVALID_ARGUMENT, str(error))) from None
        if not self._check_identity or self._authenticator is None or caller is ANONYMOUS:
            return proxy, next(iter(caller.identities), "")
        try:
            identity = authorize(
                caller.identities,
                namespace=proxy.namespace,
                service_account=proxy.service_account,
            )
        except NotAuthorized as error:
            _log.warning("stream refused", proxy=proxy.id, reason=error)
            raise RpcError(Status(Code.PERMISSION_DENIED, str(error))) from None
        return proxy, identity
