# SPDX-License-Identifier: Apache-2.0
"""Whether Envoy uses the certificate that it was given: a handshake with its inbound listener after each rotation.

``verdict`` decides, ``Proof`` connects. No request is sent, nothing is verified: only the serial of the certificate
that is shown counts. Source: DESIGN 1, 4.13; no peer has it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum

import mesh.log
from mesh.clock import Clock
from mesh.errors import MeshError
from sdsserver import pem
from sdsserver.metrics import Metrics
from sdsserver.names import ROOT
from sdsserver.secret import Secret
from sdsserver.waiting import event_or_timeout
from sdsserver.x509 import Facts, facts_of_der

TRIES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each look after a rotation; what differs after the last is an alarm."""
AGAIN = 15.0
"""Seconds between looks while Envoy has no inbound listener yet, or shows another certificate."""
DEADLINE = 3.0
PROTOCOLS = ["istio-http/1.1", "istio", "http/1.1"]
"""Inbound chains that terminate mutual TLS beside plain text are chosen by these."""

log = mesh.log.get("sds")

Address = tuple[str, int]
Inbound = Callable[[], Awaitable[Sequence[Address]]]
"""Where Envoy terminates the workload's TLS; empty while it does not, or where nobody knows."""


class Verdict(StrEnum):
    """What is known of the certificate that Envoy shows."""

    UNPROVEN = "unproven"
    """No listener, no TLS there, or a certificate that is not the workload's."""
    SERVED = "served"
    DIFFERS = "differs"
    """The workload's, but not one that we serve now."""


def verdict(shown: Facts | None, current: Iterable[Facts]) -> Verdict:
    """Compare what Envoy shows with what we serve."""
    ours = list(current)
    if shown is None:
        return Verdict.UNPROVEN
    if any(each.serial == shown.serial for each in ours):
        return Verdict.SERVED
    names = {name for each in ours for name in each.uris}
    return Verdict.DIFFERS if names & set(shown.uris) else Verdict.UNPROVEN


class Proof:
    """``on_update`` when a secret was told; ``run`` looks, remembers, and raises the alarm."""

    def __init__(
        self,
        inbound: Inbound,
        current: Callable[[], dict[str, Facts]],
        secret: Callable[[str], Awaitable[Secret]],
        push: Callable[[str], None],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.verdict = Verdict.UNPROVEN
        self._inbound = inbound
        self._current = current
        self._secret = secret
        self._push = push
        self._clock = clock
        self._metrics = metrics
        self._shown: Facts | None = None
        self._rotations = 0
        self._changed = asyncio.Event()
        self._open = False
        """Whether to look again without a rotation."""
        self._alarmed = False

    def on_update(self, name: str) -> None:
        """A secret is served anew."""
        if name != ROOT:
            self._rotations += 1
            self._changed.set()

    def status(self) -> dict[str, object]:
        """For the admin page."""
        shown = self._shown
        return {
            "verdict": self.verdict.value,
            "serial": f"{shown.serial:x}" if shown else "",
            "expires": int(shown.not_after) if shown else 0,
        }

    async def run(self) -> None:
        """Prove after each rotation, and go on while there is nobody to ask or something differs."""
        proven = 0
        while True:
            await event_or_timeout(self._changed, AGAIN if self._open else None, self._clock)
            self._changed.clear()
            if proven != self._rotations:
                proven = self._rotations
                await self._after_rotation()
            else:
                await self._look()
            if self.verdict is Verdict.DIFFERS:
                self._alarm()

    async def _after_rotation(self) -> None:
        for pause in TRIES:
            await self._clock.sleep(pause)
            await self._look()
            if self.verdict is Verdict.SERVED:
                return

    async def _look(self) -> None:
        """One handshake with each listener until one tells something."""
        current = self._current()
        addresses = await self._inbound()
        found, shown = Verdict.UNPROVEN, None
        if addresses:
            found, shown = await self._asked(addresses, current)
        self._open = found is Verdict.DIFFERS or not addresses
        self._note(found, shown)

    async def _asked(
        self, addresses: Sequence[Address], current: dict[str, Facts]
    ) -> tuple[Verdict, Facts | None]:
        context = await self._context(current)
        for address in addresses:
            shown = await shown_by(address, context)
            found = verdict(shown, current.values())
            if found is not Verdict.UNPROVEN:
                return found, shown
        return Verdict.UNPROVEN, None

    def _note(self, found: Verdict, shown: Facts | None) -> None:
        if found is Verdict.SERVED and self.verdict is not Verdict.SERVED:
            log.info("envoy serves the certificate", serial=f"{shown.serial:x}" if shown else "")
            self._alarmed = False
        self.verdict, self._shown = found, None if found is Verdict.UNPROVEN else shown
        self._metrics.shown_expiry = self._shown.not_after if self._shown else None
        self._metrics.differs = None if self._shown is None else found is Verdict.DIFFERS

    def _alarm(self) -> None:
        """Say it once, and send the secrets once more: the push may have been lost."""
        if self._alarmed or self._shown is None:
            return
        self._alarmed = True
        current = self._current()
        log.error(
            "envoy serves another certificate than it was given",
            shown=f"{self._shown.serial:x}",
            shown_expires=int(self._shown.not_after),
            given=",".join(f"{each.serial:x}" for each in current.values()),
            hint="see Envoy's log for rejected secrets, and its /certs page",
        )
        for name in current:
            self._push(name)

    async def _context(self, current: dict[str, Facts]) -> ssl.SSLContext:
        """Shows our own certificate, as mutual TLS wants it; trusts anything, as only the serial counts."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(PROTOCOLS)
        try:
            async with asyncio.timeout(DEADLINE):
                secret = await self._secret(next(iter(current)))
            pem.load_pair(context, secret.chain, secret.key)
        except (MeshError, ValueError, TimeoutError, StopIteration):
            log.debug("no certificate to show in the proof")
        return context


async def shown_by(address: Address, context: ssl.SSLContext) -> Facts | None:
    """The certificate that is shown at ``address``; None where none is."""
    host, port = address
    try:
        async with asyncio.timeout(DEADLINE):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except (OSError, ssl.SSLError, TimeoutError):
        return None
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    try:
        return facts_of_der(certificate) if certificate else None
    except ValueError:
        return None
