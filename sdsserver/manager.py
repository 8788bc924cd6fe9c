# SPDX-License-Identifier: Apache-2.0
"""The workload's secrets: one task owns the certificate, asks for the next one in time, tells who cares.

Rules (spec/agent.md 7.3, 7.5, 7.6; DESIGN 4.13 fail static):
1. Files come first; what has files is never asked of the CA.
2. One request to the CA at a time; whoever asked meanwhile gets its result, good or bad.
3. A certificate is served until its last second: renewal replaces it, failure to renew does not.
4. The wall clock is compared with the due time at least every 5 s, so a suspended machine is not late; the
   certificate ages by the monotonic clock too, so neither is one whose wall clock is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import NamedTuple

import mesh.log
from mesh.clock import Clock
from mesh.errors import MeshError, SigningFailed
from sdsserver import output, pem, rotation
from sdsserver.anchors import usable
from sdsserver.ca_client import Signer
from sdsserver.files import FileSecrets
from sdsserver.identity import IdentityStore
from sdsserver.metrics import Metrics
from sdsserver.minting import Minted
from sdsserver.names import ROOT, WORKLOAD
from sdsserver.options import SecretOptions
from sdsserver.schedule import Instant, Life, Schedule
from sdsserver.secret import KeyPair, Secret
from sdsserver.trust import concat_certs, merge_roots
from sdsserver.waiting import event_or_timeout
from sdsserver.x509 import Facts, facts

log = mesh.log.get("cache")

Mint = Callable[[], Awaitable[Minted]]
Listener = Callable[[str], None]


class NoCa(MeshError):
    """A workload certificate was asked for where files or another server bring it."""

    hint = "ask for file-cert: and file-root: names, or let the agent use a CA"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: no CA is used in this mode")


class Sources(NamedTuple):
    """Where secrets come from: files, and a mint with a signer unless there is no CA."""

    mint: Mint
    signer: Signer | None
    store: IdentityStore | None = None


class SecretManager:
    """Answers by name; ``run`` keeps the certificate fresh."""

    def __init__(
        self,
        options: SecretOptions,
        sources: Sources,
        clock: Clock,
        *,
        metrics: Metrics,
        rng: Random,
    ) -> None:
        self._options = options
        self._sources = sources
        self._clock = clock
        self._metrics = metrics
        self.files = FileSecrets(options, clock, metrics, self._tell)
        self.first = asyncio.Event()
        """A workload secret can be served."""
        self._listeners: list[Listener] = []
        self._pair: KeyPair | None = None
        self._anchors = b""
        self._told_root = b""
        self._early: tuple[KeyPair, Life] | None = None
        """Issued, and not valid yet: it takes over when it is."""
        self._schedule = Schedule(grace=options.grace_ratio, jitter=options.grace_jitter, rng=rng)
        self._ended = 0
        """Serial of the certificate whose end was told."""
        self._waiters: list[asyncio.Future[None]] = []
        self._called = asyncio.Event()
        self._last_error = ""

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` with the name of each secret that changed."""
        self._listeners.append(listener)

    async def secret(self, name: str) -> Secret:
        """The secret called ``name``, fresh from files, cache or CA. Raises MeshError."""
        files = self.files.source(name)
        if files is not None:
            found = await self.files.load(name, files)
            if name == ROOT:
                found = found._replace(root=self._merged(found.root))
        else:
            found = self._form(name, self._serviceable() or await self._issued(name))
        self._write_out(found)
        return found

    def current(self) -> dict[str, Facts]:
        """The certificates that are served now, by name."""
        found = self.files.leaves()
        pair = self._pair
        if pair and self.files.source(WORKLOAD) is None:
            found[WORKLOAD] = facts(pair.chain)
        return found

    def set_anchors(self, anchors: Iterable[bytes]) -> None:
        """Trust anchors of the mesh configuration; a change means new roots and a new certificate.

        Raises ValueError when there are some and none is a certificate: then the old ones stay.
        """
        kept, dropped = usable(anchors)
        merged = merge_roots(*kept)
        if dropped:
            log.warning("invalid trust anchors left out", count=dropped)
        if merged == self._anchors:
            return
        self._anchors = merged
        log.info("trust anchors changed", count=len(kept))
        self._tell(ROOT)
        if self._sources.signer and self._pair:
            self._schedule.hurry()
            self._called.set()

    async def run(self) -> None:
        """Renew when due, issue when asked, for as long as the process lives."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.files.run(), name="secret files")
            if self._sources.signer:
                group.create_task(self._keep_fresh(self._sources.signer), name="certificate")
            else:
                self.first.set()  # files are read when they are asked for

    def status(self) -> dict[str, object]:
        """For the admin page: what is served, until when, and what went wrong last."""
        pair = self._pair
        return {
            "identity": str(self._options.identity),
            "mode": self._options.mode.value,
            "serial": f"{pair.serial:x}" if pair else "",
            "issued": int(pair.born) if pair else 0,
            "expires": int(pair.dies) if pair else 0,
            "renews": int(self._schedule.due) if pair and self._schedule.due > 0 else 0,
            "last_error": self._last_error,
        }

    async def _keep_fresh(self, signer: Signer) -> None:
        self._restore()
        while True:
            needed = self._needed()
            if not needed:
                self.first.set()
            if self._look(needed=needed):
                await self._renew(signer)
            self._called.clear()
            rest = self._schedule.rest(self._instant(), asked=bool(self._waiters))
            await event_or_timeout(self._called, rest if needed else rotation.RECHECK, self._clock)

    def _look(self, *, needed: bool) -> bool:
        """One look at the clocks; whether the CA is to be asked now."""
        at = self._instant()
        jump = self._schedule.jumped(at)
        if jump:
            log.warning("clock jumped", seconds=round(jump, 1))
        if self._early and at.wall >= self._early[0].begins:
            self._take(*self._early)
        if needed and self._pair and at.wall >= self._pair.dies:
            self._tell_end(self._pair)
        asked = bool(self._waiters)
        return (asked or needed) and self._schedule.is_due(at, asked=asked)

    def _tell_end(self, pair: KeyPair) -> None:
        """Once for each certificate that ended while it was the last that we had."""
        if self._ended != pair.serial:
            self._ended = pair.serial
            log.error(
                "certificate has expired, none is served until the CA signs",
                serial=f"{pair.serial:x}",
                expired=int(pair.dies),
                why=self._last_error,
            )

    def _instant(self) -> Instant:
        return Instant(self._clock.now(), self._clock.monotonic())

    def _needed(self) -> bool:
        """Whether any of the workload's own secrets must come from the CA."""
        return self.files.source(WORKLOAD) is None or self.files.source(ROOT) is None

    def _restore(self) -> None:
        pair = self._sources.store.load(self._clock.now()) if self._sources.store else None
        if pair and self._pair is None:
            self._adopt(pair, self._life(pair))
            self._announce(renewed=False)

    async def _renew(self, signer: Signer) -> None:
        """One request to the CA, whose outcome all share who asked before it was there."""
        try:
            pair = await self._issue(signer)
        except MeshError as error:
            self._failed(error)
            self._settle(error)
            return
        self._last_error = ""
        at, life = self._instant(), self._life(pair)
        self._schedule.issued(at)
        if pair.begins > at.wall and self._serviceable() and self._schedule.lasts(at, pair.begins):
            self._hold(pair, life, at)
        else:
            self._take(pair, life)
        self._settle(None)

    def _life(self, pair: KeyPair) -> Life:
        return self._schedule.life(
            self._instant(), born=pair.born, begins=pair.begins, dies=pair.dies
        )

    def _hold(self, pair: KeyPair, life: Life, at: Instant) -> None:
        """Keep a certificate of tomorrow aside while today's serves: the CA's clock is ahead of ours."""
        self._early = pair, life
        self._schedule.put_off(at, pair.begins)
        ahead = round(pair.begins - at.wall)
        log.warning("certificate not valid yet, the old one serves", ahead=ahead)

    def _take(self, pair: KeyPair, life: Life) -> None:
        """Serve ``pair`` from now on, keep it, and tell who has the old one."""
        renewed = self._pair is not None
        self._adopt(pair, life)
        if self._sources.store:
            self._sources.store.save(pair)
        self._announce(renewed=renewed)

    def _settle(self, error: MeshError | None) -> None:
        """Let everyone go who waits for a certificate."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.done():  # whoever asked has gone away
                continue
            if error:
                waiter.set_exception(error)
            else:
                waiter.set_result(None)

    async def _issue(self, signer: Signer) -> KeyPair:
        """A new key with its signed certificate. Raises MeshError."""
        started = self._clock.monotonic()
        minted = await self._sources.mint()
        self._metrics.requests += 1
        try:
            chain = await signer.sign(minted.csr, self._options.ttl)
            pair = self._accept(minted, chain)
        except SigningFailed:
            self._metrics.failed_requests += 1
            raise
        finally:
            self._metrics.latency_ms += (self._clock.monotonic() - started) * 1000
        log.info(
            "certificate issued",
            serial=f"{pair.serial:x}",
            expires=int(pair.dies),
            seconds=round(self._clock.monotonic() - started, 3),
        )
        return pair

    def _accept(self, minted: Minted, chain: list[str]) -> KeyPair:
        """What the CA returned, if it is of use to us. The root is the chain's last element."""
        joined, key = concat_certs(chain).encode(), minted.key.encode()
        ca = self._options.ca.address if self._options.ca else "the CA"
        try:
            pem.check_pair(joined, key)
            leaf = facts(joined)
            root, _ = pem.valid_roots(chain[-1].encode())
        except ValueError as error:
            raise SigningFailed(ca, str(error)) from None
        now = self._clock.now()
        if leaf.not_after <= now:
            ago = f"{now - leaf.not_after:.0f} s ago"
            raise SigningFailed(ca, f"the certificate it issued expired {ago} by our clock")
        return KeyPair(joined, key, root, now, leaf.not_after, leaf.serial, leaf.not_before)

    def _adopt(self, pair: KeyPair, life: Life) -> None:
        self._pair, self._early = pair, None
        self._metrics.expiry = pair.dies
        self._schedule.adopted(life)
        self.first.set()

    def _announce(self, *, renewed: bool) -> None:
        """Write the files, and tell of the certificate and of the root where they are not the ones known."""
        pair = self._serviceable()
        if pair is None:
            return
        if self.files.source(WORKLOAD) is None:
            self._write_out(pair.secret(WORKLOAD))
            if renewed:
                self._tell(WORKLOAD)
        if self.files.source(ROOT) is None:
            self._write_out(self._form(ROOT, pair))
            known, self._told_root = self._told_root, pair.root
            if known and known != pair.root:
                self._tell(ROOT)

    def _failed(self, error: MeshError) -> None:
        pair = self._serviceable()
        delay = self._schedule.failed(self._instant(), dies=pair.dies if pair else None)
        self._last_error = str(error)
        log.warning(
            "certificate not issued, will retry",
            why=str(error),
            hint=error.hint,
            retry_in=round(delay, 1),
            valid_until=int(pair.dies) if pair else 0,
        )

    def _serviceable(self) -> KeyPair | None:
        """The certificate, unless it has expired: then it is of no use to anyone."""
        pair = self._pair
        return pair if pair and self._clock.now() < pair.dies else None

    async def _issued(self, name: str) -> KeyPair:
        if self._sources.signer is None:
            raise NoCa(name)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._called.set()
        await waiter  # no deadline of its own: mint and signer have theirs
        pair = self._serviceable()
        if pair is None:
            raise SigningFailed("the CA", "the certificate it issued has expired already")
        return pair

    def _form(self, name: str, pair: KeyPair) -> Secret:
        secret = pair.secret(name)
        return secret._replace(root=self._merged(secret.root)) if secret.root else secret

    def _merged(self, root: bytes) -> bytes:
        return merge_roots(root, self._anchors)

    def _write_out(self, secret: Secret) -> None:
        if self._options.output_dir and secret.name in {WORKLOAD, ROOT}:
            output.write_secret(self._options.output_dir, secret, self._options.output_mode)

    def _tell(self, name: str) -> None:
        for listener in self._listeners:
            listener(name)
