# SPDX-License-Identifier: Apache-2.0
"""Reaches the control plane: one connection and one stream for each stream of Envoy. A shell: decides nothing.

Roots, client certificate and token are read for each stream, so a rotated file counts for the next
one; a token that cannot be read is left out, with a warning (7.9). Answers to spec/agent.md 4.2 and 4.3.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import mesh.log
from agent.xds.options import XdsOptions
from mesh import redact
from mesh.clock import Clock
from mesh.errors import BadSetting, UpstreamUnavailable
from sdsserver import x509
from sdsserver.ca_client import read_token
from wire.h2io import ClientCall, Connection, Keepalive, Limits, RpcError, Status, connect
from wire.h2io.tls import client_context
from wire.scan import Variant
from wire.types import DELTA_AGGREGATED, STREAM_AGGREGATED

log = mesh.log.get("xdsproxy")

METHOD = {Variant.SOTW: STREAM_AGGREGATED, Variant.DELTA: DELTA_AGGREGATED}
LIMITS = Limits(max_message=0)


class Upstream:
    """Where the control plane is, and how we show who we are."""

    def __init__(self, options: XdsOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._told: tuple[str, ...] = ()
        """The credentials in the last stream's metadata."""
        self._keepalive = Keepalive(
            interval=options.keepalive_interval, timeout=options.keepalive_timeout
        )

    @property
    def address(self) -> str:
        return self._options.upstream

    async def open(self, variant: Variant) -> tuple[Connection, ClientCall]:
        """A new connection with an ADS stream. Raises ``UpstreamUnavailable`` or ``RpcError``."""
        metadata = self._metadata()
        connection = await connect(
            self._options.upstream,
            tls=self._context() if self._options.tls else None,
            server_name=self._options.server_name,
            timeout=self._options.dial_timeout,
            keepalive=self._keepalive,
            limits=LIMITS,
        )
        try:
            return connection, connection.open(METHOD[variant], metadata=metadata)
        except RpcError:
            await connection.close()
            raise

    async def answers(self, variant: Variant, request: bytes, *, timeout: float) -> bool:
        """True where a stream that begins with ``request`` gets a response within ``timeout`` s."""
        try:
            async with asyncio.timeout(timeout):
                connection, call = await self.open(variant)
                try:
                    call.send_nowait(request)
                    return await call.receive() is not None
                finally:
                    call.cancel()
                    await connection.close()
        except (UpstreamUnavailable, RpcError, TimeoutError):
            return False

    def _metadata(self) -> list[tuple[str, str]]:
        metadata = [("clusterid", self._options.cluster_id)]
        metadata += [(name.lower(), value) for name, value in self._options.headers]
        token = read_token(self._options.token)
        if token:
            metadata.append(("authorization", f"Bearer {token}"))
        self._told = (token, *(value for _, value in self._options.headers))
        return metadata

    def quoted(self, status: Status) -> Status:
        """The control plane's status without the credentials that it may repeat."""
        return status._replace(message=redact.words(status.message, *self._told))

    def _context(self) -> ssl.SSLContext:
        roots = self._read(self._options.roots) if self._options.roots else None
        certificate, key = self._pair()
        try:
            return client_context(
                roots=roots, certificate=certificate, key=key, policy=self._options.policy
            )
        except BadSetting as exc:
            raise UpstreamUnavailable(self._options.upstream, str(exc)) from None

    def _pair(self) -> tuple[bytes | None, bytes | None]:
        """Our certificate, unless it is unreadable or expired: then the token has to do (4.3)."""
        if not (self._options.certificate and self._options.key):
            return None, None
        try:
            certificate = Path(self._options.certificate).read_bytes()
            expired = x509.facts(certificate).not_after < self._clock.now()
        except (OSError, ValueError) as exc:
            log.warning(
                "client certificate not used", path=self._options.certificate, reason=_reason(exc)
            )
            return None, None
        if expired:
            log.warning(
                "client certificate not used", path=self._options.certificate, reason="expired"
            )
            return None, None
        return certificate, self._read(self._options.key)

    def _read(self, path: str) -> bytes:
        try:
            return Path(path).read_bytes()
        except OSError as exc:
            why = f"{path} cannot be read: {_reason(exc)}"
            raise UpstreamUnavailable(self._options.upstream, why) from None


def _reason(exc: Exception) -> str:
    return (exc.strerror or "") if isinstance(exc, OSError) else "not what it should be"
