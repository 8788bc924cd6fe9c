# SPDX-License-Identifier: Apache-2.0
"""Several CAs in order: the first that signs. One that failed is passed over for a while, unless all have.

Each CA has a backoff of its own, so a dead first CA costs its deadlines once and not at each renewal.
Source: DESIGN 8; the peer knows one CA only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import mesh.log
from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.errors import SigningFailed
from sdsserver.ca_client import Signer

log = mesh.log.get("citadelclient")


@dataclass(slots=True)
class _Standing:
    """One CA, and how it has behaved."""

    address: str
    signer: Signer
    backoff: Backoff = field(default_factory=lambda: Backoff(initial=10.0, factor=2.0, cap=300.0))
    not_before: float = float("-inf")
    """Monotonic clock until which others come first."""


class Signers:
    """A signer made of signers, each with the address that it is known by."""

    def __init__(self, signers: Sequence[tuple[str, Signer]], clock: Clock, rng: Random) -> None:
        self._all = [_Standing(address, signer) for address, signer in signers]
        self._clock = clock
        self._rng = rng

    async def sign(self, csr: str, ttl: float) -> list[str]:
        """The chain of the first CA that signs. Raises SigningFailed with what each of them said."""
        said: list[SigningFailed] = []
        for one in self._order():
            try:
                chain = await one.signer.sign(csr, ttl)
            except SigningFailed as error:
                one.not_before = self._clock.monotonic() + one.backoff.delay(self._rng)
                log.warning("CA passed over", address=one.address, why=error.why)
                said.append(error)
                continue
            one.backoff.reset()
            one.not_before = float("-inf")
            return chain
        raise SigningFailed(
            ", ".join(one.address for one in self._all),
            "; ".join(f"{error.ca}: {error.why}" for error in said),
            retryable=any(error.retryable for error in said),
        )

    def _order(self) -> list[_Standing]:
        """As configured, but those in their pause last, the one whose pause ends first before the others."""
        now = self._clock.monotonic()
        return sorted(self._all, key=lambda one: max(now, one.not_before))
