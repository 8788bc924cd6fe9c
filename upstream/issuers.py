# SPDX-License-Identifier: Apache-2.0
"""Where the keys of token issuers come from: the development key, a key set inline or behind a URL.

Effects only; tokens are judged in ``tokens``. Source: spec/upstream.md 2.9, 13.2 (JWT_RULE).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import aiohttp

from mesh import log
from mesh.clock import Clock
from mesh.errors import BadSetting
from upstream import tokens
from upstream.auth import KeySource
from upstream.development import development_key
from upstream.options import AuthOptions, JwtRule

FETCH_TIMEOUT = 5.0
FRESH = 1200.0
"""How long a fetched key set is used before it is fetched again, in seconds (peer: 20 minutes)."""
RETRY = 10.0
"""Not sooner than this after the last fetch, whatever asks for it, in seconds."""
MAX_BYTES = 1 << 20

_log = log.get("security")


def sources(options: AuthOptions, state_dir: str, clock: Clock) -> tuple[KeySource, ...]:
    """One key source for each issuer that may be believed. Raises BadSetting."""
    found: list[KeySource] = []
    if options.rule is not None:
        # A rule without audiences must not believe tokens that were made for somebody else.
        rule = replace(options.rule, audiences=options.rule.audiences or options.audiences)
        found.append(_known(rule) if rule.jwks else FetchedKeys(rule, clock))
    if options.development:
        issuer = tokens.development_issuer(development_key(state_dir), options.audiences)
        found.append(KnownKeys(issuer))
    return tuple(found)


def _known(rule: JwtRule) -> KeySource:
    try:
        keys = tokens.keys_from_jwks(rule.jwks)
    except ValueError as error:
        raise BadSetting("JWT_RULE", rule.issuer, f"jwks {error}") from error
    return KnownKeys(tokens.Issuer(name=rule.issuer, audiences=rule.audiences, keys=keys))


class KnownKeys:
    """An issuer whose keys never change."""

    def __init__(self, issuer: tokens.Issuer) -> None:
        self._issuer = issuer

    async def issuer(self, *, again: bool = False) -> tokens.Issuer:  # noqa: ARG002  nothing newer
        return self._issuer


class FetchedKeys:
    """A key set behind ``jwksUri``, or where the issuer's OpenID configuration says."""

    def __init__(self, rule: JwtRule, clock: Clock) -> None:
        self._rule = rule
        self._clock = clock
        self._issuer: tokens.Issuer | None = None
        self._stale_at = 0.0
        self._not_before = 0.0
        self._fetching = asyncio.Lock()
        """Whoever comes while keys are fetched waits for them instead of being refused."""

    async def issuer(self, *, again: bool = False) -> tokens.Issuer:
        """The newest keys; old ones serve on while new ones cannot be had."""
        async with self._fetching:
            now = self._clock.monotonic()
            if (again or now >= self._stale_at) and now >= self._not_before:
                await self._refresh()
        if self._issuer is None:
            raise tokens.BadToken(f"the keys of {self._rule.issuer} cannot be had")
        return self._issuer

    async def _refresh(self) -> None:
        self._not_before = self._clock.monotonic() + RETRY
        try:
            keys = tokens.keys_from_jwks(await self._fetch())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            _log.warning("key set not fetched", issuer=self._rule.issuer, error=repr(error))
            return
        self._stale_at = self._clock.monotonic() + FRESH
        if self._issuer is None or keys != self._issuer.keys:
            self._issuer = tokens.Issuer(
                name=self._rule.issuer, audiences=self._rule.audiences, keys=keys
            )

    async def _fetch(self) -> str:
        timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            uri = self._rule.jwks_uri or await self._discover(session)
            return await _get(session, uri)

    async def _discover(self, session: aiohttp.ClientSession) -> str:
        where = self._rule.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = json.loads(await _get(session, where))
        if not isinstance(document, dict) or not isinstance(document.get("jwks_uri"), str):
            raise ValueError("names no jwks_uri")  # noqa: TRY004  one error type for callers
        return str(document["jwks_uri"])


async def _get(session: aiohttp.ClientSession, uri: str) -> str:
    async with session.get(uri, allow_redirects=False) as reply:
        reply.raise_for_status()
        body = await reply.content.read(MAX_BYTES)
        return body.decode("utf-8")
