# SPDX-License-Identifier: Apache-2.0
"""CREDENTIAL_FETCHER_TYPE=GoogleComputeEngine: the machine's own identity token, kept fresh in the token's file.

Whoever shows a token reads that file at each attempt, as with a projected one. ``is_due`` decides, ``GoogleToken``
asks the metadata server. Source: spec/agent.md 7.9.
"""

from __future__ import annotations

import os
from random import Random
from typing import NamedTuple, NoReturn
from urllib.parse import quote

import mesh.log
from agent import http1
from mesh import paths
from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.proxyconfig import address_fault
from sdsserver.credentials import token_expiry
from sdsserver.output import replace_if_changed

HOST = "169.254.169.254"
EVERY = 300.0
"""Seconds between looks at the token's age."""
SPARE = 1500.0
"""Seconds of life below which a token is replaced."""
TIMEOUT = 5.0
MODE = 0o640
LARGEST = 64 * 1024

log = mesh.log.get("gcecred")


class GoogleTokenOptions(NamedTuple):
    """The branch; there is none with another fetcher."""

    audience: str
    """TRUST_DOMAIN."""
    host: str = HOST
    """GCE_METADATA_HOST, perhaps with a port."""
    path: str = paths.JWT


class _Refused(Exception):
    """No token came; the text says why, and never holds one."""


def address(text: str) -> tuple[str, int]:
    """Host and port of GCE_METADATA_HOST, which may leave the port out. Raises ValueError."""
    full = text if ":" in text.rpartition("]")[2] else f"{text}:80"
    if why := address_fault(full):
        raise ValueError(why)
    host, _, port = full.rpartition(":")
    return host.strip("[]"), int(port)


def is_due(token: str, now: float) -> bool:
    """Whether the token should be replaced; one that does not say when it ends is as good as none."""
    expiry = token_expiry(token)
    return expiry is None or expiry - now < SPARE


class GoogleToken:
    """``refresh`` once at the start, then ``run``."""

    def __init__(self, options: GoogleTokenOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._token = ""
        self._backoff = Backoff()
        self._rng = Random()  # noqa: S311  spreads retries, guards nothing

    async def run(self) -> NoReturn:
        """Look now and then; after a failure sooner."""
        rest = EVERY
        while True:
            await self._clock.sleep(rest)
            rest = EVERY if await self.refresh() else self._backoff.delay(self._rng)

    async def refresh(self) -> bool:
        """Fetch and write a token if one is due. False where that was not possible: the old one stays."""
        if not is_due(self._token, self._clock.now()):
            return True
        try:
            token = await self._fetch()
            os.makedirs(os.path.dirname(self._options.path), mode=0o750, exist_ok=True)
            replace_if_changed(self._options.path, token.encode(), MODE)
        except (_Refused, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            log.warning(
                "identity token not fetched, will retry",
                host=self._options.host,
                path=self._options.path,
                why=why,
            )
            return False
        self._token = token
        self._backoff.reset()
        log.info("identity token fetched", audience=self._options.audience)
        return True

    async def _fetch(self) -> str:
        host, port = address(self._options.host)
        path = "/computeMetadata/v1/instance/service-accounts/default/identity"
        query = f"audience={quote(self._options.audience, safe='')}&format=full"
        target = http1.Target(host, port, f"{path}?{query}")
        flavor = (("Metadata-Flavor", "Google"),)
        try:
            reply = await http1.ask(target, timeout=TIMEOUT, headers=flavor, limit=LARGEST)
        except http1.RequestFailed as error:
            raise _Refused(error.why) from None
        if reply.status != 200:
            raise _Refused(f"the metadata server answers {reply.status}")
        token = reply.text.strip()
        if token_expiry(token) is None:
            raise _Refused("the metadata server's answer is no token")
        return token
